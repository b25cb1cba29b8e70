/** ALBERT: BERT whose layers share their weights, with narrow embeddings. */
import type { Architecture, BuildGraph } from '../architecture.js';
import { type EncoderLayerNames, readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { readTextEmbeddings } from '../blocks/text-embeddings.js';
import { postNormEncoder } from '../blocks/text-encoder.js';
import { decoderBias, maskedHead, pooler, textClasses, textOutputs } from '../blocks/text-heads.js';
import { MAX_LAYERS } from '../fields.js';

export const albert: Architecture = {
  modelType: 'albert',
  backbone: 'albert',
  classes: { ...textClasses('Albert', { choices: true }), AlbertForPreTraining: 'fill-mask' },
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  tied: { table: 'albert.embeddings.word_embeddings.weight', head: 'predictions.decoder.weight', byDefault: true },
  renamed: [decoderBias('predictions')],
  ignoredWeights: [/\.embeddings\.position_ids$/, /^albert\.pooler\./, /^sop_classifier\./],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config, task) => {
  config.only('position_embedding_type', 'absolute', 'places are absolute here');
  const shape = readEncoder(config);
  const { hidden, layers, mlp } = shape;
  const words = readTextEmbeddings(config, config.size('embedding_size', 128), shape.norm.epsilon);
  const { vocabulary, width, norm } = words;
  const labels = readLabels(config);
  const groups = config.size('num_hidden_groups', 1, layers);
  const inner = config.size('inner_group_num', 1, Math.floor(MAX_LAYERS / layers));

  const { table, hidden: last } = postNormEncoder(net, {
    module: 'albert',
    tokenTypes: true,
    words,
    shape: { ...shape, layers: layers * inner },
    names: LAYER,
    layer: (i) => {
      const group = Math.floor(Math.floor(i / inner) / (layers / groups));
      return `encoder.albert_layer_groups.${group}.albert_layers.${i % inner}`;
    },
    project: (x) => linear(net, 'encoder.embedding_hidden_mapping_in', x, { inputs: width, outputs: hidden, bias: true }),
  });

  textOutputs(net, task, last, {
    hidden,
    labels,
    vocabulary,
    fillMask: (x) => {
      const names = { dense: 'dense', norm: 'LayerNorm', decoder: 'decoder' };
      return net.module('predictions', () => maskedHead(net, x, table, names, { hidden, activation: mlp.activation, vocabulary, norm }));
    },
    classify: (x) => {
      const pooled = net.module('albert', () => pooler(net, 'pooler', x, hidden));
      return linear(net, 'classifier', pooled, { inputs: hidden, outputs: labels, bias: true });
    },
  });
};

const LAYER: EncoderLayerNames = {
  query: 'attention.query',
  key: 'attention.key',
  value: 'attention.value',
  output: 'attention.dense',
  attentionNorm: 'attention.LayerNorm',
  mlp: ['ffn', 'ffn_output'],
  mlpNorm: 'full_layer_layer_norm',
};
