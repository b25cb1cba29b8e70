/** Leaves: file ranges, small constants and fills. */
import { plainKernels } from '@penjing/kernels';
import { dtypes, type DType, typedView } from '../dtype.js';
import { PenjingError } from '../errors.js';
import { elementCount, matrixView } from '../shape.js';
import { fromFloats } from './evaluate-cast.js';
import type { ConstantExpr, FillExpr, SourceExpr } from './tensor-expr.js';
import { cropColumns, elementBytes, type EvaluationContext, isSubByte, type Rule, type Window, windowCount } from './window.js';

/**
 * Gaps between the rows of a column band up to this, and up to so many bands, are read and dropped: a call costs 1 to 2 µs of processor time,
 * in which 16 to 32 KB come from the page cache.
 */
const READ_THROUGH_BYTES = 16_384;
const READ_THROUGH_BANDS = 16;
/** So much is read through at a time: what is picked from it is still in the cache of the core. */
const SLAB_BYTES = 2 ** 18;

export const source: Rule<SourceExpr> = (expr, window, context) => {
  const { cols } = matrixView(expr.shape);
  if (isSubByte(expr.dtype)) return packedSource(expr, window, cols, context);
  const width = elementBytes(expr.dtype);
  const { r0, r1, c0, c1 } = window;
  const rows = r1 - r0;
  const stride = cols * width;
  const band = (c1 - c0) * width;
  const start = expr.offset + r0 * stride + c0 * width;
  if (band === stride || rows <= 1) return readInto(expr.source, start, rows * band, context);
  if (stride - band <= Math.min(READ_THROUGH_BYTES, READ_THROUGH_BANDS * band)) {
    const out = context.alloc(rows * band);
    const slabRows = Math.max(1, Math.floor(SLAB_BYTES / stride));
    const slab = context.alloc((Math.min(rows, slabRows) - 1) * stride + band);
    for (let first = 0; first < rows; first += slabRows) {
      const count = Math.min(slabRows, rows - first);
      const length = (count - 1) * stride + band;
      const bytes = context.read(expr.source, start + first * stride, length, slab.subarray(0, length));
      for (let r = 0; r < count; r++) out.set(bytes.subarray(r * stride, r * stride + band), (first + r) * band);
    }
    return out;
  }
  const out = context.alloc(rows * band);
  for (let r = 0; r < rows; r++) {
    const target = out.subarray(r * band, (r + 1) * band);
    const bytes = context.read(expr.source, start + r * stride, band, target);
    if (bytes !== target) target.set(bytes);
  }
  return out;
};

function readInto(key: string, offset: number, length: number, context: EvaluationContext): Uint8Array {
  if (length === 0) return new Uint8Array(0);
  return context.read(key, offset, length, context.alloc(length));
}

/** Sub-byte elements: reads the bytes around each run of elements and spreads them, one per byte. */
function packedSource(expr: SourceExpr, { r0, r1, c0, c1 }: Window, cols: number, context: EvaluationContext): Uint8Array {
  const whole = c1 - c0 === cols;
  const rows = whole ? 1 : r1 - r0;
  const count = whole ? (r1 - r0) * cols : c1 - c0;
  const out = context.alloc(rows * count);
  const { bits } = dtypes[expr.dtype];
  const perByte = 8 / bits;
  for (let r = 0; r < rows; r++) {
    const first = (r0 + r) * cols + c0;
    const firstByte = Math.floor(first / perByte);
    const endByte = Math.ceil((first + count) / perByte);
    const packed = readInto(expr.source, expr.offset + firstByte, endByte - firstByte, context);
    unpackInto(expr.dtype, packed, first % perByte, out.subarray(r * count, (r + 1) * count), context);
  }
  return out;
}

/** Spreads packed elements from element `skip` of `packed` on, sign-extended where the type is signed. */
export function unpackInto(dtype: DType, packed: Uint8Array, skip: number, out: Uint8Array, context: EvaluationContext): void {
  const { bits, kind } = dtypes[dtype];
  const width = bits as 2 | 4;
  const signed = kind === 'int';
  if (skip === 0) return context.kernels.unpack(width, signed, packed, out);
  const all = context.alloc(skip + out.length);
  context.kernels.unpack(width, signed, packed.subarray(0, Math.ceil((all.length * bits) / 8)), all);
  out.set(all.subarray(skip));
}

const plain = plainKernels({ arenaBytes: 0 });

/** Constants are decoded once per expression. */
const decoded = new WeakMap<ConstantExpr, Uint8Array>();

export const constant: Rule<ConstantExpr> = (expr, window, context) => {
  let bytes = decoded.get(expr);
  if (!bytes) {
    bytes = Uint8Array.from(atob(expr.data), (char) => char.charCodeAt(0));
    if (isSubByte(expr.dtype)) {
      const elements = new Uint8Array(elementCount(expr.shape));
      // By kernels of its own: those of the context may only be finding out what is read, and compute nothing.
      unpackInto(expr.dtype, bytes, 0, elements, { ...context, kernels: plain });
      bytes = elements;
    }
    decoded.set(expr, bytes);
  }
  const width = elementBytes(expr.dtype);
  const stride = matrixView(expr.shape).cols * width;
  const { r0, r1, c0, c1 } = window;
  return cropColumns(bytes.subarray(r0 * stride, r1 * stride), r1 - r0, stride, c0 * width, (c1 - c0) * width, context);
};

export const fill: Rule<FillExpr> = (expr, window, context) => {
  const { dtype, value } = expr;
  const out = context.alloc(windowCount(window) * elementBytes(dtype));
  const view = typedView(dtype, out);
  if (dtypes[dtype].kind === 'complex' || dtypes[dtype].kind === 'string') throw new PenjingError('E_DTYPE', `cannot fill ${dtype} tensors`);
  if (view instanceof BigInt64Array || view instanceof BigUint64Array) view.fill(BigInt(value));
  else if (dtype === 'float64' || dtype === 'int32' || dtype === 'uint32') view.fill(value);
  else {
    const one = new Uint8Array(elementBytes(dtype));
    fromFloats(dtype, Float32Array.of(value), one, context);
    view.fill(Number(typedView(dtype, one)[0]));
  }
  return out;
};
