/** Python arithmetic on numbers of the graph: what programs do with sizes between operators. */
import type { DType, Value } from '@penjing/core';
import type { AtenContext } from './context.js';
import { isFloatScalar, isSym, plainNumber, type Scalar, type Sym } from './values.js';

type Result = Scalar;
type Operator = (c: AtenContext, a: Scalar, b: Scalar) => Result;

const sym = (value: Value): Sym => ({ kind: 'sym', value });

function dtypeOf(c: AtenContext, scalar: Scalar): DType {
  if (isSym(scalar)) return c.dtype(scalar.value);
  if (typeof scalar === 'boolean') return 'bool';
  return isFloatScalar(scalar) || !Number.isInteger(scalar) ? 'float32' : 'int64';
}

/** In a tensor of shape [1]. */
function vector(c: AtenContext, scalar: Scalar, dtype: DType): Value {
  return isSym(scalar) ? c.cast(scalar.value, dtype) : c.constant(dtype, [plainNumber(scalar)!]);
}

/** A number when it is known. */
function settle(c: AtenContext, value: Value): Result {
  return c.dtype(value) === 'int64' ? c.sym(value) : sym(value);
}

/** Both operands as floats when one is, otherwise as integers. */
function operands(c: AtenContext, a: Scalar, b: Scalar, least: DType = 'int64'): [Value, Value] {
  const float = [a, b].some((item) => dtypeOf(c, item) === 'float32') || least === 'float32';
  const dtype = float ? 'float32' : 'int64';
  return [vector(c, a, dtype), vector(c, b, dtype)];
}

function arithmetic(type: string, plain: (x: number, y: number) => number): Operator {
  return (c, a, b) => {
    const [x, y] = [plainNumber(a), plainNumber(b)];
    if (x !== undefined && y !== undefined) {
      const number = plain(x, y);
      return Number.isInteger(number) && (isFloatScalar(a) || isFloatScalar(b)) ? { kind: 'float', number } : number;
    }
    return settle(c, c.op(type, operands(c, a, b)));
  };
}

/** Sizes and what is added to them are never negative; a difference may be, and rounds down. */
const floorDivide: Operator = (c, a, b) => {
  const [x, y] = [plainNumber(a), plainNumber(b)];
  if (x !== undefined && y !== undefined) return Math.floor(x / y);
  const pair = operands(c, a, b);
  if (c.dtype(pair[0]) !== 'int64') return sym(c.op('Floor', [c.op('Div', pair)]));
  const [top] = c.values(pair[0]) ?? [];
  const positive = typeof top === 'number' ? top >= 0 : typeof top === 'string' && !top.includes('-');
  if (positive) return c.sym(c.op('Div', pair));
  return c.sym(c.op('Div', [c.op('Sub', [pair[0], c.op('Mod', pair)]), pair[1]]));
};

function comparison(type: string, plain: (x: number, y: number) => boolean, negate = false): Operator {
  return (c, a, b) => {
    const [x, y] = [plainNumber(a), plainNumber(b)];
    if (x !== undefined && y !== undefined) return plain(x, y);
    const result = c.op(type, operands(c, a, b));
    return sym(negate ? c.op('Not', [result]) : result);
  };
}

const round = (type: 'Floor' | 'Ceil' | undefined, plain: (x: number) => number): Operator => (c, a) => {
  const x = plainNumber(a);
  if (x !== undefined) return plain(x);
  const value = (a as Sym).value;
  if (c.dtype(value) === 'int64') return a;
  return c.sym(c.cast(type ? c.op(type, [value]) : value, 'int64'));
};

/** By the names that exported programs and TorchScript give them. */
const table: Readonly<Record<string, Operator>> = {
  add: arithmetic('Add', (x, y) => x + y), sub: arithmetic('Sub', (x, y) => x - y), mul: arithmetic('Mul', (x, y) => x * y),
  mod: arithmetic('Mod', (x, y) => ((x % y) + y) % y), floordiv: floorDivide,
  max: arithmetic('Max', Math.max), min: arithmetic('Min', Math.min), pow: arithmetic('Pow', (x, y) => x ** y),
  truediv: (c, a, b) => {
    const [x, y] = [plainNumber(a), plainNumber(b)];
    if (x !== undefined && y !== undefined) return { kind: 'float', number: x / y };
    return sym(c.op('Div', operands(c, a, b, 'float32')));
  },
  neg: (c, a) => table['sub']!(c, 0, a),
  eq: comparison('Equal', (x, y) => x === y), ne: comparison('Equal', (x, y) => x !== y, true),
  lt: comparison('Less', (x, y) => x < y), le: comparison('LessOrEqual', (x, y) => x <= y),
  gt: comparison('Greater', (x, y) => x > y), ge: comparison('GreaterOrEqual', (x, y) => x >= y),
  not: (c, a) => (isSym(a) ? sym(c.op('Not', [a.value])) : !plainNumber(a)),
  floor: round('Floor', Math.floor), ceil: round('Ceil', Math.ceil), trunc: round(undefined, Math.trunc),
  float: (c, a) => (isSym(a) ? sym(c.cast(a.value, 'float32')) : { kind: 'float', number: plainNumber(a)! }),
  sqrt: (c, a) => (isSym(a) ? sym(c.op('Sqrt', [c.cast(a.value, 'float32')])) : { kind: 'float', number: Math.sqrt(plainNumber(a)!) }),
  and: (c, a, b) => logical(c, 'And', a, b), or: (c, a, b) => logical(c, 'Or', a, b),
};

function logical(c: AtenContext, type: 'And' | 'Or', a: Scalar, b: Scalar): Result {
  const [x, y] = [plainNumber(a), plainNumber(b)];
  if (x !== undefined && y !== undefined) return type === 'And' ? Boolean(x && y) : Boolean(x || y);
  return sym(c.op(type, [vector(c, a, 'bool'), vector(c, b, 'bool')]));
}

/** Undefined when there is no such operator. */
export function symOperator(name: string): ((c: AtenContext, a: Scalar, b?: Scalar) => Result) | undefined {
  const operator = Object.hasOwn(table, name) ? table[name] : undefined;
  return operator && ((c, a, b) => operator(c, a, b ?? 0));
}
