/** Shape rules of element-wise operators; small integer tensors are computed along. */
import { type DType, dtypeOfOnnx, dtypes } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import type { Dim } from '../shape.js';
import { addDims, exactQuotient, floorDivideDims, multiplyDims, sameDim, subtractDims } from './dims.js';
import { broadcast, type Dims, type InferContext, type InferRule, likeInput, likeInputAs, sameAsInput, tensor } from './rule.js';

/** Elements of two small tensors combined, one of them repeated when it is a single element. */
function combine(a: Dims | undefined, b: Dims | undefined, op: (x: Dim, y: Dim) => Dim): Dims | undefined {
  if (!a || !b || (a.length !== b.length && a.length !== 1 && b.length !== 1)) return undefined;
  const count = a.length === 1 ? b.length : a.length;
  return Array.from({ length: count }, (_, i) => op(a.length === 1 ? a[0]! : a[i]!, b.length === 1 ? b[0]! : b[i]!));
}

const arithmetic = (op: (x: Dim, y: Dim, dtype: DType | undefined) => Dim): InferRule => (c) => {
  const dtype = c.dtype(0) ?? c.dtype(1);
  return [broadcast(c, dtype, combine(c.values(0), c.values(1), (x, y) => op(x, y, dtype)))];
};

const compare = (op?: (x: Dim, y: Dim) => boolean | undefined): InferRule => (c) => {
  const values = op && combine(c.values(0), c.values(1), (x, y) => {
    const result = op(x, y);
    return result === undefined ? null : Number(result);
  });
  return [broadcast(c, 'bool', values)];
};

const order = (op: (x: number, y: number) => boolean) =>
  compare((x, y) => (typeof x === 'number' && typeof y === 'number' ? op(x, y) : undefined));

const variadic: InferRule = (c) => [broadcast(c, c.dtype(0))];

/** Of all inputs; symbols are sizes, so they are larger than any negative number. */
const extreme = (pick: (x: number, y: number) => number): InferRule => (c) => {
  let values = c.values(0);
  for (let i = 1; i < c.inputCount; i++) {
    values = combine(values, c.values(i), (x, y) => {
      if (typeof x === 'number' && typeof y === 'number') return pick(x, y);
      return sameDim(x, y) ? x : null;
    });
  }
  return [broadcast(c, c.dtype(0), values)];
};

const onNumbers = (op: (x: number) => number): InferRule => (c) => {
  const values = c.values(0)?.map((x) => (typeof x === 'number' ? op(x) : null));
  return [tensor(c.dtype(0), c.shape(0), values)];
};

/** Rounding leaves symbols as they are: they stand for integers. */
const rounding = (op: (x: number) => number): InferRule => (c) => {
  const values = c.values(0)?.map((x) => (typeof x === 'number' ? op(x) : x));
  return [tensor(c.dtype(0), c.shape(0), values)];
};

function isFloat(dtype: DType | undefined): boolean {
  return dtype !== undefined && dtypes[dtype].kind === 'float';
}

function divide(x: Dim, y: Dim, dtype: DType | undefined): Dim {
  // Division of integers rounds towards zero.
  if (!isFloat(dtype)) return typeof x === 'number' && typeof y === 'number' && y !== 0 ? Math.trunc(x / y) : floorDivideDims(x, y);
  return typeof x === 'number' && typeof y === 'number' ? x / y : (exactQuotient(x, y) ?? null);
}

function cast(c: InferContext, to: DType | undefined): ReturnType<InferRule> {
  const whole = to !== undefined && !isFloat(to);
  const values = c.values(0)?.map((x) => (whole && typeof x === 'number' ? Math.trunc(x) : x));
  return [tensor(to, c.shape(0), to === 'bool' ? values?.map((x) => (typeof x === 'number' ? Number(x !== 0) : null)) : values)];
}

/** A difference of sizes, as text. */
const mayBeNegative = (dim: Dim): boolean => typeof dim === 'string' && dim.includes('-');

const dropout: InferRule = (c) => [{ type: c.type(0) }, tensor('bool', c.shape(0))];

export const elementwiseRules = {
  Abs: onNumbers(Math.abs), Ceil: rounding(Math.ceil), Floor: rounding(Math.floor), Round: rounding(Math.round),
  Neg: (c) => [tensor(c.dtype(0), c.shape(0), c.values(0)?.map((x) => multiplyDims(x, -1)))],
  Identity: sameAsInput,
  Acos: likeInput, Acosh: likeInput, Asin: likeInput, Asinh: likeInput, Atan: likeInput, Atanh: likeInput, BitwiseNot: likeInput,
  Celu: likeInput, Clip: likeInput, Cos: likeInput, Cosh: likeInput, Elu: likeInput, Erf: likeInput, Exp: likeInput, Gelu: likeInput,
  HardSigmoid: likeInput, HardSwish: likeInput, LeakyRelu: likeInput, Log: likeInput, Mish: likeInput, Reciprocal: likeInput,
  Relu: likeInput, Selu: likeInput, Shrink: likeInput, Sigmoid: likeInput, Sign: likeInput, Sin: likeInput, Sinh: likeInput,
  Softplus: likeInput, Softsign: likeInput, Sqrt: likeInput, Swish: likeInput, Tan: likeInput, Tanh: likeInput,
  ThresholdedRelu: likeInput, PRelu: likeInput,
  Dropout: dropout,
  Add: arithmetic(addDims), Sub: arithmetic(subtractDims), Mul: arithmetic(multiplyDims), Div: arithmetic(divide),
  Mod: arithmetic((x, y) => (typeof x === 'number' && typeof y === 'number' && y !== 0 ? ((x % y) + y) % y : null)),
  Pow: (c) => [broadcast(c, c.dtype(0))],
  BitShift: variadic, BitwiseAnd: variadic, BitwiseOr: variadic, BitwiseXor: variadic, Sum: variadic, Mean: variadic, SwiGLU: variadic,
  Max: extreme(Math.max), Min: extreme(Math.min),
  Equal: compare((x, y) => {
    if (sameDim(x, y)) return true;
    // A symbol is a size, so it never equals a negative number such as the -1 of Expand and Reshape.
    const negative = (typeof x === 'number' && x < 0) || (typeof y === 'number' && y < 0);
    if (negative && x !== null && y !== null) return mayBeNegative(x) || mayBeNegative(y) ? undefined : false;
    return typeof x === 'number' && typeof y === 'number' ? x === y : undefined;
  }),
  Greater: order((x, y) => x > y), GreaterOrEqual: order((x, y) => x >= y), Less: order((x, y) => x < y), LessOrEqual: order((x, y) => x <= y),
  And: compare(), Or: compare(), Xor: compare(),
  Not: (c) => [tensor('bool', c.shape(0), c.values(0)?.map((x) => (typeof x === 'number' ? Number(x === 0) : null)))],
  IsInf: likeInputAs('bool'), IsNaN: likeInputAs('bool'),
  Where(c) {
    const chosen = c.values(0);
    const yes = c.values(1);
    const no = c.values(2);
    const count = Math.max(chosen?.length ?? 0, yes?.length ?? 0, no?.length ?? 0);
    const at = (list: Dims, i: number): Dim => list[list.length === 1 ? 0 : i] ?? null;
    const values = chosen && yes && no
      ? Array.from({ length: count }, (_, i) => {
        const which = at(chosen, i);
        return which === null ? (sameDim(at(yes, i), at(no, i)) ? at(yes, i) : null) : at(which ? yes : no, i);
      })
      : undefined;
    return [broadcast(c, c.dtype(1) ?? c.dtype(2), values)];
  },
  Cast: (c) => cast(c, dtypeOfOnnx.get(c.node.int('to', 1))),
  CastLike: (c) => cast(c, c.dtype(1)),
  BitCast: (c) => {
    const to = dtypeOfOnnx.get(c.node.int('to', 1));
    return [tensor(to, c.shape(0))];
  },
} satisfies Partial<Record<OpName, InferRule>>;
