/** Straight-through gradients of QuantizeLinear and DequantizeLinear: rounding counts as what it approximates (Bengio et al. 2013, arXiv:1308.3432). */
import { type DType, dtypes, type Value } from '@penjing/core';
import { dimsOf, dtypeOf, rankOf } from '../ops.js';
import type { GradientContext, GradientRule } from '../rule.js';

/** A scale or zero point that broadcasts against the values: one number, or one for each index of an axis. */
function spread(c: GradientContext, parameter: Value): Value {
  if (c.node.int('block_size', 0) !== 0) throw c.unsupported(`${c.node.opType} in blocks`);
  const dims = dimsOf(parameter);
  if (!dims || dims.length === 0 || (dims.length === 1 && dims[0] === 1)) return parameter;
  const rank = rankOf(c.input(0));
  const axis = ((c.node.int('axis', 1) ?? 1) + rank) % rank;
  return c.ops.unsqueeze(parameter, [...Array(rank).keys()].filter((i) => i !== axis));
}

/** Zero points as floats, broadcast; 0 when there are none. */
const zeroOf = (c: GradientContext, like: Value): Value => {
  const zero = c.optional(2);
  return zero ? c.ops.op('CastLike', [spread(c, zero), like]) : c.ops.scalar(0, like);
};

function codeRange(c: GradientContext, dtype: DType): readonly [number, number] {
  const { bits, kind } = dtypes[dtype];
  if (kind === 'float') throw c.unsupported(`${c.node.opType} to ${dtype}`);
  return dtype.startsWith('u') ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
}

/** The sum over all that shares a scale. */
const toScale = (c: GradientContext, gradient: Value, scale: Value): Value => c.ops.reshapeLike(c.ops.sumTo(gradient, spread(c, scale)), scale);

/** q = clip(x / s + z): g / s within the range of the codes, 0 beyond; and −g x / s² for the scale. The gradient of codes is a float. */
const quantizeLinear: GradientRule = (c) => {
  const { ops } = c;
  const within = (): { steps: Value; passed: Value; scale: Value } => {
    const x = c.input(0);
    const scale = spread(c, c.input(1));
    const [lowest, highest] = codeRange(c, dtypeOf(c.output()));
    const [steps, zero] = [ops.div(x, scale), zeroOf(c, x)];
    const inside = ops.op('And', [ops.op('GreaterOrEqual', [steps, ops.sub(ops.scalar(lowest, x), zero)]), ops.op('LessOrEqual', [steps, ops.sub(ops.scalar(highest, x), zero)])]);
    return { steps, scale, passed: ops.div(ops.where(inside, c.gradient), scale) };
  };
  return [
    () => within().passed,
    () => {
      const { steps, passed } = within();
      return toScale(c, ops.neg(ops.mul(passed, steps)), c.input(1));
    },
    undefined,
  ];
};

/** x = (q − z) s: g s for the codes, g (q − z) for the scale. Behind QuantizeLinear the two for the scale add up to that of LSQ. */
const dequantizeLinear: GradientRule = (c) => [
  () => c.ops.mul(c.gradient, spread(c, c.input(1))),
  () => toScale(c, c.ops.mul(c.gradient, c.ops.sub(c.ops.op('CastLike', [c.input(0), c.gradient]), zeroOf(c, c.gradient))), c.input(1)),
  undefined,
];

export const quantizedGradients = { DequantizeLinear: dequantizeLinear, QuantizeLinear: quantizeLinear } as const satisfies Readonly<Record<string, GradientRule>>;
