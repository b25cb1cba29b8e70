/** RoBERTa, XLM-RoBERTa and CamemBERT: BERT without token types, whose places are counted from the padding's id. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { readEncoder, readLabels } from '../blocks/encoder.js';
import type { Table } from '../blocks/matrix.js';
import { writingEncoder } from '../blocks/text-decoder.js';
import { positionsFromPadding, readTextEmbeddings } from '../blocks/text-embeddings.js';
import { type PostNormEncoder, postNormEncoder } from '../blocks/text-encoder.js';
import { decoderBias, firstTokenClassifier, LM_HEAD, maskedHead, poolerChoice, textClasses, textOutputs } from '../blocks/text-heads.js';
import { BERT_LAYER } from './bert.js';

const family = (modelType: string, name: string): Architecture => ({
  modelType,
  backbone: 'roberta',
  classes: textClasses(name, { choices: true, writes: 'ForCausalLM' }),
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
  config.only('position_embedding_type', 'absolute', 'places are absolute here');
  const shape = readEncoder(config);
  const { hidden, norm } = shape;
  const words = readTextEmbeddings(config, hidden, norm.epsilon);
  const { vocabulary } = words;
  const padding = config.number('pad_token_id', 1);
  const labels = readLabels(config);

  const parts: PostNormEncoder = {
    module: 'roberta',
    tokenTypes: false,
    words,
    shape,
    names: BERT_LAYER,
    layer: (i) => `encoder.layer.${i}`,
    positions: (ids) => positionsFromPadding(net, ids, padding),
  };
  const predict = (x: Value, table: Table): Value => {
    const head = { hidden, activation: 'gelu', vocabulary, norm } as const;
    return net.module('lm_head', () => maskedHead(net, x, table, LM_HEAD, head));
  };
  if (task === 'text-generation') return writingEncoder(net, config, parts, { firstPlace: padding + 1, logits: predict });

  config.only('is_decoder', false, 'for this task it must look both ways');
  const { table, hidden: last } = postNormEncoder(net, parts);
  textOutputs(net, task, last, {
    hidden,
    labels,
    vocabulary,
    fillMask: (x) => predict(x, table),
    choose: (x) => poolerChoice(net, 'roberta', x, hidden),
    classify: (x) => firstTokenClassifier(net, 'classifier', x, { hidden, labels, activation: 'tanh' }),
  });
};
