/** Sharding rules of operators that work element by element. */
import { broadcastWays, keptAxes, linear, type ShardingContext, type ShardingRule, type ShardingRules, type Way } from '../rule.js';

/** Every axis of the input; the others are numbers, or broadcast to it. */
const unary: ShardingRule = (c) => keptAxes(c);

const additive: ShardingRule = (c) => [...unary(c), linear(c, 0)];

const all = (c: ShardingContext): number[] => Array.from({ length: c.inputCount }, (_, i) => i);

const broadcast: ShardingRule = (c) => broadcastWays(c, all(c));

/** Terms of the first shard and of the others add up; see `addTo` for what is no partial sum. */
const sum: ShardingRule = (c) => [...broadcast(c), linear(c, ...all(c))];

const product: ShardingRule = (c) => [...broadcast(c), linear(c, 0), linear(c, 1)];

const quotient: ShardingRule = (c) => [...broadcast(c), linear(c, 0)];

/** A sum stays one where nothing is rounded: between floats of like or growing width. */
const exact: Readonly<Record<string, readonly string[]>> = { float32: ['float32', 'float64'], float64: ['float64'] };

const castTo = (c: ShardingContext, to: string | undefined): Way[] => [...unary(c), ...(exact[c.dtype(0) ?? '']?.includes(to ?? '') ? [linear(c, 0)] : [])];

const cast: ShardingRule = (c) => castTo(c, { 1: 'float32', 11: 'float64' }[c.node.int('to', 0)]);

const castLike: ShardingRule = (c) => castTo(c, c.dtype(1));

const dropout: ShardingRule = (c) => (c.has(2) && c.numbers(2)?.[0] !== 0 ? [] : keptAxes(c, [], 2));

const unaries = [
  'Abs', 'Acos', 'Acosh', 'Asin', 'Asinh', 'Atan', 'Atanh', 'BitwiseNot', 'Ceil', 'Celu', 'Clip', 'Cos', 'Cosh', 'Elu', 'Erf', 'Exp', 'Floor', 'Gelu', 'HardSigmoid', 'HardSwish',
  'IsInf', 'IsNaN', 'LeakyRelu', 'Log', 'Mish', 'Not', 'Reciprocal', 'Relu', 'Round', 'Selu', 'Shrink', 'Sigmoid', 'Sign', 'Sin', 'Sinh', 'Softplus', 'Softsign', 'Sqrt', 'Swish',
  'Tan', 'Tanh', 'ThresholdedRelu', 'com.microsoft.Gelu', 'com.microsoft.QuickGelu',
] as const;

const broadcasts = [
  'And', 'BitShift', 'BitwiseAnd', 'BitwiseOr', 'BitwiseXor', 'Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Max', 'Mean', 'Min', 'Mod', 'Or', 'Pow', 'PRelu', 'Where', 'Xor',
  'com.microsoft.BiasGelu', 'com.microsoft.FastGelu',
] as const;

const each = <Name extends string>(names: readonly Name[], rule: ShardingRule): Record<Name, ShardingRule> => Object.fromEntries(names.map((name) => [name, rule])) as Record<Name, ShardingRule>;

export const elementwiseRules = {
  ...each(unaries, unary),
  ...each(broadcasts, broadcast),
  Identity: additive,
  Neg: additive,
  Add: sum,
  Sub: sum,
  Sum: sum,
  Mul: product,
  Div: quotient,
  Cast: cast,
  CastLike: castLike,
  Dropout: dropout,
} satisfies ShardingRules;
