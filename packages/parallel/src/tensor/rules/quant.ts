/** Sharding rules of quantization: elements go with their scales. */
import { broadcastWays, type Place, places, type ShardingContext, type ShardingRule, type ShardingRules, slot, way } from '../rule.js';

/** Scale and zero point: one for all, one per place of an axis, or one per block. */
function besideAxis(c: ShardingContext, index: number, axis: number, size: number): Place | undefined {
  const shape = c.shape(index);
  const rank = c.shape(0)!.length;
  if (!shape) return undefined;
  if (shape.length === 0 || (shape.length === 1 && shape[0] === 1)) return null;
  const own = c.node.int('axis', 1);
  if (shape.length === 1) return (own < 0 ? own + rank : own) !== axis ? null : shape[0] === size ? { axis: 0, size } : undefined;
  return slot(shape, axis);
}

const scaled: ShardingRule = (c) => {
  const shape = c.shape(0);
  return (shape ?? []).flatMap((size, axis) => {
    if (typeof size !== 'number' || size < 2) return [];
    const beside = Object.fromEntries([1, 2].filter((i) => c.has(i)).map((i) => [i, besideAxis(c, i, axis, size)]));
    const scales = beside[1];
    // blocks stay whole
    const units = typeof scales === 'object' && scales !== null && scales.size !== size ? (size % scales.size === 0 ? scales.size : 1) : undefined;
    return way(places(c.inputCount, { 0: { axis, size }, ...beside }), [{ axis, size }], units === undefined ? {} : { units });
  });
};

/** Only with one scale and one zero point for all of a tensor. */
const binary: ShardingRule = (c) => broadcastWays(c, [0, 3]);

const unary: ShardingRule = (c) => broadcastWays(c, [0]);

export const quantRules = {
  QuantizeLinear: scaled,
  DequantizeLinear: scaled,
  'com.microsoft.QuantizeLinear': scaled,
  'com.microsoft.DequantizeLinear': scaled,
  'com.microsoft.QLinearAdd': binary,
  'com.microsoft.QLinearMul': binary,
  'com.microsoft.QLinearSigmoid': unary,
  'com.microsoft.QLinearLeakyRelu': unary,
} satisfies ShardingRules;
