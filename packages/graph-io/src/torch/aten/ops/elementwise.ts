/** Element-wise functions of one tensor, without the activations. */
import type { Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { isFloat, toFloat } from '../promote.js';
import { row, rowsOf } from '../row.js';

type Unary = (c: AtenContext, x: Value) => Value;

/** The operand as floats: integers become float32. */
export const floats: Unary = (c, x) => c.cast(x, toFloat(c.dtype(x)));

const node = (type: string): Unary => (c, x) => c.op(type, [x]);
const scaled = (factor: number): Unary => (c, x) => c.op('Mul', [x, c.constant(c.dtype(x), factor)]);
const one = (c: AtenContext, x: Value): Value => c.constant(c.dtype(x), 1);

/** Give floats, also of integers. */
const floatFunctions: Readonly<Record<string, Unary>> = {
  sqrt: node('Sqrt'), exp: node('Exp'), log: node('Log'), sin: node('Sin'), cos: node('Cos'), tan: node('Tan'), asin: node('Asin'),
  acos: node('Acos'), atan: node('Atan'), sinh: node('Sinh'), cosh: node('Cosh'), tanh: node('Tanh'), asinh: node('Asinh'),
  acosh: node('Acosh'), atanh: node('Atanh'), erf: node('Erf'), sigmoid: node('Sigmoid'), reciprocal: node('Reciprocal'),
  special_erf: node('Erf'), special_expit: node('Sigmoid'),
  rsqrt: (c, x) => c.op('Reciprocal', [c.op('Sqrt', [x])]),
  expm1: (c, x) => c.op('Sub', [c.op('Exp', [x]), one(c, x)]),
  special_expm1: (c, x) => c.op('Sub', [c.op('Exp', [x]), one(c, x)]),
  log1p: (c, x) => c.op('Log', [c.op('Add', [x, one(c, x)])]),
  special_log1p: (c, x) => c.op('Log', [c.op('Add', [x, one(c, x)])]),
  log2: (c, x) => scaled(Math.LOG2E)(c, c.op('Log', [x])),
  log10: (c, x) => scaled(Math.LOG10E)(c, c.op('Log', [x])),
  exp2: (c, x) => c.op('Exp', [scaled(Math.LN2)(c, x)]),
  special_exp2: (c, x) => c.op('Exp', [scaled(Math.LN2)(c, x)]),
  erfc: (c, x) => c.op('Sub', [one(c, x), c.op('Erf', [x])]),
  special_erfc: (c, x) => c.op('Sub', [one(c, x), c.op('Erf', [x])]),
  deg2rad: scaled(Math.PI / 180), rad2deg: scaled(180 / Math.PI),
  sinc: (c, x) => {
    const angle = scaled(Math.PI)(c, x);
    const zero = c.op('Equal', [x, c.constant(c.dtype(x), 0)]);
    return c.op('Where', [zero, one(c, x), c.op('Div', [c.op('Sin', [angle]), angle])]);
  },
};

/** Towards zero. */
export const truncate: Unary = (c, x) => {
  const size = c.op('Floor', [c.op('Abs', [x])]);
  return c.op('Mul', [size, c.op('Sign', [x])]);
};

/** Keep the element type; integers have nothing to round. */
const roundings: Readonly<Record<string, Unary>> = {
  floor: node('Floor'), ceil: node('Ceil'), round: node('Round'), trunc: truncate, fix: truncate,
};

/** Keep the element type. */
const same: Readonly<Record<string, Unary>> = {
  abs: (c, x) => (c.dtype(x) === 'bool' ? x : c.op('Abs', [x])),
  absolute: node('Abs'), neg: node('Neg'), negative: node('Neg'),
  sign: (c, x) => (c.dtype(x) === 'bool' ? x : c.op('Sign', [x])),
  sgn: node('Sign'), positive: (_, x) => x,
  square: (c, x) => c.op('Mul', [x, x]),
  frac: (c, x) => c.op('Sub', [x, truncate(c, x)]),
  bitwise_not: (c, x) => c.op(c.dtype(x) === 'bool' ? 'Not' : 'BitwiseNot', [x]),
};

const never = (c: AtenContext, x: Value): Value => c.op('Expand', [c.constant('bool', 0), c.vector(c.sizes(x))]);

/** What IsInf and IsNaN say; integers are neither. */
const special = (of: Unary): Unary => (c, x) => (isFloat(c.dtype(x)) ? of(c, x) : never(c, x));

const predicates: Readonly<Record<string, Unary>> = {
  isnan: special(node('IsNaN')), isinf: special(node('IsInf')),
  isposinf: special((c, x) => c.op('IsInf', [x], { detect_negative: 0 })),
  isneginf: special((c, x) => c.op('IsInf', [x], { detect_positive: 0 })),
  isfinite: (c, x) => c.op('Not', [isFloat(c.dtype(x)) ? c.op('Or', [c.op('IsNaN', [x]), c.op('IsInf', [x])]) : never(c, x)]),
  signbit: (c, x) => c.op('Less', [x, c.constant(c.dtype(x), 0)]),
};

export const elementwise = [
  ...rowsOf(floatFunctions, (name, build) => row(`${name}(Tensor self)`, (c, { self }) => build(c, floats(c, self)))),
  ...rowsOf(roundings, (name, build) => row(`${name}(Tensor self)`, (c, { self }) => (isFloat(c.dtype(self)) ? build(c, self) : self))),
  ...rowsOf({ ...same, ...predicates }, (name, build) => row(`${name}(Tensor self)`, (c, { self }) => build(c, self))),
  row('round.decimals(Tensor self, *, int decimals)', (c, { self, decimals }) => {
    const factor = c.constant(c.dtype(self), 10 ** decimals);
    return c.op('Div', [c.op('Round', [c.op('Mul', [self, factor])]), factor]);
  }),
  row('logit(Tensor self, float? eps=None)', (c, { self, eps }) => {
    const x = floats(c, self);
    const dtype = c.dtype(x);
    const p = eps === null ? x : c.op('Clip', [x, c.constant(dtype, eps), c.constant(dtype, 1 - eps)]);
    return c.op('Log', [c.op('Div', [p, c.op('Sub', [c.constant(dtype, 1), p])])]);
  }),
  row('nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None)', (c, { self, nan, posinf, neginf }) => {
    const dtype = c.dtype(self);
    if (!isFloat(dtype)) return self;
    const most = dtype === 'float16' ? 65504 : dtype === 'float64' ? Number.MAX_VALUE : 3.4028234663852886e38;
    const filled = c.op('Where', [c.op('IsNaN', [self]), c.constant(dtype, nan ?? 0), self]);
    const high = c.op('IsInf', [self], { detect_negative: 0 });
    const low = c.op('IsInf', [self], { detect_positive: 0 });
    return c.op('Where', [low, c.constant(dtype, neginf ?? -most), c.op('Where', [high, c.constant(dtype, posinf ?? most), filled])]);
  }),
];
