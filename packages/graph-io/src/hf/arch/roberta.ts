/** RoBERTa, XLM-RoBERTa and CamemBERT: BERT without token types, whose places are counted from the padding's id. */
import type { Architecture, BuildGraph } from '../architecture.js';
import { readEncoder, readLabels } from '../blocks/encoder.js';
import { positionsFromPadding, readTextEmbeddings } from '../blocks/text-embeddings.js';
import { postNormEncoder } from '../blocks/text-encoder.js';
import { decoderBias, firstTokenClassifier, LM_HEAD, maskedHead, poolerChoice, textClasses, textOutputs } from '../blocks/text-heads.js';
import { BERT_LAYER } from './bert.js';

const family = (modelType: string, name: string): Architecture => ({
  modelType,
  backbone: 'roberta',
  classes: textClasses(name, { choices: true }),
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  tied: { table: 'roberta.embeddings.word_embeddings.weight', head: 'lm_head.decoder.weight', byDefault: true },
  renamed: [decoderBias('lm_head')],
  ignoredWeights: [/\.embeddings\.position_ids$/, /^roberta\.pooler\./],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
});

export const roberta = family('roberta', 'Roberta');
export const xlmRoberta = family('xlm-roberta', 'XLMRoberta');
export const camembert = family('camembert', 'Camembert');

const build: BuildGraph = (net, config, task) => {
  config.only('is_decoder', false, 'this architecture is an encoder here');
  config.only('position_embedding_type', 'absolute', 'places are absolute here');
  const shape = readEncoder(config);
  const { hidden, norm } = shape;
  const words = readTextEmbeddings(config, hidden, norm.epsilon);
  const { vocabulary } = words;
  const padding = config.number('pad_token_id', 1);
  const labels = readLabels(config);

  const { table, hidden: last } = postNormEncoder(net, {
    module: 'roberta',
    tokenTypes: false,
    words,
    shape,
    names: BERT_LAYER,
    layer: (i) => `encoder.layer.${i}`,
    positions: (ids) => positionsFromPadding(net, ids, padding),
  });

  textOutputs(net, task, last, {
    hidden,
    labels,
    vocabulary,
    fillMask: (x) => {
      const head = { hidden, activation: 'gelu', vocabulary, norm } as const;
      return net.module('lm_head', () => maskedHead(net, x, table, LM_HEAD, head));
    },
    choose: (x) => poolerChoice(net, 'roberta', x, hidden),
    classify: (x) => firstTokenClassifier(net, 'classifier', x, { hidden, labels, activation: 'tanh' }),
  });
};
