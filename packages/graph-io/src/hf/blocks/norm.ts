/** Normalization layers, in standard operators. */
import { attribute, lazy, type Value } from '@penjing/core';
import type { Network } from '../network.js';

export interface RmsNormShape {
  readonly width: number;
  readonly epsilon: number;
  /** Added to the stored weight: 1 where a checkpoint keeps the distance from 1. */
  readonly offset?: number;
}

/**
 * x / sqrt(mean(x²) + eps) * weight, (…, width). Written out because SimplifiedLayerNormalization is not in the ONNX
 * standard; ONNX Runtime fuses exactly this pattern into it when it loads the model.
 */
export function rmsNorm(net: Network, name: string, x: Value, { width, epsilon, offset = 0 }: RmsNormShape): Value {
  return net.module(name, () => {
    const wide = net.widen(x);
    const square = net.op('Pow', [wide, net.float32(2)]);
    const mean = net.op('ReduceMean', [square, net.ints([-1])], { keepdims: 1 });
    const root = net.op('Sqrt', [net.op('Add', [mean, net.float32(epsilon)])]);
    const unit = net.narrow(net.op('Div', [wide, root]));
    if (offset === 0) return net.op('Mul', [unit, net.weight('weight', [width])]);
    const weight = lazy.add(net.stored('weight', [width], 'float32'), lazy.fill('float32', [1], offset));
    return net.op('Mul', [unit, net.derived('weight', lazy.cast(weight, net.dtype))]);
  });
}

export interface LayerNormShape {
  readonly width: number;
  readonly epsilon: number;
  /** True when absent. */
  readonly bias?: boolean;
}

/** (x - mean) / sqrt(variance + eps) * weight + bias, (…, width). */
export function layerNorm(net: Network, name: string, x: Value, { width, epsilon, bias = true }: LayerNormShape): Value {
  return net.module(name, () => {
    const inputs = [x, net.weight('weight', [width]), ...(bias ? [net.weight('bias', [width])] : [])];
    return net.op('LayerNormalization', inputs, { axis: -1, epsilon: attribute.float(epsilon) });
  });
}

/** Either of the two, by its kind. */
export interface NormShape extends RmsNormShape, LayerNormShape {
  readonly kind: keyof typeof norms;
}

const norms = { rms: rmsNorm, layer: layerNorm } as const;

export function normalize(net: Network, name: string, x: Value, shape: NormShape): Value {
  return norms[shape.kind](net, name, x, shape);
}
