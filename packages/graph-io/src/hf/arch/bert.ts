/** BERT, and the many encoders that are BERT with other weights. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { type EncoderLayerNames, readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import type { Table } from '../blocks/matrix.js';
import { readTextEmbeddings } from '../blocks/text-embeddings.js';
import { writingEncoder } from '../blocks/text-decoder.js';
import { type PostNormEncoder, postNormEncoder } from '../blocks/text-encoder.js';
import { decoderBias, maskedHead, pooler, textClasses, textOutputs } from '../blocks/text-heads.js';

export const bert: Architecture = {
  modelType: 'bert',
  backbone: 'bert',
  classes: { ...textClasses('Bert', { choices: true, writes: 'LMHeadModel' }), BertForPreTraining: 'fill-mask', BertForNextSentencePrediction: 'text-classification' },
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  tied: { table: 'bert.embeddings.word_embeddings.weight', head: 'cls.predictions.decoder.weight', byDefault: true },
  renamed: [decoderBias('cls.predictions')],
  ignoredWeights: [/\.embeddings\.position_ids$/, /^bert\.pooler\./, /^cls\.seq_relationship\./],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config, task) => {
  config.only('position_embedding_type', 'absolute', 'places are absolute here');
  const shape = readEncoder(config);
  const { hidden, mlp, norm } = shape;
  const words = readTextEmbeddings(config, hidden, norm.epsilon);
  const { vocabulary } = words;
  const labels = readLabels(config);

  const parts: PostNormEncoder = { module: 'bert', tokenTypes: true, words, shape, names: BERT_LAYER, layer: (i) => `encoder.layer.${i}` };
  const predict = (x: Value, table: Table): Value => {
    const names = { dense: 'transform.dense', norm: 'transform.LayerNorm', decoder: 'decoder' };
    const head = { hidden, activation: mlp.activation, vocabulary, norm };
    return net.module('cls.predictions', () => maskedHead(net, x, table, names, head));
  };
  if (task === 'text-generation') return writingEncoder(net, config, parts, { firstPlace: 0, logits: predict });

  config.only('is_decoder', false, 'for this task it must look both ways');
  const { table, hidden: last } = postNormEncoder(net, parts);
  textOutputs(net, task, last, {
    hidden,
    labels,
    vocabulary,
    fillMask: (x) => predict(x, table),
    classify: (x) => {
      const pooled = net.module('bert', () => pooler(net, 'pooler.dense', x, hidden));
      // whether the second text follows the first: two classes as well
      return linear(net, net.has('cls.seq_relationship.weight') ? 'cls.seq_relationship' : 'classifier', pooled, { inputs: hidden, outputs: labels, bias: true });
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
