/** Windows: rectangles of a tensor seen as a matrix, the unit in which expressions are evaluated. */
import type { Kernels } from '@penjing/kernels';
import { dtypes, type DType } from '../dtype.js';
import { matrixView, type Shape } from '../shape.js';
import type { MultiExpr, TensorExpr } from './tensor-expr.js';

/** Rows [r0, r1) and columns [c0, c1) of a tensor seen as (dimension 0, everything else). */
export interface Window {
  readonly r0: number;
  readonly r1: number;
  readonly c0: number;
  readonly c1: number;
}

/**
 * Bytes [offset, offset + length) of a source, whole or an error; into `into` when it is given (of that length), which
 * is then what is returned, unless the bytes are in memory anyway.
 */
export type ReadRange = (source: string, offset: number, length: number, into?: Uint8Array) => Uint8Array;

/** What a quantization lost, summed over its elements. */
export interface QuantizeStats {
  /** Σ x². */
  readonly sumSquares: number;
  /** Σ (x − x̂)². */
  readonly sumSquaredError: number;
  /** max |x − x̂|. */
  readonly maxError: number;
  /** NaN and infinities, which take part in none of the sums. */
  readonly nonFinite: number;
}

/** Elements that go through several kernels at once, so that what lies between them stays in the second-level cache. */
export const STRIP = 1 << 14;

/** Codes, scales and zero points of a range of blocks. */
export interface QuantizedBlocks {
  readonly values: Uint8Array;
  readonly scales: Uint8Array;
  readonly zeroPoints?: Uint8Array | undefined;
  readonly lowValues?: Uint8Array | undefined;
  readonly lowScales?: Uint8Array | undefined;
  readonly correction?: Uint8Array | undefined;
}

/** What the rules of the operations work with. */
export interface EvaluationContext {
  readonly kernels: Kernels;
  readonly read: ReadRange;
  /** Uninitialised bytes, in kernel memory while it lasts, at a multiple of 16. */
  alloc(byteLength: number): Uint8Array;
  /** What is computed inside frees its kernel memory again: nothing of it may be kept, shared blocks least of all. */
  scratch(compute: () => void): void;
  /**
   * The elements of a window, row-major; types below 8 bits take one byte per element. The bytes may be shared: only
   * who allocated them writes to them.
   */
  window(expr: TensorExpr, window: Window): Uint8Array;
  /** Adds to what rounding lost; with an expression only where it is the last that loses something. */
  lost(stats: QuantizeStats, expr?: TensorExpr): void;
  /** Rows [r0, r1), blocks [b0, b1) of an operation with several outputs, computed once per evaluation. */
  quantized(expr: MultiExpr, r0: number, r1: number, b0: number, b1: number): QuantizedBlocks;
}

/** A rule computes a window of one operation. */
export type Rule<E extends TensorExpr = TensorExpr> = (expr: E, window: Window, context: EvaluationContext) => Uint8Array;

/** Bytes of an element inside the evaluator. */
export function elementBytes(dtype: DType): number {
  return Math.max(1, dtypes[dtype].bits / 8);
}

export function isSubByte(dtype: DType): boolean {
  return dtypes[dtype].bits < 8;
}

export function wholeWindow(shape: Shape): Window {
  const { rows, cols } = matrixView(shape);
  return { r0: 0, r1: rows, c0: 0, c1: cols };
}

export function windowCount({ r0, r1, c0, c1 }: Window): number {
  return (r1 - r0) * (c1 - c0);
}

/** Copies columns [from, from + width) of `rows` rows of `stride` bytes; gives `bytes` itself when that is all of it. */
export function cropColumns(
  bytes: Uint8Array, rows: number, stride: number, from: number, width: number, context: EvaluationContext,
): Uint8Array {
  if (width === stride) return bytes;
  const out = context.alloc(rows * width);
  for (let r = 0; r < rows; r++) out.set(bytes.subarray(r * stride + from, r * stride + from + width), r * width);
  return out;
}
