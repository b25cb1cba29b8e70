/** DINOv2: ViT for pictures of any size, whose layers scale what they add. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { encoderAttention, type ProjectionNames } from '../blocks/attention-encoder.js';
import { BERT_FIELDS, normFirstLayer, type NormFirstNames, readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { gatedMlp, plainMlp } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import { interpolatedPositions, patchTokens, readPatches, withTokens } from '../blocks/patches.js';
import { firstToken } from '../blocks/text-heads.js';
import type { Fields } from '../fields.js';
import { pixelInput, visionOutputs } from '../vision-ports.js';

export const dinov2: Architecture = {
  modelType: 'dinov2',
  backbone: 'dinov2',
  classes: { Dinov2Model: 'image-feature-extraction', Dinov2ForImageClassification: 'image-classification' },
  otherTasks: ['image-feature-extraction', 'feature-extraction'],
  ignoredWeights: [/\.mask_token$/],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config, task) => {
  const { shape, attention, patches, swiglu, widths, labels } = read(config);
  const { hidden, norm } = shape;
  const pixels = pixelInput(net, patches, { anySize: true });
  const mlp = (x: Value): Value =>
    swiglu
      ? gatedMlp(net, 'mlp', x, { hidden, intermediate: widths.gated, activation: 'silu', bias: true, fused: 'weights_in', names: { down: 'weights_out' } })
      : plainMlp(net, x, { ...shape.mlp, intermediate: widths.plain, names: ['mlp.fc1', 'mlp.fc2'] });

  const last = net.module('dinov2', () => {
    let x = net.module('embeddings', () => {
      const { tokens, grid } = patchTokens(net, 'patch_embeddings.projection', pixels, patches);
      const all = withTokens(net, [net.weight('cls_token', [1, 1, hidden])], tokens);
      return net.op('Add', [all, interpolatedPositions(net, 'position_embeddings', grid, patches, 1)]);
    });
    for (let i = 0; i < shape.layers; i++) {
      x = net.module(`encoder.layer.${i}`, () =>
        normFirstLayer(net, x, LAYER, { norm, attention: (x) => encoderAttention(net, x, PROJECTIONS, attention), mlp }));
    }
    return layerNorm(net, 'layernorm', x, norm);
  });

  visionOutputs(net, task, last, {
    hidden,
    labels,
    classify: (x) => {
      const rest = net.op('Slice', [x, net.ints([1]), net.ints([Number.MAX_SAFE_INTEGER]), net.ints([1])]);
      const mean = net.op('ReduceMean', [rest, net.ints([1])], { keepdims: 0 });
      const both = net.op('Concat', [firstToken(net, x), mean], { axis: 1 });
      return linear(net, 'classifier', both, { inputs: 2 * hidden, outputs: labels, bias: true });
    },
  });
};

function read(config: Fields) {
  const { intermediate: _none, ...names } = BERT_FIELDS;
  const shape = readEncoder(config, { ...names, defaultEpsilon: 1e-6 });
  const { hidden } = shape;
  const plain = Math.floor(hidden * config.positive('mlp_ratio', 4));
  return {
    shape,
    attention: { ...shape.attention, bias: config.boolean('qkv_bias', true), outputBias: true },
    patches: readPatches(config, hidden, { image: 224, patch: 14 }),
    swiglu: config.boolean('use_swiglu_ffn', false),
    // two thirds, for three matrices instead of two, rounded up to a multiple of 8
    widths: { plain, gated: Math.ceil(Math.floor((plain * 2) / 3) / 8) * 8 },
    labels: readLabels(config),
  };
}

const PROJECTIONS: ProjectionNames = {
  query: 'attention.attention.query',
  key: 'attention.attention.key',
  value: 'attention.attention.value',
  output: 'attention.output.dense',
};
const LAYER: NormFirstNames = {
  attentionNorm: 'norm1',
  mlpNorm: 'norm2',
  scales: ['layer_scale1.lambda1', 'layer_scale2.lambda1'],
};
