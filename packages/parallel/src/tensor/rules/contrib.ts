/** Sharding rules of the other com.microsoft operators: tables in blocks, mixtures of experts. */
import { keptAxes, type Place, places, type ShardingContext, type ShardingRule, type ShardingRules, slot, type Slot, way, type Way } from '../rule.js';
import { lookUp } from './movement.js';

/**
 * The router is part of the operator and must see all experts, so it is every expert that is cut: its hidden units. Weights are
 * (experts, out, in): the first layer by its outputs, the second one by its inputs, whose bias counts once.
 */
const mixture = (c: ShardingContext, first: readonly (readonly [index: number, axis: number])[], second: readonly (readonly [index: number, axis: number])[], bias: number, weights: readonly [number, number], blocks: number): Way[] => {
  if (c.node.int('swiglu_fusion', 0) === 2) return [];
  const place = ([index, axis]: readonly [number, number]): Readonly<Record<number, Place | undefined>> => {
    const shape = c.shape(index);
    if (!c.has(index)) return {};
    // one scale for a whole row
    return { [index]: shape && axis >= shape.length ? null : slot(shape, axis) };
  };
  const inputs = Object.assign({}, ...first.map(place), ...second.map(place)) as Record<number, Place | undefined>;
  const hidden = slot(c.shape(weights[1]), 2);
  const gated = slot(c.shape(weights[0]), 1);
  if (!hidden || !gated) return [];
  return way(places(c.inputCount, inputs), ['partial'], { weight: weights[0], size: gated.size, units: blocks, once: c.has(bias) ? [bias] : [] });
};

const experts: ShardingRule = (c) => {
  const inner = slot(c.shape(4), 2);
  return inner ? mixture(c, [[2, 1], [3, 1], [6, 1], [7, 1]], [[4, 2]], 5, [2, 4], inner.size) : [];
};

const quantizedExperts: ShardingRule = (c) => {
  const bits = c.node.int('expert_weight_bits', 4);
  const packed: Slot | undefined = slot(c.shape(5), 2);
  if (!packed || c.has(14) || c.node.int('weights_prepacked', -1) === 1) return [];
  const block = c.node.int('block_size', 0);
  const inner = packed.size * (8 / bits);
  const units = block > 0 ? inner / block : packed.size;
  if (!Number.isInteger(units)) return [];
  return mixture(c, [[2, 1], [3, 1], [4, 1], [8, 1], [9, 1], [10, 1], [11, 1], [13, 1]], [[5, 2], [6, 2], [12, 2]], 7, [2, 5], units);
};

/** Rows of a quantized table. */
const gatherBlocks: ShardingRule = (c) => {
  const shape = c.shape(0);
  const rows = slot(shape, 0);
  if (!shape || !rows || c.node.int('gather_axis', 0) !== 0 || !c.constant(0) || c.node.int('quantize_axis', 1) % shape.length === 0 || c.opset < 15) return [];
  const zeros = c.has(3) ? { 3: slot(c.shape(3), 0) } : {};
  return way(places(c.inputCount, { 0: rows, 2: slot(c.shape(2), 0), ...zeros }), ['partial'], { weight: 0, local: lookUp(rows.size, 0, shape.length) });
};

export const contribRules = {
  'com.microsoft.MoE': experts,
  'com.microsoft.QMoE': quantizedExperts,
  'com.microsoft.GatherBlockQuantized': gatherBlocks,
  'com.microsoft.Trilu': (c) => keptAxes(c, [-1, -2]),
} satisfies ShardingRules;
