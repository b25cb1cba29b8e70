/** Element-wise functions of several operands: arithmetic, comparison, logic, selection by a mask. */
import { type DType, dtypes, type Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { isFloat, toFloat } from '../promote.js';
import { row, rowsOf } from '../row.js';
import { type Operand, plainNumber, type Scalar } from '../values.js';
import { truncate } from './elementwise.js';

/** ONNX Runtime computes in 32 bits and more; smaller integers are widened for the operation and cut off again. */
export function wide(c: AtenContext, operands: readonly Value[], build: (operands: Value[]) => Value): Value {
  const dtype = c.dtype(operands[0]!);
  const { kind, bits } = dtypes[dtype];
  if ((kind !== 'int' && kind !== 'uint') || bits > 16) return build([...operands]);
  return c.cast(build(operands.map((operand) => c.cast(operand, 'int32'))), dtype);
}

function binary(c: AtenContext, type: string, a: Operand, b: Operand, least?: DType): Value {
  return wide(c, c.promoted([a, b], least), (operands) => c.op(type, operands));
}

/** On bool, + is or and * is and. */
const ofBool: Readonly<Record<string, string>> = { Add: 'Or', Mul: 'And', Max: 'Or', Min: 'And', BitwiseAnd: 'And', BitwiseOr: 'Or', BitwiseXor: 'Xor' };

function arithmetic(c: AtenContext, type: string, a: Operand, b: Operand): Value {
  return binary(c, (c.resultType([a, b]) === 'bool' && ofBool[type]) || type, a, b);
}

/** `other * alpha`. */
function times(c: AtenContext, other: Operand, alpha: Scalar): Operand {
  const factor = plainNumber(alpha);
  if (factor === 1) return other;
  if (factor !== undefined && typeof other === 'number') return other * factor;
  return arithmetic(c, 'Mul', other, alpha);
}

export function divide(c: AtenContext, a: Operand, b: Operand, mode: string | null): Value {
  if (mode === null) return c.op('Div', c.promoted([a, b], toFloat(c.resultType([a, b]))));
  const operands = c.promoted([a, b]);
  const whole = !isFloat(c.dtype(operands[0]!));
  if (mode === 'trunc') return whole ? wide(c, operands, (pair) => c.op('Div', pair)) : truncate(c, c.op('Div', operands));
  if (mode !== 'floor') throw c.unsupported(`rounding_mode ${mode}`);
  if (!whole) return c.op('Floor', [c.op('Div', operands)]);
  // Division of integers rounds towards zero; Mod has the sign of the divisor, as Python has it.
  return wide(c, operands, ([x, y]) => c.op('Div', [c.op('Sub', [x!, c.op('Mod', [x!, y!])]), y!]));
}

function remainder(c: AtenContext, a: Operand, b: Operand): Value {
  const [x, y] = c.promoted([a, b]) as [Value, Value];
  if (!isFloat(c.dtype(x))) return wide(c, [x, y], (pair) => c.op('Mod', pair));
  return c.op('Sub', [x, c.op('Mul', [c.op('Floor', [c.op('Div', [x, y])]), y])]);
}

/** ONNX orders numbers only. */
export function compare(c: AtenContext, type: string, a: Operand, b: Operand): Value {
  let [x, y] = c.promoted([a, b]) as [Value, Value];
  if (c.dtype(x) === 'bool' && type !== 'Equal') [x, y] = [c.cast(x, 'int32'), c.cast(y, 'int32')];
  return c.op(type, [x, y]);
}

const comparisons: Readonly<Record<string, (c: AtenContext, a: Operand, b: Operand) => Value>> = {
  eq: (c, a, b) => compare(c, 'Equal', a, b), ne: (c, a, b) => c.op('Not', [compare(c, 'Equal', a, b)]),
  lt: (c, a, b) => compare(c, 'Less', a, b), le: (c, a, b) => compare(c, 'LessOrEqual', a, b),
  gt: (c, a, b) => compare(c, 'Greater', a, b), ge: (c, a, b) => compare(c, 'GreaterOrEqual', a, b),
};

const logic = { logical_and: 'And', logical_or: 'Or', logical_xor: 'Xor' };
const bitwise = {
  bitwise_and: 'BitwiseAnd', bitwise_or: 'BitwiseOr', bitwise_xor: 'BitwiseXor', __and__: 'BitwiseAnd', __or__: 'BitwiseOr', __xor__: 'BitwiseXor',
};
const products = { mul: 'Mul', multiply: 'Mul' };

export function power(c: AtenContext, base: Operand, exponent: Operand): Value {
  const [x, y] = c.promoted([base, exponent]) as [Value, Value];
  const number = typeof exponent === 'object' && 'name' in exponent ? undefined : plainNumber(exponent);
  if (number === 2) return c.op('Mul', [x, x]);
  if (number === 1) return x;
  if (number === 0.5) return c.op('Sqrt', [x]);
  if (number === -1 && isFloat(c.dtype(x))) return c.op('Reciprocal', [x]);
  return wide(c, [x, y], (pair) => c.op('Pow', pair));
}

function clamp(c: AtenContext, self: Value, min: Operand | null, max: Operand | null): Value {
  const given = [self, min, max].filter((operand) => operand !== null);
  const dtype = c.resultType(given);
  const bound = (operand: Operand | null): Value | null => (operand === null ? null : c.tensor(operand, dtype));
  const [low, high] = [bound(min), bound(max)];
  const x = c.cast(self, dtype);
  const scalars = [low, high].every((value) => value === null || c.rank(value) === 0);
  if (scalars) return wide(c, [x, ...[low, high].filter((value) => value !== null)], ([wider, first, second]) =>
    c.op('Clip', [wider!, low ? first! : null, high ? (low ? second! : first!) : null]));
  const raised = low ? c.op('Max', [x, low]) : x;
  return high ? c.op('Min', [raised, high]) : raised;
}

function where(c: AtenContext, condition: Value, a: Operand, b: Operand): Value {
  return c.op('Where', [c.cast(condition, 'bool'), ...c.promoted([a, b])]);
}

function atan2(c: AtenContext, a: Operand, b: Operand): Value {
  const [y, x] = c.promoted([a, b], 'float32') as [Value, Value];
  const dtype = c.dtype(x);
  const number = (value: number): Value => c.constant(dtype, value);
  const zero = number(0);
  const angle = c.op('Atan', [c.op('Div', [y, x])]);
  const half = c.op('Where', [c.op('Less', [y, zero]), number(-Math.PI), number(Math.PI)]);
  const turned = c.op('Where', [c.op('Less', [x, zero]), c.op('Add', [angle, half]), angle]);
  const upright = c.op('Mul', [c.op('Sign', [y]), number(Math.PI / 2)]);
  return c.op('Where', [c.op('Equal', [x, zero]), upright, turned]);
}

const shift = (c: AtenContext, self: Value, other: Operand, left: boolean): Value => {
  const [x, by] = c.promoted([self, other]) as [Value, Value];
  return wide(c, [x, by], ([value, bits]) => {
    const factor = c.op('Pow', [c.constant(c.dtype(value!), 2), bits!]);
    if (left) return c.op('Mul', [value!, factor]);
    return c.op('Div', [c.op('Sub', [value!, c.op('Mod', [value!, factor])]), factor]);
  });
};

export const arithmetics = [
  row('add.{Tensor,Scalar}(Operand self, Operand other, *, Scalar alpha=1)', (c, { self, other, alpha }) => arithmetic(c, 'Add', self, times(c, other, alpha))),
  row('sub.{Tensor,Scalar}(Operand self, Operand other, *, Scalar alpha=1)', (c, { self, other, alpha }) => arithmetic(c, 'Sub', self, times(c, other, alpha))),
  row('subtract.{Tensor,Scalar}(Operand self, Operand other, *, Scalar alpha=1)', (c, { self, other, alpha }) => arithmetic(c, 'Sub', self, times(c, other, alpha))),
  row('rsub.{Tensor,Scalar}(Operand self, Operand other, Scalar alpha=1)', (c, { self, other, alpha }) => arithmetic(c, 'Sub', other, times(c, self, alpha))),
  ...rowsOf({ ...products, maximum: 'Max', minimum: 'Min' }, (name, type) =>
    row(`${name}.{Tensor,Scalar,default}(Operand self, Operand other)`, (c, { self, other }) => arithmetic(c, type, self, other))),
  row('max.other(Tensor self, Tensor other)', (c, { self, other }) => arithmetic(c, 'Max', self, other)),
  row('min.other(Tensor self, Tensor other)', (c, { self, other }) => arithmetic(c, 'Min', self, other)),
  row('fmax(Tensor self, Tensor other)', (c, { self, other }) => arithmetic(c, 'Max', self, other)),
  row('fmin(Tensor self, Tensor other)', (c, { self, other }) => arithmetic(c, 'Min', self, other)),
  ...rowsOf({ div: 0, divide: 0, true_divide: 0 }, (name) =>
    row(`${name}.{Tensor,Scalar}(Operand self, Operand other)`, (c, { self, other }) => divide(c, self, other, null))),
  row('div.{Tensor_mode,Scalar_mode}(Operand self, Operand other, *, str? rounding_mode)', (c, { self, other, rounding_mode }) => divide(c, self, other, rounding_mode)),
  row('floor_divide.{default,Scalar}(Operand self, Operand other)', (c, { self, other }) => divide(c, self, other, 'floor')),
  row('remainder.{Tensor,Scalar,Scalar_Tensor}(Operand self, Operand other)', (c, { self, other }) => remainder(c, self, other)),
  row('fmod.{Tensor,Scalar}(Operand self, Operand other)', (c, { self, other }) => wide(c, c.promoted([self, other]), (pair) => c.op('Mod', pair, { fmod: 1 }))),
  row('pow.{Tensor_Tensor,Tensor_Scalar,Scalar}(Operand self, Operand exponent)', (c, { self, exponent }) => power(c, self, exponent)),
  row('atan2(Operand self, Operand other)', (c, { self, other }) => atan2(c, self, other)),
  row('arctan2(Operand self, Operand other)', (c, { self, other }) => atan2(c, self, other)),
  row('hypot(Tensor self, Tensor other)', (c, { self, other }) => {
    const [x, y] = c.promoted([self, other]) as [Value, Value];
    return c.op('Sqrt', [c.op('Add', [c.op('Mul', [x, x]), c.op('Mul', [y, y])])]);
  }),
  row('xlogy.{Tensor,Scalar_Self,Scalar_Other}(Operand self, Operand other)', (c, { self, other }) => {
    const [x, y] = c.promoted([self, other], 'float32') as [Value, Value];
    const zero = c.constant(c.dtype(x), 0);
    return c.op('Where', [c.op('Equal', [x, zero]), zero, c.op('Mul', [x, c.op('Log', [y])])]);
  }),
  row('logaddexp(Tensor self, Tensor other)', (c, { self, other }) => {
    const [x, y] = c.promoted([self, other]) as [Value, Value];
    const most = c.op('Max', [x, y]);
    const rest = c.op('Exp', [c.op('Neg', [c.op('Abs', [c.op('Sub', [x, y])])])]);
    return c.op('Add', [most, c.op('Log', [c.op('Add', [rest, c.constant(c.dtype(x), 1)])])]);
  }),
  row('heaviside(Tensor self, Tensor values)', (c, { self, values }) => {
    const zero = c.constant(c.dtype(self), 0);
    const step = c.cast(c.op('Greater', [self, zero]), c.dtype(self));
    return c.op('Where', [c.op('Equal', [self, zero]), values, step]);
  }),
  row('copysign.{Tensor,Scalar}(Tensor self, Operand other)', (c, { self, other }) => {
    const [x, y] = c.promoted([self, other], 'float32') as [Value, Value];
    const size = c.op('Abs', [x]);
    return c.op('Where', [c.op('Less', [y, c.constant(c.dtype(y), 0)]), c.op('Neg', [size]), size]);
  }),
  row('lerp.{Scalar,Tensor}(Tensor self, Tensor end, Operand weight)', (c, { self, end, weight }) => {
    const share = c.tensor(weight, c.dtype(self));
    return c.op('Add', [self, c.op('Mul', [share, c.op('Sub', [end, self])])]);
  }),
  row('addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1)', (c, { self, tensor1, tensor2, value }) =>
    arithmetic(c, 'Add', self, times(c, arithmetic(c, 'Mul', tensor1, tensor2), value))),
  row('addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1)', (c, { self, tensor1, tensor2, value }) =>
    arithmetic(c, 'Add', self, times(c, divide(c, tensor1, tensor2, null), value))),
  ...rowsOf(comparisons, (name, build) => row(`${name}.{Tensor,Scalar}(Operand self, Operand other)`, (c, { self, other }) => build(c, self, other))),
  row('isclose(Tensor self, Tensor other, float rtol=1e-5, float atol=1e-8, bool equal_nan=False)', (c, { self, other, rtol, atol, equal_nan }) => {
    if (equal_nan) throw c.unsupported('equal_nan');
    const [x, y] = c.promoted([self, other], 'float32') as [Value, Value];
    const dtype = c.dtype(x);
    const within = c.op('Add', [c.constant(dtype, atol), c.op('Mul', [c.constant(dtype, rtol), c.op('Abs', [y])])]);
    return c.op('LessOrEqual', [c.op('Abs', [c.op('Sub', [x, y])]), within]);
  }),
  ...rowsOf(logic, (name, type) =>
    row(`${name}(Tensor self, Tensor other)`, (c, { self, other }) => c.op(type, [c.cast(self, 'bool'), c.cast(other, 'bool')]))),
  row('logical_not(Tensor self)', (c, { self }) => c.op('Not', [c.cast(self, 'bool')])),
  ...rowsOf(bitwise, (name, type) =>
    row(`${name}.{Tensor,Scalar,Scalar_Tensor}(Operand self, Operand other)`, (c, { self, other }) => arithmetic(c, type, self, other))),
  ...rowsOf({ bitwise_left_shift: true, __lshift__: true, bitwise_right_shift: false, __rshift__: false }, (name, left) =>
    row(`${name}.{Tensor,Tensor_Scalar,Scalar}(Tensor self, Operand other)`, (c, { self, other }) => shift(c, self, other, left))),
  row('clamp.{default,Tensor}(Tensor self, Operand? min=None, Operand? max=None)', (c, { self, min, max }) => clamp(c, self, min, max)),
  row('clip.{default,Tensor}(Tensor self, Operand? min=None, Operand? max=None)', (c, { self, min, max }) => clamp(c, self, min, max)),
  row('clamp_min.{default,Tensor}(Tensor self, Operand min)', (c, { self, min }) => clamp(c, self, min, null)),
  row('clamp_max.{default,Tensor}(Tensor self, Operand max)', (c, { self, max }) => clamp(c, self, null, max)),
  row('where.{self,ScalarOther,ScalarSelf,Scalar}(Tensor condition, Operand self, Operand other)', (c, { condition, self, other }) => where(c, condition, self, other)),
  row('masked_fill.{Scalar,Tensor}(Tensor self, Tensor mask, Operand value)', (c, { self, mask, value }) =>
    c.op('Where', [c.cast(mask, 'bool'), c.tensor(value, c.dtype(self)), self])),
];
