/** Norms of queries and keys, in one of the ways that decoders have them. */
import { attribute, lazy, type Tensor, type Value } from '@penjing/core';
import type { Network } from '../network.js';
import { normalize, type NormShape } from './norm.js';

/** `heads`: every head by the same weights. `each`: by its own, layer norms without biases. `whole`: all heads together. */
export type NormsOver = 'heads' | 'each' | 'whole';

export interface HeadNormShape extends Omit<NormShape, 'width'> {
  readonly heads: number;
  readonly headDim: number;
}

/** x and the result are (batch, seq, heads · headDim). */
export function headNorm(net: Network, over: NormsOver, name: string, x: Value, { heads, headDim, ...norm }: HeadNormShape): Value {
  if (over === 'whole') return normalize(net, name, x, { ...norm, width: heads * headDim });
  const apart = net.op('Reshape', [x, net.ints([0, 0, heads, headDim])]);
  const normed = over === 'heads' ? normalize(net, name, apart, { ...norm, width: headDim }) : eachHead(net, name, apart, { heads, headDim, ...norm });
  return net.op('Reshape', [normed, net.ints([0, 0, heads * headDim])]);
}

/** x is (batch, seq, heads, headDim). */
function eachHead(net: Network, name: string, x: Value, { heads, headDim, epsilon }: HeadNormShape): Value {
  return net.module(name, () => {
    const unit = net.op('LayerNormalization', [x, net.derived('ones', lazy.fill(net.dtype, [headDim], 1))], { axis: -1, epsilon: attribute.float(epsilon) });
    return net.op('Mul', [unit, net.derived('weight', headWeights(net, heads, headDim))]);
  });
}

/** (heads, headDim): stored as that, or as a module of every head. */
function headWeights(net: Network, heads: number, headDim: number): Tensor {
  if (!net.has('norms.0.weight')) return net.stored('weight', [heads, headDim]);
  return lazy.concat(Array.from({ length: heads }, (_, i) => lazy.reshape(net.stored(`norms.${i}.weight`, [headDim]), [1, headDim])), 0);
}
