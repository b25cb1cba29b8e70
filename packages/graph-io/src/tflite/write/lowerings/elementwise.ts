/** Arithmetic, comparison, logic and casts. */
import { type Dim, type DType, dtypes, type Node } from '@penjing/core';
import type { BuiltinOperator } from '../../operators-schema.js';
import type { BuiltinOptionsInit } from '../../schema.js';
import type { LayoutWish } from '../assign-layouts.js';
import { hasLayouts, physicalShape } from '../layouts.js';
import { hasInput, type LowerContext, shapeOf } from '../lower-context.js';
import type { Lowering } from '../lowering.js';
import { knownCount, type TfTensor } from '../tf-graph.js';

/** Any order, as long as no computed operand has fewer axes than the result (it would have to be reshaped for channels last). */
export function broadcastWish(node: Node): LayoutWish {
  const rank = shapeOf(node.output(), node).length;
  if (!hasLayouts(rank)) return 'first';
  const odd = node.inputs.some((value, i) => {
    if (!value || !hasInput(node, i) || value.tensor) return false;
    const shape = shapeOf(value, node);
    return shape.length !== rank && knownCount(shape) !== 1;
  });
  return odd ? 'first' : 'any';
}

const options = (type: 'AddOptions' | 'SubOptions' | 'MulOptions' | 'DivOptions'): BuiltinOptionsInit => ({ type, value: { fusedActivationFunction: 0 } });

/** Options of the operators that take two operands. */
const binaryOptions: Partial<Record<BuiltinOperator, BuiltinOptionsInit>> = {
  ADD: options('AddOptions'), SUB: options('SubOptions'), MUL: options('MulOptions'), DIV: options('DivOptions'),
  POW: { type: 'PowOptions', value: {} }, MAXIMUM: { type: 'MaximumMinimumOptions', value: {} }, MINIMUM: { type: 'MaximumMinimumOptions', value: {} },
  SQUARED_DIFFERENCE: { type: 'SquaredDifferenceOptions', value: {} }, FLOOR_MOD: { type: 'FloorModOptions', value: {} }, FLOOR_DIV: { type: 'FloorDivOptions', value: {} },
  EQUAL: { type: 'EqualOptions', value: {} }, NOT_EQUAL: { type: 'NotEqualOptions', value: {} }, LESS: { type: 'LessOptions', value: {} },
  LESS_EQUAL: { type: 'LessEqualOptions', value: {} }, GREATER: { type: 'GreaterOptions', value: {} }, GREATER_EQUAL: { type: 'GreaterEqualOptions', value: {} },
  LOGICAL_AND: { type: 'LogicalAndOptions', value: {} }, LOGICAL_OR: { type: 'LogicalOrOptions', value: {} },
};

/** An operator with two operands that broadcast. */
export function binary(c: LowerContext, type: BuiltinOperator, a: TfTensor, b: TfTensor, shape?: readonly Dim[], dtype?: DType): TfTensor {
  const given = binaryOptions[type];
  return c.emit(type, [a, b], { ...(given && { options: given }), ...(shape && { shape }), ...(dtype && { dtype }) });
}

/** An operator with one operand. */
export function unary(c: LowerContext, type: BuiltinOperator, x: TfTensor, given?: BuiltinOptionsInit): TfTensor {
  return c.emit(type, [x], { shape: x.shape, dtype: x.dtype, ...(given && { options: given }) });
}

type Two = (a: TfTensor | number, b: TfTensor | number) => TfTensor;
type One = (x: TfTensor) => TfTensor;

/** Arithmetic on tensors, each call an operator. */
export type Formula =
  & Readonly<Record<'add' | 'sub' | 'mul' | 'div' | 'max' | 'min' | 'pow', Two>>
  & Readonly<Record<'exp' | 'log' | 'sqrt' | 'rsqrt' | 'abs' | 'neg' | 'sign' | 'square' | 'logistic' | 'tanh' | 'relu' | 'relu6', One>>;

/** Short form of binary and unary chains over tensors of one shape, for decompositions: a number is a scalar of the other's type. */
export function formula(c: LowerContext): Formula {
  const two = (type: BuiltinOperator) => (a: TfTensor | number, b: TfTensor | number): TfTensor => {
    const dtype = typeof a === 'number' ? (b as TfTensor).dtype : a.dtype;
    const [x, y] = [a, b].map((item) => (typeof item === 'number' ? c.scalar(item, dtype) : item)) as [TfTensor, TfTensor];
    return binary(c, type, x, y, knownCount(x.shape) >= knownCount(y.shape) ? x.shape : y.shape, dtype);
  };
  const one = (type: BuiltinOperator, given?: BuiltinOptionsInit) => (x: TfTensor): TfTensor => unary(c, type, x, given);
  return {
    add: two('ADD'), sub: two('SUB'), mul: two('MUL'), div: two('DIV'), max: two('MAXIMUM'), min: two('MINIMUM'), pow: two('POW'),
    exp: one('EXP', { type: 'ExpOptions', value: {} }), log: one('LOG'), sqrt: one('SQRT'), rsqrt: one('RSQRT'), abs: one('ABS', { type: 'AbsOptions', value: {} }),
    neg: one('NEG', { type: 'NegOptions', value: {} }), sign: one('SIGN', { type: 'SignOptions', value: {} }), square: one('SQUARE', { type: 'SquareOptions', value: {} }),
    logistic: one('LOGISTIC'), tanh: one('TANH'), relu: one('RELU'), relu6: one('RELU6'),
  };
}

/** Operands of every element-wise operator, in the order of the node. */
export const operands = (c: LowerContext): TfTensor[] => c.node.inputs.map((_, i) => c.operand(i, c.outShape().length));

const pairwise = (type: BuiltinOperator): Lowering => ({
  layout: broadcastWish,
  lower(c) {
    const [a, b] = operands(c) as [TfTensor, TfTensor];
    c.set(binary(c, type, a, b));
  },
});

/** Two or more operands, folded from the left. */
const variadic = (type: BuiltinOperator, finish?: (c: LowerContext, sum: TfTensor, count: number) => TfTensor): Lowering => ({
  layout: broadcastWish,
  lower(c) {
    const [head, ...rest] = operands(c) as [TfTensor, ...TfTensor[]];
    const shape = physicalShape(c.outShape(), c.layout);
    let sum = rest.reduce((left, right) => binary(c, type, left, right, shape), head);
    if (finish) sum = finish(c, sum, rest.length + 1);
    c.set(sum === head ? c.reshape(head, head.shape) : sum);
  },
});

const simple = (type: BuiltinOperator, given?: BuiltinOptionsInit): Lowering => ({
  layout: 'any',
  lower: (c) => c.replace(type, [c.input(0)], given),
});

const cast: Lowering = {
  layout: 'any',
  reads: [0],
  lower(c) {
    const [from, to] = [c.dtype(0), c.outDtype()];
    const x = c.input(0);
    if (from === to) return c.set(c.reshape(x, x.shape));
    c.checkType('CAST', to);
    c.set(c.emit('CAST', [x], { options: { type: 'CastOptions', value: { inDataType: tfliteType(c, from), outDataType: tfliteType(c, to) } } }));
  },
  note: 'float16, bfloat16 and float64 are computed in float32',
};

export const elementwise = {
  Add: pairwise('ADD'),
  Sub: pairwise('SUB'),
  Mul: pairwise('MUL'),
  Div: pairwise('DIV'),
  Pow: {
    layout: broadcastWish,
    lower(c) {
      const exponent = c.constant(1)?.kind === 'dense' ? c.numbers(1) : undefined;
      const { square, sqrt } = formula(c);
      // Layer normalization and GELU are exported with these two.
      if (exponent?.length === 1 && exponent[0] === 2) return c.set(square(c.input(0)));
      if (exponent?.length === 1 && exponent[0] === 0.5) return c.set(sqrt(c.input(0)));
      const [a, b] = operands(c) as [TfTensor, TfTensor];
      if (a.dtype !== b.dtype) throw c.fail(`POW takes two operands of one type, not ${a.dtype} and ${b.dtype}`, 'Cast the exponent to the type of the base.');
      c.set(binary(c, 'POW', a, b));
    },
  },
  Mod: {
    layout: broadcastWish,
    lower(c) {
      if (c.node.int('fmod', 0) === 1) throw c.fail('the sign of the remainder follows the dividend (fmod=1)', 'Write x - y * trunc(x / y) instead.');
      const [a, b] = operands(c) as [TfTensor, TfTensor];
      c.set(binary(c, 'FLOOR_MOD', a, b));
    },
    note: 'fmod=0',
  },
  Min: variadic('MINIMUM'),
  Max: variadic('MAXIMUM'),
  Sum: variadic('ADD'),
  Mean: variadic('ADD', (c, sum, count) => formula(c).mul(sum, 1 / count)),
  Equal: pairwise('EQUAL'),
  Less: pairwise('LESS'),
  LessOrEqual: pairwise('LESS_EQUAL'),
  Greater: pairwise('GREATER'),
  GreaterOrEqual: pairwise('GREATER_EQUAL'),
  And: pairwise('LOGICAL_AND'),
  Or: pairwise('LOGICAL_OR'),
  Xor: pairwise('NOT_EQUAL'),
  Not: simple('LOGICAL_NOT', { type: 'LogicalNotOptions', value: {} }),
  Where: { layout: broadcastWish, lower: (c) => c.replace('SELECT_V2', operands(c), { type: 'SelectV2Options', value: {} }) },
  // ABS and SIGN have no kernels for int64.
  Abs: { layout: 'any', lower: (c) => c.set(c.dtype(0) === 'int64' ? formula(c).max(c.input(0), formula(c).neg(c.input(0))) : formula(c).abs(c.input(0))) },
  Neg: simple('NEG', { type: 'NegOptions', value: {} }),
  Exp: simple('EXP', { type: 'ExpOptions', value: {} }),
  Log: simple('LOG'),
  Sqrt: simple('SQRT'),
  Ceil: simple('CEIL'),
  Floor: simple('FLOOR'),
  Round: simple('ROUND'),
  Sin: simple('SIN'),
  Cos: simple('COS', { type: 'CosOptions', value: {} }),
  Sign: { layout: 'any', lower: (c) => c.set(c.dtype(0) === 'float32' ? formula(c).sign(c.input(0)) : formula(c).min(formula(c).max(c.input(0), -1), 1)) },
  IsNaN: { layout: 'any', lower: (c) => c.set(binary(c, 'NOT_EQUAL', c.input(0), c.input(0))) },
  IsInf: {
    layout: 'any',
    lower(c) {
      const [negative, positive] = [c.node.int('detect_negative', 1) === 1, c.node.int('detect_positive', 1) === 1];
      const x = c.input(0);
      const sided = negative && positive ? formula(c).abs(x) : x;
      // With neither it is never true: nothing equals this and infinity.
      c.set(binary(c, 'EQUAL', sided, c.scalar(positive ? Infinity : negative ? -Infinity : NaN, 'float32'), x.shape, 'bool'));
    },
  },
  BitwiseXor: { layout: broadcastWish, lower: (c) => c.replace('BITWISE_XOR', operands(c), { type: 'BitwiseXorOptions', value: {} }) },
  BitwiseNot: { layout: 'any', lower: (c) => c.set(formula(c).sub(-1, c.input(0))) },
  Reciprocal: { layout: 'any', lower: (c) => c.set(formula(c).div(1, c.input(0))) },
  Cast: cast,
  CastLike: cast,
} satisfies Record<string, Lowering>;


function tfliteType(c: LowerContext, dtype: DType): number {
  const code = dtypes[dtype].tflite;
  if (code === undefined) throw c.fail(`TFLite has no type ${dtype}`);
  return code;
}
