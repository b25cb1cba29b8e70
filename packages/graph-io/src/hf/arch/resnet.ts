/** ResNet: stages of convolutions, each layer adding to what it gets. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { type ActivationName, activations } from '../blocks/activation.js';
import { batchNorm, convolution, pooledMap, readStages } from '../blocks/convolution.js';
import { readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { pixelInput, visionOutputs } from '../vision-ports.js';

export const resnet: Architecture = {
  modelType: 'resnet',
  backbone: 'resnet',
  classes: { ResNetModel: 'image-feature-extraction', ResNetForImageClassification: 'image-classification' },
  otherTasks: ['image-feature-extraction', 'feature-extraction'],
  ignoredWeights: [/\.num_batches_tracked$/],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config, task) => {
  const { channels, width, stages, layer, activation, shrinkFirst, shrinkEarly, labels } = read(config);
  const pixels = pixelInput(net, { channels, image: [224, 224] }, { anySize: true });
  const act = (x: Value): Value => activations[activation](net, x);

  const { last, hidden } = net.module('resnet', () => {
    const stem = net.module('embedder.embedder', () => act(normed(net, pixels, { inputs: channels, outputs: width, kernel: 7, stride: 2 })));
    let x = net.op('MaxPool', [stem], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
    let inputs = width;
    for (const [i, stage] of stages.entries()) {
      for (let j = 0; j < stage.depth; j++) {
        const outputs = stage.width;
        const stride = j === 0 && (i > 0 || shrinkFirst) ? 2 : 1;
        x = net.module(`encoder.stages.${i}.layers.${j}`, () => {
          const steps = layers[layer](inputs, outputs, stride, shrinkEarly);
          const added = steps.reduce((y, step, k) => net.module(`layer.${k}`, () => {
            const value = normed(net, y, step);
            // the last one is activated after it is added; those before it always by a Relu, whatever the config says
            return k === steps.length - 1 ? value : net.op('Relu', [value]);
          }), x);
          const same = inputs === outputs && stride === 1;
          return act(net.op('Add', [added, same ? x : net.module('shortcut', () => normed(net, x, { inputs, outputs, kernel: 1, stride }))]));
        });
        inputs = outputs;
      }
    }
    return { last: x, hidden: inputs };
  });

  visionOutputs(net, task, last, {
    hidden: [hidden, 'rows', 'columns'],
    labels,
    classify: (x) => linear(net, 'classifier.1', pooledMap(net, x), { inputs: hidden, outputs: labels, bias: true }),
  });
};

interface Step {
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: number;
  readonly stride?: number;
}

/** The convolutions of a layer, by `layer_type`. */
const layers = {
  basic: (inputs: number, outputs: number, stride: number): readonly Step[] => [
    { inputs, outputs, kernel: 3, stride },
    { inputs: outputs, outputs, kernel: 3 },
  ],
  bottleneck: (inputs: number, outputs: number, stride: number, shrinkEarly: boolean): readonly Step[] => {
    const narrow = Math.max(1, Math.floor(outputs / 4));
    return [
      { inputs, outputs: narrow, kernel: 1, stride: shrinkEarly ? stride : 1 },
      { inputs: narrow, outputs: narrow, kernel: 3, stride: shrinkEarly ? 1 : stride },
      { inputs: narrow, outputs, kernel: 1 },
    ];
  },
} as const;

function normed(net: Network, x: Value, step: Step): Value {
  const mapped = convolution(net, 'convolution', x, { ...step, padding: Math.floor(step.kernel / 2), bias: false });
  return batchNorm(net, 'normalization', mapped, step.outputs);
}

function read(config: Fields) {
  const activation: ActivationName = config.choice('hidden_act', activations, 'relu');
  return {
    channels: config.size('num_channels', 3),
    width: config.size('embedding_size', 64),
    stages: readStages(config, [{ width: 256, depth: 3 }, { width: 512, depth: 4 }, { width: 1024, depth: 6 }, { width: 2048, depth: 3 }]),
    layer: config.choice('layer_type', layers, 'bottleneck'),
    activation,
    shrinkFirst: config.boolean('downsample_in_first_stage', false),
    shrinkEarly: config.boolean('downsample_in_bottleneck', false),
    labels: readLabels(config),
  };
}
