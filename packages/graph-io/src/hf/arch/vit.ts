/** ViT and DeiT: pictures cut into patches, seen by an encoder of text. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { encoderAttention, type ProjectionNames } from '../blocks/attention-encoder.js';
import { BERT_FIELDS, normFirstLayer, type NormFirstNames, readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { plainMlp } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import { gridOf, patchTokens, readPatches, withTokens } from '../blocks/patches.js';
import { firstToken } from '../blocks/text-heads.js';
import type { Network } from '../network.js';
import { pixelInput, visionOutputs } from '../vision-ports.js';

export const vit: Architecture = {
  modelType: 'vit',
  backbone: 'vit',
  classes: { ViTModel: 'image-feature-extraction', ViTForImageClassification: 'image-classification' },
  otherTasks: ['image-feature-extraction', 'feature-extraction'],
  ignoredWeights: [/^vit\.pooler\./, /\.mask_token$/],
  clientConfig: () => ({}),
  graphs: () => ({ model: build('vit', ['cls_token'], classifier) }),
};

export const deit: Architecture = {
  modelType: 'deit',
  backbone: 'deit',
  classes: {
    DeiTModel: 'image-feature-extraction',
    DeiTForImageClassification: 'image-classification',
  },
  otherTasks: ['image-feature-extraction', 'feature-extraction'],
  ignoredWeights: [/^deit\.pooler\./, /\.mask_token$/],
  clientConfig: () => ({}),
  graphs: () => ({ model: build('deit', ['cls_token', 'distillation_token'], classifier) }),
};

/** DeiT with the head that learnt from a teacher: both heads vote. */
export const deitWithTeacher: Architecture = {
  ...deit,
  modelType: 'deit',
  classes: { DeiTForImageClassificationWithTeacher: 'image-classification' },
  graphs: () => ({ model: build('deit', ['cls_token', 'distillation_token'], twoClassifiers) }),
};

type Head = (net: Network, x: Value, hidden: number, labels: number) => Value;

const build = (module: string, special: readonly string[], head: Head): BuildGraph => (net, config, task) => {
  const shape = readEncoder(config, { ...BERT_FIELDS, defaultActivation: 'gelu' });
  const { hidden, norm, mlp } = shape;
  const attention = { ...shape.attention, bias: config.boolean('qkv_bias', true), outputBias: true };
  const patches = readPatches(config, hidden, { image: 224, patch: 16 });
  const labels = readLabels(config);
  const [rows, columns] = gridOf(patches);
  const pixels = pixelInput(net, patches);

  const last = net.module(module, () => {
    let x = net.module('embeddings', () => {
      const { tokens } = patchTokens(net, 'patch_embeddings.projection', pixels, patches);
      const all = withTokens(net, special.map((name) => net.weight(name, [1, 1, hidden])), tokens);
      return net.op('Add', [all, net.weight('position_embeddings', [1, special.length + rows * columns, hidden])]);
    });
    for (let i = 0; i < shape.layers; i++) {
      x = net.module(`encoder.layer.${i}`, () => normFirstLayer(net, x, LAYER, {
        norm,
        attention: (x) => encoderAttention(net, x, PROJECTIONS, attention),
        mlp: (x) => plainMlp(net, x, { ...mlp, names: ['intermediate.dense', 'output.dense'] }),
      }));
    }
    return layerNorm(net, 'layernorm', x, norm);
  });

  visionOutputs(net, task, last, { hidden, labels, classify: (x) => head(net, x, hidden, labels) });
};

const classifier: Head = (net, x, hidden, labels) =>
  linear(net, 'classifier', firstToken(net, x), { inputs: hidden, outputs: labels, bias: true });

const twoClassifiers: Head = (net, x, hidden, labels) => {
  const vote = (name: string, token: number): Value =>
    linear(net, name, net.op('Gather', [x, net.ints(token)], { axis: 1 }), { inputs: hidden, outputs: labels, bias: true });
  return net.op('Mul', [net.op('Add', [vote('cls_classifier', 0), vote('distillation_classifier', 1)]), net.scalar(0.5)]);
};

const PROJECTIONS: ProjectionNames = {
  query: 'attention.attention.query',
  key: 'attention.attention.key',
  value: 'attention.attention.value',
  output: 'attention.output.dense',
};
const LAYER: NormFirstNames = { attentionNorm: 'layernorm_before', mlpNorm: 'layernorm_after' };
