/** Sharding rules of reductions: along axes that are not reduced. */
import { keptAxes, linear, places, type ShardingContext, type ShardingRule, type ShardingRules, slot, way, type Way } from '../rule.js';

function reducedAxes(c: ShardingContext): readonly number[] | undefined {
  const rank = c.shape(0)?.length ?? 0;
  const axes = c.node.ints('axes') ?? (c.has(1) ? c.numbers(1) : c.node.int('noop_with_empty_axes', 0) === 1 ? [] : undefined);
  const listed = axes?.length ? axes : axes && c.node.int('noop_with_empty_axes', 0) === 1 ? [] : axes ? undefined : c.has(1) ? null : undefined;
  if (listed === null) return undefined;
  return listed ? listed.map((axis) => (axis < 0 ? axis + rank : axis)) : Array.from({ length: rank }, (_, i) => i);
}

const reduce = (isLinear: boolean, isSum = false): ShardingRule => (c) => {
  const [shape, axes] = [c.shape(0), reducedAxes(c)];
  if (!shape || !axes) return isLinear ? [linear(c, 0)] : [];
  const keep = c.node.int('keepdims', 1) === 1;
  const kept = shape.flatMap((_, axis): Way[] => {
    if (axes.includes(axis)) return isSum ? way(places(c.inputCount, { 0: slot(shape, axis) }), ['partial']) : [];
    return way(places(c.inputCount, { 0: slot(shape, axis) }), [slot(c.outputShape(), keep ? axis : axis - axes.filter((gone) => gone < axis).length)]);
  });
  return [...kept, ...(isLinear ? [linear(c, 0)] : [])];
};

/** Along one axis, all others stay. */
const along = (fallback: number, outputs?: number): ShardingRule => (c) => keptAxes(c, [c.node.int('axis', fallback)], outputs ?? c.outputCount);

const arg: ShardingRule = (c) => {
  const shape = c.shape(0);
  if (!shape) return [];
  const axis = c.node.int('axis', 0);
  const gone = axis < 0 ? axis + shape.length : axis;
  const keep = c.node.int('keepdims', 1) === 1;
  return shape.flatMap((_, other) => (other === gone ? [] : way([slot(shape, other)], [slot(c.outputShape(), keep || other < gone ? other : other - 1)])));
};

const cumulative: ShardingRule = (c) => {
  const axis = c.numbers(1)?.[0];
  return axis === undefined ? [] : keptAxes(c, [axis]);
};

export const reduceRules = {
  ReduceSum: reduce(true, true),
  ReduceMean: reduce(true),
  ReduceMax: reduce(false),
  ReduceMin: reduce(false),
  ReduceProd: reduce(false),
  ReduceL1: reduce(false),
  ReduceL2: reduce(false),
  ReduceSumSquare: reduce(false, true),
  ReduceLogSum: reduce(false),
  ReduceLogSumExp: reduce(false),
  ArgMax: arg,
  ArgMin: arg,
  CumSum: cumulative,
  CumProd: cumulative,
  Softmax: along(-1),
  LogSoftmax: along(-1),
  Hardmax: along(-1),
  TopK: along(-1),
} satisfies ShardingRules;
