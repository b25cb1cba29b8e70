/** Gradients of element-wise operators. */
import { attribute, type Value } from '@penjing/core';
import type { GradientContext, GradientRule } from '../rule.js';

/** g · f′ of one input, `derivative` computed from input x and output y. */
const unary = (derivative: (c: GradientContext, x: Value, y: Value) => Value): GradientRule => (c) => [() => c.ops.mul(c.gradient, derivative(c, c.input(0), c.output()))];

/** g where a condition on x or y holds, 0 elsewhere. */
const passWhere = (condition: (c: GradientContext, x: Value, y: Value) => Value): GradientRule => (c) => [() => c.ops.where(condition(c, c.input(0), c.output()), c.gradient)];

const compare = (c: GradientContext, op: 'Greater' | 'Less', x: Value, limit: number): Value => c.ops.op(op, [x, c.ops.scalar(limit, x)]);

/** 1 − x. */
const oneMinus = (c: GradientContext, x: Value): Value => c.ops.sub(c.ops.scalar(1, x), x);
const square = (c: GradientContext, x: Value): Value => c.ops.mul(x, x);

/** x σ(αx): σ + αxσ(1 − σ). */
function swishDerivative(c: GradientContext, x: Value, alpha: number): Value {
  const s = c.ops.op('Sigmoid', [c.ops.scale(x, alpha)]);
  return c.ops.mul(s, c.ops.add(c.ops.scalar(1, x), c.ops.mul(c.ops.scale(x, alpha), oneMinus(c, s))));
}

/** y = x σ(x), as converters spell it: σ + y − y σ, in four walks over the elements instead of six by way of σ. Undefined for another product. */
function swish(c: GradientContext): ReturnType<GradientRule> | undefined {
  const gate = [0, 1].find((index) => {
    const { producer } = c.input(index);
    return producer?.opType === 'Sigmoid' && producer.domain === '' && producer.input(0) === c.input(1 - index);
  });
  if (gate === undefined || c.isTarget(c.input(gate))) return undefined;
  const [s, y] = [c.input(gate), c.output()];
  const gradient = (): Value => c.ops.mul(c.gradient, c.ops.add(c.ops.sub(y, c.ops.mul(y, s)), s));
  return gate === 1 ? [gradient, undefined] : [undefined, gradient];
}

/** Φ(x) + x φ(x), exact or with the hyperbolic tangent of Hendrycks and Gimpel 2016 (arXiv:1606.08415). */
function geluDerivative(c: GradientContext, x: Value, approximate: boolean): Value {
  const { ops } = c;
  if (!approximate) {
    const cumulative = ops.scale(ops.add(ops.op('Erf', [ops.scale(x, Math.SQRT1_2)]), ops.scalar(1, x)), 0.5);
    const density = ops.scale(ops.op('Exp', [ops.scale(square(c, x), -0.5)]), 1 / Math.sqrt(2 * Math.PI));
    return ops.add(cumulative, ops.mul(x, density));
  }
  const [a, cubic] = [Math.sqrt(2 / Math.PI), 0.044715];
  const squared = square(c, x);
  const t = ops.op('Tanh', [ops.mul(ops.scale(x, a), ops.add(ops.scalar(1, x), ops.scale(squared, cubic)))]);
  const slope = ops.mul(oneMinus(c, square(c, t)), ops.mul(x, ops.add(ops.scalar(a, x), ops.scale(squared, 3 * a * cubic))));
  return ops.scale(ops.add(ops.add(t, ops.scalar(1, x)), slope), 0.5);
}

/** Largest or smallest of n inputs: the gradient goes to the first that is equal to the output. */
const chosen: GradientRule = (c) =>
  c.node.inputs.map((_, index) => () => {
    const equal = (i: number): Value => c.ops.op('Equal', [c.input(i), c.output()]);
    let mine = equal(index);
    for (let before = 0; before < index; before++) mine = c.ops.op('And', [mine, c.ops.op('Not', [equal(before)])]);
    return c.ops.sumTo(c.ops.where(mine, c.gradient), c.input(index));
  });

export const elementwiseGradients = {
  Abs: unary((c, x) => c.ops.op('Sign', [x])),
  Acos: unary((c, x) => c.ops.neg(c.ops.op('Reciprocal', [c.ops.op('Sqrt', [oneMinus(c, square(c, x))])]))),
  Acosh: unary((c, x) => c.ops.op('Reciprocal', [c.ops.op('Sqrt', [c.ops.sub(square(c, x), c.ops.scalar(1, x))])])),
  Add: (c) => [() => c.ops.sumTo(c.gradient, c.input(0)), () => c.ops.sumTo(c.gradient, c.input(1))],
  Asin: unary((c, x) => c.ops.op('Reciprocal', [c.ops.op('Sqrt', [oneMinus(c, square(c, x))])])),
  Asinh: unary((c, x) => c.ops.op('Reciprocal', [c.ops.op('Sqrt', [c.ops.add(square(c, x), c.ops.scalar(1, x))])])),
  Atan: unary((c, x) => c.ops.op('Reciprocal', [c.ops.add(square(c, x), c.ops.scalar(1, x))])),
  Atanh: unary((c, x) => c.ops.op('Reciprocal', [oneMinus(c, square(c, x))])),
  Cast: (c) => [() => c.ops.op('CastLike', [c.gradient, c.input(0)])],
  CastLike: (c) => [() => c.ops.op('CastLike', [c.gradient, c.input(0)]), undefined],
  Celu: unary((c, x) => c.ops.op('Exp', [c.ops.op('Min', [c.ops.scale(x, 1 / c.node.float('alpha', 1)), c.ops.scalar(0, x)])])),
  // The bounds are taken for constants.
  Clip: (c) => [
    () => c.ops.where(c.ops.op('Equal', [c.input(0), c.output()]), c.gradient),
    undefined,
    undefined,
  ],
  Cos: unary((c, x) => c.ops.neg(c.ops.op('Sin', [x]))),
  Cosh: unary((c, x) => c.ops.op('Sinh', [x])),
  Div: (c) => [
    () => c.ops.sumTo(c.ops.div(c.gradient, c.input(1)), c.input(0)),
    () => c.ops.sumTo(c.ops.neg(c.ops.div(c.ops.mul(c.gradient, c.output()), c.input(1))), c.input(1)),
  ],
  // What the forward pass kept, as much larger as it made it.
  Dropout: (c) => [
    () => {
      if (!c.optional(2)) return c.gradient;
      const ratio = c.optional(1) ?? c.ops.scalar(0.5, c.gradient);
      const kept = c.ops.div(c.gradient, oneMinus(c, c.ops.op('CastLike', [ratio, c.gradient])));
      return c.ops.op('Where', [c.input(2), c.ops.where(c.require(1, 'bool'), kept), c.gradient]);
    },
    undefined,
    undefined,
  ],
  Elu: (c) => [() => {
    const x = c.input(0);
    const falling = c.ops.add(c.output(), c.ops.scalar(c.node.float('alpha', 1), x));
    return c.ops.mul(c.gradient, c.ops.op('Where', [compare(c, 'Greater', x, 0), c.ops.scalar(1, x), falling]));
  }],
  Erf: unary((c, x) => c.ops.scale(c.ops.op('Exp', [c.ops.neg(square(c, x))]), 2 / Math.sqrt(Math.PI))),
  Exp: unary((_, __, y) => y),
  Gelu: unary((c, x) => geluDerivative(c, x, c.node.string('approximate', 'none') === 'tanh')),
  HardSigmoid: (c) => [() => {
    const y = c.output();
    const inside = c.ops.op('And', [compare(c, 'Greater', y, 0), compare(c, 'Less', y, 1)]);
    return c.ops.where(inside, c.ops.scale(c.gradient, c.node.float('alpha', 0.2)));
  }],
  HardSwish: unary((c, x) => {
    const slope = c.ops.add(c.ops.scale(x, 1 / 3), c.ops.scalar(0.5, x));
    const rising = c.ops.op('Where', [compare(c, 'Less', x, 3), slope, c.ops.scalar(1, x)]);
    return c.ops.where(compare(c, 'Greater', x, -3), rising);
  }),
  Identity: (c) => [() => c.gradient],
  LeakyRelu: (c) => [() => c.ops.op('Where', [compare(c, 'Greater', c.input(0), 0), c.gradient, c.ops.scale(c.gradient, c.node.float('alpha', 0.01))])],
  Log: unary((c, x) => c.ops.op('Reciprocal', [x])),
  Max: chosen,
  Mean: (c) => c.node.inputs.map((_, index) => () => c.ops.sumTo(c.ops.scale(c.gradient, 1 / c.node.inputs.length), c.input(index))),
  Min: chosen,
  // x tanh(softplus(x)), as t = tanh(softplus(x)): t + x σ(x) (1 − t²).
  Mish: unary((c, x) => {
    const t = c.ops.op('Tanh', [c.ops.op('Softplus', [x])]);
    return c.ops.add(t, c.ops.mul(c.ops.mul(x, c.ops.op('Sigmoid', [x])), oneMinus(c, square(c, t))));
  }),
  Mul: (c) => swish(c) ?? [
    () => c.ops.sumTo(c.ops.mul(c.gradient, c.input(1)), c.input(0)),
    () => c.ops.sumTo(c.ops.mul(c.gradient, c.input(0)), c.input(1)),
  ],
  Neg: (c) => [() => c.ops.neg(c.gradient)],
  Pow: (c) => [
    () => {
      const [x, p] = [c.input(0), c.ops.op('CastLike', [c.input(1), c.input(0)])];
      const slope = c.ops.mul(p, c.ops.op('Pow', [x, c.ops.sub(p, c.ops.scalar(1, x))]));
      return c.ops.sumTo(c.ops.mul(c.gradient, slope), x);
    },
    () => {
      const x = c.input(0);
      // 0 at a base of zero, whose logarithm is infinite.
      const log = c.ops.op('Where', [compare(c, 'Greater', x, 0), c.ops.op('Log', [x]), c.ops.scalar(0, x)]);
      return c.ops.sumTo(c.ops.mul(c.ops.mul(c.gradient, c.output()), log), c.input(1));
    },
  ],
  PRelu: (c) => [
    () => c.ops.op('Where', [compare(c, 'Greater', c.input(0), 0), c.gradient, c.ops.mul(c.gradient, c.input(1))]),
    () => c.ops.sumTo(c.ops.mul(c.gradient, c.ops.op('Min', [c.input(0), c.ops.scalar(0, c.input(0))])), c.input(1)),
  ],
  Reciprocal: unary((c, _, y) => c.ops.neg(square(c, y))),
  // 1 where y, which is never below 0, is above the smallest normal number: a steep HardSigmoid and a product take a third of the time of Where or Sign in ONNX Runtime.
  Relu: unary((c, _, y) => c.ops.op('HardSigmoid', [y], { alpha: attribute.float(1e38), beta: attribute.float(0) })),
  Selu: (c) => [() => {
    const x = c.input(0);
    const [alpha, gamma] = [c.node.float('alpha', 1.67326319217681884765625), c.node.float('gamma', 1.05070102214813232421875)];
    const falling = c.ops.add(c.output(), c.ops.scalar(alpha * gamma, x));
    return c.ops.mul(c.gradient, c.ops.op('Where', [compare(c, 'Greater', x, 0), c.ops.scalar(gamma, x), falling]));
  }],
  Shrink: passWhere((c, x) => compare(c, 'Greater', c.ops.op('Abs', [x]), c.node.float('lambd', 0.5))),
  Sigmoid: unary((c, _, y) => c.ops.mul(y, oneMinus(c, y))),
  Sin: unary((c, x) => c.ops.op('Cos', [x])),
  Sinh: unary((c, x) => c.ops.op('Cosh', [x])),
  Softplus: unary((c, x) => c.ops.op('Sigmoid', [x])),
  Softsign: unary((c, x) => c.ops.op('Reciprocal', [square(c, c.ops.add(c.ops.op('Abs', [x]), c.ops.scalar(1, x)))])),
  Sqrt: (c) => [() => c.ops.div(c.ops.scale(c.gradient, 0.5), c.output())],
  Sub: (c) => [() => c.ops.sumTo(c.gradient, c.input(0)), () => c.ops.sumTo(c.ops.neg(c.gradient), c.input(1))],
  Sum: (c) => c.node.inputs.map((_, index) => () => c.ops.sumTo(c.gradient, c.input(index))),
  Swish: unary((c, x) => swishDerivative(c, x, c.node.float('alpha', 1))),
  Tan: unary((c, x, y) => c.ops.add(square(c, y), c.ops.scalar(1, x))),
  Tanh: unary((c, _, y) => oneMinus(c, square(c, y))),
  ThresholdedRelu: passWhere((c, x) => compare(c, 'Greater', x, c.node.float('alpha', 1))),
  Where: (c) => [
    undefined,
    () => c.ops.sumTo(c.ops.where(c.input(0), c.gradient), c.input(1)),
    () => c.ops.sumTo(c.ops.op('Where', [c.input(0), c.ops.scalar(0, c.gradient), c.gradient]), c.input(2)),
  ],
  'com.microsoft.FastGelu': (c) => {
    const x = c.optional(1) ? c.ops.add(c.input(0), c.input(1)) : c.input(0);
    const gradient = (): Value => c.ops.mul(c.gradient, geluDerivative(c, x, true));
    return [gradient, () => c.ops.sumTo(gradient(), c.input(1))];
  },
  'com.microsoft.Gelu': unary((c, x) => geluDerivative(c, x, false)),
  'com.microsoft.QuickGelu': unary((c, x) => swishDerivative(c, x, c.node.float('alpha', 1.702))),
} as const satisfies Readonly<Record<string, GradientRule>>;
