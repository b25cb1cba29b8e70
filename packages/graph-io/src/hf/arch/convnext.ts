/** ConvNeXt: wide depthwise convolutions, each followed by a feed-forward layer over channels. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { type ActivationName, activations } from '../blocks/activation.js';
import { channelNorm, convolution, pooledMap, readStages } from '../blocks/convolution.js';
import { readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { plainMlp } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { pixelInput, visionOutputs } from '../vision-ports.js';

export const convnext: Architecture = {
  modelType: 'convnext',
  backbone: 'convnext',
  classes: { ConvNextModel: 'image-feature-extraction', ConvNextForImageClassification: 'image-classification' },
  otherTasks: ['image-feature-extraction', 'feature-extraction'],
  ignoredWeights: [/^convnext\.layernorm\./],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

const EPSILON = 1e-6;

const build: BuildGraph = (net, config, task) => {
  const { channels, patch, stages, activation, scaled, epsilon, labels } = read(config);
  const pixels = pixelInput(net, { channels, image: [224, 224] }, { anySize: true });

  const { last, hidden } = net.module('convnext', () => {
    let inputs = stages[0]!.width;
    let x = net.module('embeddings', () => {
      const patches = convolution(net, 'patch_embeddings', pixels, { inputs: channels, outputs: inputs, kernel: patch, stride: patch, bias: true });
      return channelNorm(net, 'layernorm', patches, { width: inputs, epsilon: EPSILON });
    });
    for (const [i, { width, depth }] of stages.entries()) {
      x = net.module(`encoder.stages.${i}`, () => {
        if (i > 0) {
          const calm = channelNorm(net, 'downsampling_layer.0', x, { width: inputs, epsilon: EPSILON });
          x = convolution(net, 'downsampling_layer.1', calm, { inputs, outputs: width, kernel: 2, stride: 2, bias: true });
        }
        for (let j = 0; j < depth; j++) x = net.module(`layers.${j}`, () => layer(net, x, width, activation, scaled));
        return x;
      });
      inputs = width;
    }
    return { last: x, hidden: inputs };
  });

  visionOutputs(net, task, last, {
    hidden: [hidden, 'rows', 'columns'],
    labels,
    classify: (x) => {
      const pooled = net.module('convnext', () => layerNorm(net, 'layernorm', pooledMap(net, x), { width: hidden, epsilon }));
      return linear(net, 'classifier', pooled, { inputs: hidden, outputs: labels, bias: true });
    },
  });
};

/** x + scale · mlp(norm(depthwise(x))), (batch, width, height, width). */
function layer(net: Network, x: Value, width: number, activation: ActivationName, scaled: boolean): Value {
  const mapped = convolution(net, 'dwconv', x, { inputs: width, outputs: width, kernel: 7, padding: 3, groups: width, bias: true });
  const last = layerNorm(net, 'layernorm', net.op('Transpose', [mapped], { perm: [0, 2, 3, 1] }), { width, epsilon: EPSILON });
  const fed = plainMlp(net, last, { hidden: width, intermediate: 4 * width, activation, bias: true, names: ['pwconv1', 'pwconv2'] });
  const shrunk = scaled ? net.op('Mul', [fed, net.weight('layer_scale_parameter', [width])]) : fed;
  return net.op('Add', [x, net.op('Transpose', [shrunk], { perm: [0, 3, 1, 2] })]);
}

function read(config: Fields) {
  const activation: ActivationName = config.choice('hidden_act', activations, 'gelu');
  return {
    channels: config.size('num_channels', 3),
    patch: config.size('patch_size', 4),
    stages: readStages(config, [{ width: 96, depth: 3 }, { width: 192, depth: 3 }, { width: 384, depth: 9 }, { width: 768, depth: 3 }]),
    activation,
    scaled: config.number('layer_scale_init_value', 1e-6) > 0,
    epsilon: config.positive('layer_norm_eps', 1e-12),
    labels: readLabels(config),
  };
}
