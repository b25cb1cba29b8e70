/** DistilBERT: half the layers of BERT, no token types, no pooler. */
import type { Architecture, BuildGraph } from '../architecture.js';
import { type EncoderFields, type EncoderLayerNames, readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { readTextEmbeddings } from '../blocks/text-embeddings.js';
import { postNormEncoder } from '../blocks/text-encoder.js';
import { firstToken, maskedHead, textClasses, textOutputs } from '../blocks/text-heads.js';

export const distilbert: Architecture = {
  modelType: 'distilbert',
  backbone: 'distilbert',
  classes: textClasses('DistilBert', { choices: true }),
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  tied: { table: 'distilbert.embeddings.word_embeddings.weight', head: 'vocab_projector.weight', byDefault: true },
  ignoredWeights: [/\.embeddings\.position_ids$/],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config, task) => {
  const shape = readEncoder(config, FIELDS);
  const { hidden, mlp, norm } = shape;
  const words = readTextEmbeddings(config, hidden, norm.epsilon, 0);
  const { vocabulary } = words;
  const labels = readLabels(config);

  const { table, hidden: last } = postNormEncoder(net, {
    module: 'distilbert',
    tokenTypes: false,
    words,
    shape,
    names: LAYER,
    layer: (i) => `transformer.layer.${i}`,
  });

  textOutputs(net, task, last, {
    hidden,
    labels,
    vocabulary,
    fillMask: (x) => {
      const names = { dense: 'vocab_transform', norm: 'vocab_layer_norm', decoder: 'vocab_projector' };
      return maskedHead(net, x, table, names, { hidden, activation: mlp.activation, vocabulary, norm });
    },
    classify: (x) => {
      const dense = linear(net, 'pre_classifier', firstToken(net, x), { inputs: hidden, outputs: hidden, bias: true });
      return linear(net, 'classifier', net.op('Relu', [dense]), { inputs: hidden, outputs: labels, bias: true });
    },
  });
};

const FIELDS: EncoderFields = {
  hidden: 'dim',
  layers: 'n_layers',
  heads: 'n_heads',
  intermediate: 'hidden_dim',
  activation: 'activation',
  defaultActivation: 'gelu',
  defaultEpsilon: 1e-12,
};

const LAYER: EncoderLayerNames = {
  query: 'attention.q_lin',
  key: 'attention.k_lin',
  value: 'attention.v_lin',
  output: 'attention.out_lin',
  attentionNorm: 'sa_layer_norm',
  mlp: ['ffn.lin1', 'ffn.lin2'],
  mlpNorm: 'output_layer_norm',
};
