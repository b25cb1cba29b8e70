/** Reference kernels of element-wise operators. */
import { type DType, dtypeOfOnnx, dtypes } from '../dtype.js';
import { PenjingError } from '../errors.js';
import type { OpName } from '../ops/lookup.js';
import { type Shape, broadcastShapes, elementCount } from '../shape.js';
import { DenseTensor } from '../tensor.js';
import { allocate, arrayOf, broadcastIndex, expanded, fromTensor, type NdArray, numbers, rounded, scalar, toTensor } from './array.js';
import { castArray } from './cast.js';
import type { Kernel, KernelContext } from './kernel.js';

type Unary = (x: number) => number;
type Binary = (x: number, y: number) => number;
type BigBinary = (x: bigint, y: bigint) => bigint;

export function map(x: NdArray, fn: Unary, dtype: DType = x.dtype): NdArray {
  return rounded(dtype, x.shape, numbers(x).map(fn));
}

const unary = (fn: Unary): Kernel => (c) => [map(c.array(0), fn)];
/** A function with parameters from attributes. */
const shaped = (make: (c: KernelContext) => Unary): Kernel => (c) => [map(c.array(0), make(c))];

export function zip(x: NdArray, y: NdArray, fn: Binary, dtype: DType = x.dtype): NdArray {
  const shape = broadcastShapes(x.shape, y.shape);
  const [a, b] = [numbers(x), numbers(y)];
  const [i, j] = [broadcastIndex(x.shape, shape), broadcastIndex(y.shape, shape)];
  const out = new Float64Array(i.length);
  for (let k = 0; k < out.length; k++) out[k] = fn(a[i[k]!]!, b[j[k]!]!);
  return rounded(dtype, shape, out);
}

/** 64-bit integers are combined as bigints, so that they are exact and wrap. */
function zipBig(x: NdArray, y: NdArray, fn: BigBinary): NdArray {
  const shape = broadcastShapes(x.shape, y.shape);
  const [a, b] = [x.data as BigInt64Array, y.data as BigInt64Array];
  const [i, j] = [broadcastIndex(x.shape, shape), broadcastIndex(y.shape, shape)];
  const out = allocate(x.dtype, i.length) as BigInt64Array;
  for (let k = 0; k < out.length; k++) out[k] = fn(a[i[k]!]!, b[j[k]!]!);
  return arrayOf(x.dtype, shape, out);
}

const wide = (x: NdArray): boolean => x.dtype === 'int64' || x.dtype === 'uint64';

function apply(fn: Binary, big: BigBinary | undefined, x: NdArray, y: NdArray): NdArray {
  return big && wide(x) && wide(y) ? zipBig(x, y, big) : zip(x, y, fn);
}

const binary = (fn: Binary, big?: BigBinary): Kernel => (c) => [apply(fn, big, c.array(0), c.array(1))];
const variadic = (fn: Binary, big?: BigBinary): Kernel => (c) => [c.arrays().reduce((x, y) => apply(fn, big, x, y))];

type Comparable = number | bigint | string;

const compare = (fn: (x: Comparable, y: Comparable) => boolean): Kernel => (c) => [compareArrays(c.array(0), c.array(1), fn)];

function compareArrays(x: NdArray, y: NdArray, fn: (x: Comparable, y: Comparable) => boolean): NdArray {
  const shape = broadcastShapes(x.shape, y.shape);
  const [i, j] = [broadcastIndex(x.shape, shape), broadcastIndex(y.shape, shape)];
  const [a, b] = [x, y].map(({ data }): ArrayLike<Comparable> => (Array.isArray(data) ? data.map((bytes) => bytes.join()) : data)) as [ArrayLike<Comparable>, ArrayLike<Comparable>];
  const out = new Float64Array(i.length);
  for (let k = 0; k < out.length; k++) out[k] = fn(a[i[k]!]!, b[j[k]!]!) ? 1 : 0;
  return arrayOf('bool', shape, out);
}

const logical = (fn: (x: boolean, y: boolean) => boolean): Kernel => (c) => [zip(c.array(0), c.array(1), (x, y) => Number(fn(x !== 0, y !== 0)), 'bool')];

/** Ties to even. */
export function roundEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest < 0.5) return floor;
  return rest > 0.5 || floor % 2 !== 0 ? floor + 1 : floor;
}

/** Exact to double precision: series near zero, continued fraction (Lentz) for the complement elsewhere. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
      if (n > 200) break;
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let k = 60; k >= 1; k--) fraction = k / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

export const sigmoid: Unary = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus: Unary = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
export const gelu: Unary = (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));
export const geluTanh: Unary = (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

const isInteger = (dtype: DType): boolean => dtypes[dtype].kind === 'int' || dtypes[dtype].kind === 'uint';
const f = (c: KernelContext, name: string, fallback: number): number => Math.fround(c.node.float(name, fallback));

const mod: Kernel = (c) => {
  const [x, y] = [c.array(0), c.array(1)];
  if (c.node.int('fmod', 0) === 1) return [zip(x, y, (a, b) => a % b)];
  return [apply((a, b) => a - Math.floor(a / b) * b, (a, b) => ((a % b) + b) % b, x, y)];
};

const bits = (fn: BigBinary): Kernel => (c) => {
  const [x, y] = [c.array(0), c.array(1)];
  return [wide(x) ? zipBig(x, y, fn) : zip(x, y, (a, b) => Number(fn(BigInt(a), BigInt(b))))];
};

const dropout: Kernel = (c) => {
  const x = c.array(0);
  if (c.number(2, 0) !== 0 && c.number(1, 0.5) !== 0) throw c.unsupported('random dropout');
  return [x, rounded('bool', x.shape, new Float64Array(elementCount(x.shape)).fill(1))];
};

/** Bits of one type read as another of the same width. */
const bitCast: Kernel = (c) => {
  const to = dtypeOfOnnx.get(c.node.int('to', 0));
  const from = toTensor(c.array(0));
  if (!to || from.kind === 'string') throw c.unsupported('this bit cast');
  return [fromTensor(new DenseTensor(to, from.shape, from.bytes))];
};

const cast: Kernel = (c) => {
  const to = dtypeOfOnnx.get(c.node.int('to', 0));
  if (!to) throw new PenjingError('E_DTYPE', `${c.node.describe()} casts to an unknown type`);
  return [castArray(c.array(0), to, c.node.int('saturate', 1) === 1, c.node.string('round_mode', 'up'))];
};

const where: Kernel = (c) => {
  const [condition, x, y] = [c.array(0), c.array(1), c.array(2)];
  const shape: Shape = [condition.shape, x.shape, y.shape].reduce(broadcastShapes);
  const chosen = numbers(expanded(condition, shape));
  const [a, b] = [expanded(x, shape).data as Float64Array, expanded(y, shape).data as Float64Array];
  const out = allocate(x.dtype, chosen.length) as Float64Array;
  for (let i = 0; i < chosen.length; i++) out[i] = chosen[i] ? a[i]! : b[i]!;
  return [arrayOf(x.dtype, shape, out)];
};

export const elementwiseKernels = {
  Abs: (c) => [wide(c.array(0)) ? zipBig(c.array(0), c.array(0), (x) => (x < 0n ? -x : x)) : map(c.array(0), Math.abs)],
  Neg: (c) => [wide(c.array(0)) ? zipBig(c.array(0), c.array(0), (x) => -x) : map(c.array(0), (x) => -x)],
  Acos: unary(Math.acos), Acosh: unary(Math.acosh), Asin: unary(Math.asin), Asinh: unary(Math.asinh), Atan: unary(Math.atan),
  Atanh: unary(Math.atanh), Ceil: unary(Math.ceil), Cos: unary(Math.cos), Cosh: unary(Math.cosh), Erf: unary(erf), Exp: unary(Math.exp),
  Floor: unary(Math.floor), Log: unary(Math.log), Reciprocal: unary((x) => 1 / x), Relu: unary((x) => (x > 0 ? x : x === x ? 0 : x)),
  Round: unary(roundEven), Sigmoid: unary(sigmoid), Sign: unary(Math.sign), Sin: unary(Math.sin), Sinh: unary(Math.sinh),
  Softplus: unary(softplus), Softsign: unary((x) => x / (1 + Math.abs(x))), Sqrt: unary(Math.sqrt), Tan: unary(Math.tan), Tanh: unary(Math.tanh),
  HardSwish: unary((x) => x * Math.max(0, Math.min(1, x / 6 + 0.5))), Mish: unary((x) => x * Math.tanh(softplus(x))),
  IsNaN: (c) => [map(c.array(0), (x) => Number(Number.isNaN(x)), 'bool')],
  IsInf(c) {
    const [up, down] = [c.node.int('detect_positive', 1), c.node.int('detect_negative', 1)];
    return [map(c.array(0), (x) => Number((x === Infinity && up === 1) || (x === -Infinity && down === 1)), 'bool')];
  },
  Not: (c) => [map(c.array(0), (x) => Number(x === 0), 'bool')],
  BitwiseNot: (c) => [wide(c.array(0)) ? zipBig(c.array(0), c.array(0), (x) => ~x) : map(c.array(0), (x) => ~x)],
  Identity: (c) => [c.item(0)],
  Celu: shaped((c) => { const a = f(c, 'alpha', 1); return (x) => Math.max(0, x) + Math.min(0, a * Math.expm1(x / a)); }),
  Elu: shaped((c) => { const a = f(c, 'alpha', 1); return (x) => (x < 0 ? a * Math.expm1(x) : x); }),
  Gelu: shaped((c) => (c.node.string('approximate', 'none') === 'tanh' ? geluTanh : gelu)),
  HardSigmoid: shaped((c) => { const [a, b] = [f(c, 'alpha', 0.2), f(c, 'beta', 0.5)]; return (x) => Math.max(0, Math.min(1, a * x + b)); }),
  LeakyRelu: shaped((c) => { const a = f(c, 'alpha', 0.01); return (x) => (x < 0 ? a * x : x); }),
  Selu: shaped((c) => { const [a, g] = [f(c, 'alpha', 1.67326319217681884765625), f(c, 'gamma', 1.05070102214813232421875)]; return (x) => (x <= 0 ? g * a * Math.expm1(x) : g * x); }),
  Shrink: shaped((c) => { const [l, b] = [f(c, 'lambd', 0.5), f(c, 'bias', 0)]; return (x) => (x < -l ? x + b : x > l ? x - b : 0); }),
  Swish: shaped((c) => { const a = f(c, 'alpha', 1); return (x) => x * sigmoid(a * x); }),
  ThresholdedRelu: shaped((c) => { const a = f(c, 'alpha', 1); return (x) => (x > a ? x : 0); }),
  Add: binary((x, y) => x + y, (x, y) => x + y), Sub: binary((x, y) => x - y, (x, y) => x - y), Mul: binary((x, y) => x * y, (x, y) => x * y),
  Div: (c) => [apply(isInteger(c.array(0).dtype) ? (x, y) => Math.trunc(x / y) : (x, y) => x / y, (x, y) => (y === 0n ? 0n : x / y), c.array(0), c.array(1))],
  SwiGLU: (c) => [zip(map(c.array(0), (x) => x * sigmoid(f(c, 'alpha', 1) * x), 'float64'), c.array(1), (x, y) => x * y, c.array(0).dtype)],
  Mod: mod,
  Pow: (c) => [zip(c.array(0), c.array(1), Math.pow)],
  PRelu: binary((x, y) => (x < 0 ? x * y : x)),
  Max: variadic(Math.max, (x, y) => (x > y ? x : y)), Min: variadic(Math.min, (x, y) => (x < y ? x : y)),
  Sum: variadic((x, y) => x + y),
  Mean: (c) => [zip(c.arrays().map((x) => rounded('float64', x.shape, numbers(x))).reduce((x, y) => zip(x, y, (a, b) => a + b)), scalar('float64', c.count), (x, n) => x / n, c.array(0).dtype)],
  BitwiseAnd: bits((x, y) => x & y), BitwiseOr: bits((x, y) => x | y), BitwiseXor: bits((x, y) => x ^ y),
  BitShift: (c) => bits(c.node.string('direction', 'LEFT') === 'LEFT' ? (x, y) => x << y : (x, y) => x >> y)(c),
  Equal: compare((x, y) => x === y), Greater: compare((x, y) => x > y), GreaterOrEqual: compare((x, y) => x >= y),
  Less: compare((x, y) => x < y), LessOrEqual: compare((x, y) => x <= y),
  And: logical((x, y) => x && y), Or: logical((x, y) => x || y), Xor: logical((x, y) => x !== y),
  Clip(c) {
    const x = c.array(0);
    const [low, high] = [c.number(1, c.node.float('min', -Infinity)), c.number(2, c.node.float('max', Infinity))];
    return [map(x, (v) => Math.min(Math.max(v, low), high))];
  },
  Where: where,
  Cast: cast,
  CastLike: (c) => [castArray(c.array(0), c.array(1).dtype, c.node.int('saturate', 1) === 1, c.node.string('round_mode', 'up'))],
  BitCast: bitCast,
  Dropout: dropout,
} satisfies Partial<Record<OpName, Kernel>>;
