/** BERT, and the many encoders that are BERT with other weights. */
import type { Architecture, BuildGraph } from '../architecture.js';
import { type EncoderLayerNames, readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { readTextEmbeddings } from '../blocks/text-embeddings.js';
import { postNormEncoder } from '../blocks/text-encoder.js';
import { decoderBias, maskedHead, pooler, textClasses, textOutputs } from '../blocks/text-heads.js';

export const bert: Architecture = {
  modelType: 'bert',
  backbone: 'bert',
  classes: { ...textClasses('Bert', { choices: true }), BertForPreTraining: 'fill-mask' },
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  tied: { table: 'bert.embeddings.word_embeddings.weight', head: 'cls.predictions.decoder.weight', byDefault: true },
  renamed: [decoderBias('cls.predictions')],
  ignoredWeights: [/\.embeddings\.position_ids$/, /^bert\.pooler\./, /^cls\.seq_relationship\./],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config, task) => {
  config.only('is_decoder', false, 'this architecture is an encoder here');
  config.only('position_embedding_type', 'absolute', 'places are absolute here');
  const shape = readEncoder(config);
  const { hidden, mlp, norm } = shape;
  const words = readTextEmbeddings(config, hidden, norm.epsilon);
  const { vocabulary } = words;
  const labels = readLabels(config);

  const { table, hidden: last } = postNormEncoder(net, {
    module: 'bert',
    tokenTypes: true,
    words,
    shape,
    names: BERT_LAYER,
    layer: (i) => `encoder.layer.${i}`,
  });

  textOutputs(net, task, last, {
    hidden,
    labels,
    vocabulary,
    fillMask: (x) => {
      const names = { dense: 'transform.dense', norm: 'transform.LayerNorm', decoder: 'decoder' };
      const head = { hidden, activation: mlp.activation, vocabulary, norm };
      return net.module('cls.predictions', () => maskedHead(net, x, table, names, head));
    },
    classify: (x) => {
      const pooled = net.module('bert', () => pooler(net, 'pooler.dense', x, hidden));
      return linear(net, 'classifier', pooled, { inputs: hidden, outputs: labels, bias: true });
    },
  });
};

/** Layers of BERT and of those that copied its code. */
export const BERT_LAYER: EncoderLayerNames = {
  query: 'attention.self.query',
  key: 'attention.self.key',
  value: 'attention.self.value',
  output: 'attention.output.dense',
  attentionNorm: 'attention.output.LayerNorm',
  mlp: ['intermediate.dense', 'output.dense'],
  mlpNorm: 'output.LayerNorm',
};
