/** Convolutions over pictures, and what stands around them. */
import { attribute, type Value } from '@penjing/core';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { layerNorm, type LayerNormShape } from './norm.js';

export interface ConvolutionShape {
  readonly inputs: number;
  readonly outputs: number;
  /** Height and width of the window. */
  readonly kernel: number;
  readonly stride?: number;
  /** Rows and columns of zeros on every side. */
  readonly padding?: number;
  readonly groups?: number;
  readonly bias: boolean;
}

/** (batch, inputs, height, width) to (batch, outputs, …), inside the module `name`. */
export function convolution(net: Network, name: string, x: Value, shape: ConvolutionShape): Value {
  const { inputs, outputs, kernel, stride = 1, padding = 0, groups = 1, bias } = shape;
  return net.module(name, () => {
    const weights = [net.weight('weight', [outputs, inputs / groups, kernel, kernel]), ...(bias ? [net.weight('bias', [outputs])] : [])];
    return net.op('Conv', [x, ...weights], {
      kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [padding, padding, padding, padding], group: groups,
    });
  });
}

/** With the statistics of training; ONNX Runtime folds it into the convolution before it. */
export function batchNorm(net: Network, name: string, x: Value, channels: number): Value {
  return net.module(name, () => {
    const weights = ['weight', 'bias', 'running_mean', 'running_var'].map((part) => net.weight(part, [channels]));
    return net.op('BatchNormalization', [x, ...weights], { epsilon: attribute.float(1e-5) });
  });
}

/** Layer norm over channels, (batch, channels, height, width). */
export function channelNorm(net: Network, name: string, x: Value, shape: LayerNormShape): Value {
  const last = net.op('Transpose', [x], { perm: [0, 2, 3, 1] });
  return net.op('Transpose', [layerNorm(net, name, last, shape)], { perm: [0, 3, 1, 2] });
}

/** The mean over height and width, (batch, channels). */
export function pooledMap(net: Network, x: Value): Value {
  return net.op('Flatten', [net.op('GlobalAveragePool', [x])], { axis: 1 });
}

export interface Stage {
  readonly width: number;
  readonly depth: number;
}

/** No network has more; their layers are made before the weights of the first are missed. */
const MAX_STAGES = 16;
const MAX_DEPTH = 256;
const MAX_WIDTH = 2 ** 20;

/** Width and depth of every stage, by `hidden_sizes` and `depths`. Throws `E_CONFIG`. */
export function readStages(config: Fields, defaults: readonly Stage[]): readonly Stage[] {
  const widths = sizes(config, 'hidden_sizes', MAX_WIDTH) ?? defaults.map(({ width }) => width);
  const depths = sizes(config, 'depths', MAX_DEPTH) ?? defaults.map(({ depth }) => depth);
  if (widths.length !== depths.length) throw config.wrong('depths', `a list of ${widths.length} sizes, as many as hidden_sizes`);
  return widths.map((width, i) => ({ width, depth: depths[i]! }));
}

function sizes(config: Fields, name: string, most: number): readonly number[] | undefined {
  const value = config.get(name);
  if (value === undefined) return undefined;
  const count = Array.isArray(value) ? value.length : 0;
  if (count < 1 || count > MAX_STAGES) throw config.wrong(name, `a list of up to ${MAX_STAGES} sizes`);
  const size = (item: unknown): item is number => typeof item === 'number' && Number.isInteger(item) && item >= 1 && item <= most;
  return config.perLayer(name, count, size, `sizes from 1 to ${most}`);
}
