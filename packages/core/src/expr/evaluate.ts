/** Evaluates expressions, synchronously and by row ranges: the one place where weights are computed. */
import type { Kernels } from '@penjing/kernels';
import { byteSize, dtypes } from '../dtype.js';
import { PenjingError } from '../errors.js';
import { matrixView } from '../shape.js';
import { type RowRange, rowBytes } from '../tensor.js';
import { arithmetic, mask, matmul } from './evaluate-arithmetic.js';
import { assign } from './evaluate-assign.js';
import { bitcast } from './evaluate-bitcast.js';
import { cast, floatsOf, fromFloats } from './evaluate-cast.js';
import { decode, encode, repackWindow } from './evaluate-decode.js';
import { constant, fill, source } from './evaluate-leaves.js';
import { concat, gather, reshape, slice } from './evaluate-movement.js';
import { dequantize, output, quantizeWindow } from './evaluate-quantize.js';
import { sparsify } from './evaluate-sparse.js';
import { transpose } from './evaluate-transpose.js';
import type { CastExpr, TensorExpr } from './tensor-expr.js';
import { elementBytes, type EvaluationContext, type QuantizedBlocks, type QuantizeStats, type ReadRange, type Rule, STRIP, type Window, windowCount } from './window.js';

export interface EvaluationRequest {
  readonly expr: TensorExpr;
  /** Rows of dimension 0; for sub-byte types they must start and end on a byte. */
  readonly rows: RowRange;
}

export interface Evaluation {
  /**
   * Packed bytes per request, in kernel memory while it lasts: they are valid until the caller releases the arena to
   * where it was before, and may be shared with the source.
   */
  readonly bytes: readonly Uint8Array[];
  /** What rounding lost: by a quantization, or by a cast to a smaller float at the root. */
  readonly stats: QuantizeStats | undefined;
}

type Rules = { readonly [Op in TensorExpr['op']]: Rule<Extract<TensorExpr, { op: Op }>> };

const rules: Rules = {
  source, constant, fill, cast, bitcast, reshape, transpose, slice, concat, gather,
  multiply: arithmetic,
  add: arithmetic,
  matmul,
  mask, sparsify, assign, output, dequantize, decode, encode,
};

/** Outputs of the same quantization over the same blocks are computed together. */
export function evaluate(requests: readonly EvaluationRequest[], read: ReadRange, kernels: Kernels): Evaluation {
  const stats = { sumSquares: 0, sumSquaredError: 0, maxError: 0, nonFinite: 0 };
  const reporting = outermost(requests);
  const quantizations = new Map<unknown, Map<string, QuantizedBlocks>>();
  let quantized = false;
  const context: EvaluationContext = {
    kernels,
    read,
    alloc(byteLength) {
      const { arena } = kernels;
      return arena.free >= byteLength + 16 ? arena.alloc(byteLength) : new Uint8Array(byteLength);
    },
    scratch(compute) {
      const { arena } = kernels;
      const mark = arena.mark();
      compute();
      arena.release(mark);
    },
    window: (expr, window) => (rules[expr.op] as Rule)(expr, window, context),
    lost(more, expr) {
      if (expr && !reporting.has(expr)) return;
      quantized = true;
      addTotals(stats, more);
    },
    quantized(expr, r0, r1, b0, b1) {
      let blocks = quantizations.get(expr);
      if (!blocks) quantizations.set(expr, (blocks = new Map<string, QuantizedBlocks>()));
      const key = `${r0} ${r1} ${b0} ${b1}`;
      let result = blocks.get(key);
      if (!result) {
        quantized ||= expr.op === 'quantize';
        result = expr.op === 'quantize' ? quantizeWindow(expr, r0, r1, b0, b1, stats, context) : repackWindow(expr, r0, r1, b0, b1, context);
        blocks.set(key, result);
      }
      return result;
    },
  };
  let narrowed = false;
  const bytes = requests.map(({ expr, rows }) => {
    rowBytes(expr, rows);
    const window = { r0: rows.start, r1: rows.end, c0: 0, c1: matrixView(expr.shape).cols };
    if (!losesFloats(expr)) return pack(expr, context.window(expr, window), context);
    narrowed = true;
    return pack(expr, narrow(expr, window, stats, context), context);
  });
  return { bytes, stats: quantized || narrowed ? stats : undefined };
}

/** Prunings under nothing but rearrangements: what rounds above them measures its own loss only. */
function outermost(requests: readonly EvaluationRequest[]): ReadonlySet<TensorExpr> {
  const found = new Set<TensorExpr>();
  for (let { expr } of requests) {
    while (expr.op === 'transpose' || expr.op === 'reshape') expr = expr.input;
    if (expr.op === 'sparsify') found.add(expr);
  }
  return found;
}

type Totals = { -readonly [Key in keyof QuantizeStats]: QuantizeStats[Key] };

/** A cast between floats at the root, to a type that does not hold all values. */
function losesFloats(expr: TensorExpr): expr is CastExpr {
  if (expr.op !== 'cast') return false;
  const from = dtypes[expr.input.dtype];
  const to = dtypes[expr.dtype];
  return from.kind === 'float' && to.kind === 'float' && to.bits <= from.bits && from.bits <= 32;
}

/** Casts and compares with what was there before, strip by strip. */
function narrow({ dtype, input }: CastExpr, window: Window, total: Totals, context: EvaluationContext): Uint8Array {
  const before = context.window(input, window);
  const count = windowCount(window);
  const [from, to] = [elementBytes(input.dtype), elementBytes(dtype)];
  const elements = context.alloc(count * to);
  for (let at = 0; at < count; at += STRIP) {
    const end = Math.min(count, at + STRIP);
    context.scratch(() => {
      const floats = floatsOf(input.dtype, before.subarray(at * from, end * from), context);
      const part = elements.subarray(at * to, end * to);
      fromFloats(dtype, floats, part, context);
      addTotals(total, context.kernels.errorStats(floats, floatsOf(dtype, part, context)));
    });
  }
  return elements;
}

function addTotals(total: Totals, more: QuantizeStats): void {
  total.sumSquares += more.sumSquares;
  total.sumSquaredError += more.sumSquaredError;
  total.maxError = Math.max(total.maxError, more.maxError);
  total.nonFinite += more.nonFinite;
}

/** One byte per element to the packed form of sub-byte types. */
function pack(expr: TensorExpr, elements: Uint8Array, context: EvaluationContext): Uint8Array {
  const { bits } = dtypes[expr.dtype];
  if (bits >= 8) return elements;
  if (bits === 0) throw new PenjingError('E_DTYPE', 'string tensors cannot be evaluated');
  const out = context.alloc(byteSize(expr.dtype, elements.byteLength));
  context.kernels.pack(bits as 2 | 4, elements, out);
  return out;
}
