/** Element type conversions: through float32 with the kernels, or exactly between wide types. */
import type { NumberDType } from '@penjing/kernels';
import { dtypes, type DType, typedView } from '../dtype.js';
import { PenjingError } from '../errors.js';
import type { CastExpr } from './tensor-expr.js';
import { elementBytes, type EvaluationContext, isSubByte, type Rule, windowCount } from './window.js';

/** Types whose values do not all fit float32. */
const WIDE: ReadonlySet<DType> = new Set(['float64', 'int64', 'uint64', 'int32', 'uint32']);

export const cast: Rule<CastExpr> = (expr, window, context) => {
  const from = expr.input.dtype;
  const bytes = context.window(expr.input, window);
  const out = context.alloc(windowCount(window) * elementBytes(expr.dtype));
  convert(from, bytes, expr.dtype, out, context);
  return out;
};

/** Converts elements of `from` to elements of `to`; both one byte per element below 8 bits. */
export function convert(from: DType, bytes: Uint8Array, to: DType, out: Uint8Array, context: EvaluationContext): void {
  if (from === to) return out.set(bytes);
  const exact = WIDE.has(from) && (WIDE.has(to) || dtypes[to].kind !== 'float') && to !== 'bool';
  if (exact || (isInteger(from) && isInteger(to))) return convertExactly(from, bytes, to, out);
  if (WIDE.has(to) && to !== 'float64' && !isInteger(from)) {
    // float32 holds every narrower float exactly.
    return convertExactly('float32', bytesOfFloats(floatsOf(from, bytes, context)), to, out);
  }
  if (to === 'float32') context.kernels.toFloat32(numberDtype(from), typedView(storage(from), bytes), typedView('float32', out) as Float32Array);
  else fromFloats(to, floatsOf(from, bytes, context), out, context);
}

/** The elements as float32. */
export function floatsOf(dtype: DType, bytes: Uint8Array, context: EvaluationContext): Float32Array {
  if (dtype === 'float32') return typedView('float32', bytes) as Float32Array;
  const count = bytes.byteLength / elementBytes(dtype);
  const out = typedView('float32', context.alloc(count * 4)) as Float32Array;
  context.kernels.toFloat32(numberDtype(dtype), typedView(storage(dtype), bytes), out);
  return out;
}

/** Rounds float32 numbers to elements of `dtype`. */
export function fromFloats(dtype: DType, floats: Float32Array, out: Uint8Array, context: EvaluationContext): void {
  if (dtype === 'float32') out.set(bytesOfFloats(floats));
  else context.kernels.fromFloat32(numberDtype(dtype), floats, typedView(storage(dtype), out));
}

function bytesOfFloats(floats: Float32Array): Uint8Array {
  return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
}

/** Sub-byte elements lie in bytes here. */
function storage(dtype: DType): DType {
  return isSubByte(dtype) ? 'uint8' : dtype;
}

function isInteger(dtype: DType): boolean {
  return dtypes[dtype].kind === 'int' || dtypes[dtype].kind === 'uint';
}

function numberDtype(dtype: DType): NumberDType {
  const { kind } = dtypes[dtype];
  if (kind === 'complex' || kind === 'string') throw new PenjingError('E_DTYPE', `${dtype} tensors have no arithmetic`);
  return dtype as NumberDType;
}

/** Integers wrap as in C, floats round to nearest even and saturate; nothing passes through float32. */
function convertExactly(from: DType, bytes: Uint8Array, to: DType, out: Uint8Array): void {
  const source = typedView(narrowInt(from), bytes);
  const target = typedView(narrowInt(to), out);
  const { bits, kind } = dtypes[to];
  const wrap = (value: bigint): bigint => (kind === 'uint' ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value));
  const fromFloat = dtypes[from].kind === 'float';
  const big = target instanceof BigInt64Array || target instanceof BigUint64Array;
  for (let i = 0; i < target.length; i++) {
    const value = source[i]!;
    if (kind === 'float') target[i] = Number(value);
    else if (fromFloat) {
      const whole = saturate(value as number, bits, kind === 'uint');
      target[i] = big ? whole : Number(whole);
    } else {
      const whole = wrap(BigInt(value));
      target[i] = big ? whole : Number(whole);
    }
  }
}

/** Signed types below 8 bits are read and written sign-extended. */
function narrowInt(dtype: DType): DType {
  if (!isSubByte(dtype)) return dtype;
  return dtypes[dtype].kind === 'int' ? 'int8' : 'uint8';
}

function saturate(value: number, bits: number, unsigned: boolean): bigint {
  const low = unsigned ? 0n : -(2n ** BigInt(bits - 1));
  const high = 2n ** BigInt(unsigned ? bits : bits - 1) - 1n;
  if (value !== value) return 0n;
  if (value >= Number(high)) return high;
  if (value <= Number(low)) return low;
  const floor = Math.floor(value);
  const rest = value - floor;
  return BigInt(rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor);
}
