/** MPNet: RoBERTa whose scores also depend on how far two tokens are apart. */
import type { Architecture, BuildGraph } from '../architecture.js';
import { type EncoderLayerNames, readEncoder, readLabels } from '../blocks/encoder.js';
import { relativeBias } from '../blocks/relative-bias.js';
import { lengthOf, positionsFromPadding, readTextEmbeddings } from '../blocks/text-embeddings.js';
import { postNormEncoder } from '../blocks/text-encoder.js';
import { decoderBias, firstTokenClassifier, LM_HEAD, maskedHead, poolerChoice, textClasses, textOutputs } from '../blocks/text-heads.js';

export const mpnet: Architecture = {
  modelType: 'mpnet',
  backbone: 'mpnet',
  classes: textClasses('MPNet', { choices: true }),
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  tied: { table: 'mpnet.embeddings.word_embeddings.weight', head: 'lm_head.decoder.weight', byDefault: true },
  renamed: [decoderBias('lm_head')],
  ignoredWeights: [/\.embeddings\.position_ids$/, /^mpnet\.pooler\./],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

/** The code fixes these, whatever the config says. */
const PADDING = 1;
const DISTANCES = { buckets: 32, maxDistance: 128 };

const build: BuildGraph = (net, config, task) => {
  config.only('relative_attention_num_buckets', DISTANCES.buckets, 'transformers itself uses 32 only');
  const shape = readEncoder(config);
  const { hidden, norm, attention } = shape;
  const words = readTextEmbeddings(config, hidden, norm.epsilon, 0);
  const { vocabulary } = words;
  const labels = readLabels(config);

  const { table, hidden: last } = postNormEncoder(net, {
    module: 'mpnet',
    tokenTypes: false,
    words,
    shape,
    names: LAYER,
    layer: (i) => `encoder.layer.${i}`,
    positions: (ids) => positionsFromPadding(net, ids, PADDING),
    scores: (ids) => net.module('encoder', () => relativeBias(net, 'relative_attention_bias', lengthOf(net, ids), { ...DISTANCES, heads: attention.heads })),
  });

  textOutputs(net, task, last, {
    hidden,
    labels,
    vocabulary,
    fillMask: (x) => {
      const head = { hidden, activation: 'gelu', vocabulary, norm } as const;
      return net.module('lm_head', () => maskedHead(net, x, table, LM_HEAD, head));
    },
    choose: (x) => poolerChoice(net, 'mpnet', x, hidden),
    classify: (x) => firstTokenClassifier(net, 'classifier', x, { hidden, labels, activation: 'tanh' }),
  });
};

const LAYER: EncoderLayerNames = {
  query: 'attention.attn.q',
  key: 'attention.attn.k',
  value: 'attention.attn.v',
  output: 'attention.attn.o',
  attentionNorm: 'attention.LayerNorm',
  mlp: ['intermediate.dense', 'output.dense'],
  mlpNorm: 'output.LayerNorm',
};
