/** Blocks of GGUF files: windows are widened to whole blocks. */
import { blockCodecs } from '@penjing/kernels';
import { typedView } from '../dtype.js';
import { floatsOf, fromFloats } from './evaluate-cast.js';
import type { DecodeExpr, EncodeExpr, RepackExpr } from './tensor-expr.js';
import { cropColumns, type EvaluationContext, elementBytes, type QuantizedBlocks, type Rule, STRIP, type Window } from './window.js';

export const decode: Rule<DecodeExpr> = (expr, window, context) => {
  const { input, codec, shape } = expr;
  const { blockSize, blockBytes } = blockCodecs[codec];
  // A list is one row here; everywhere else it is one column.
  const list = shape.length === 1;
  const { r0, r1, c0, c1 } = list ? { r0: 0, r1: 1, c0: window.r0, c1: window.r1 } : window;
  const b0 = Math.floor(c0 / blockSize);
  const b1 = Math.ceil(c1 / blockSize);
  const bytes: Window = list ? { r0: b0 * blockBytes, r1: b1 * blockBytes, c0: 0, c1: 1 } : { r0, r1, c0: b0 * blockBytes, c1: b1 * blockBytes };
  const rows = r1 - r0;
  const stride = (b1 - b0) * blockSize * 4;
  const out = context.alloc(rows * stride);
  context.kernels.decodeBlocks({ codec, src: context.window(input, bytes), dst: typedView('float32', out) as Float32Array });
  return cropColumns(out, rows, stride, (c0 - b0 * blockSize) * 4, (c1 - c0) * 4, context);
};

export const encode: Rule<EncodeExpr> = ({ input, codec }, { r0, r1, c0, c1 }, context) => {
  const { blockSize, blockBytes } = blockCodecs[codec];
  const b0 = Math.floor(c0 / blockBytes);
  const b1 = Math.ceil(c1 / blockBytes);
  const before = context.window(input, { r0, r1, c0: b0 * blockSize, c1: b1 * blockSize });
  const rows = r1 - r0;
  const stride = (b1 - b0) * blockBytes;
  const out = context.alloc(rows * stride);
  const block = blockSize * elementBytes(input.dtype);
  const blocks = rows * (b1 - b0);
  const step = Math.ceil(STRIP / blockSize);
  for (let at = 0; at < blocks; at += step) {
    const end = Math.min(blocks, at + step);
    context.scratch(() => {
      const floats = floatsOf(input.dtype, before.subarray(at * block, end * block), context);
      context.lost(context.kernels.encodeBlocks({ codec, src: floats, dst: out.subarray(at * blockBytes, end * blockBytes) }));
    });
  }
  return cropColumns(out, rows, stride, c0 - b0 * blockBytes, c1 - c0, context);
};

/** Rows [r0, r1), sub-blocks [b0, b1). */
export function repackWindow(expr: RepackExpr, r0: number, r1: number, b0: number, b1: number, context: EvaluationContext): QuantizedBlocks {
  const { input, codec, scaleDtype, split, scheme: { bits } } = expr;
  const { blockSize, blockBytes, subSize, corrected } = blockCodecs[codec];
  const subs = blockSize / subSize;
  const first = Math.floor(b0 / subs);
  const end = Math.ceil(b1 / subs);
  const rows = r1 - r0;
  const wide = (end - first) * subs; // sub-blocks of a row that are computed
  const src = context.window(input, { r0, r1, c0: first * blockBytes, c1: end * blockBytes });
  const subBytes = (subSize * bits) / 8;
  const values = context.alloc(rows * wide * subBytes);
  const scales = context.alloc(rows * wide * 4);
  const low = split ? { values: context.alloc(values.byteLength), scales: context.alloc(scales.byteLength) } : undefined;
  const correction = corrected ? context.alloc(scales.byteLength) : undefined;
  context.kernels.repackBlocks({
    codec, src, values, scales: typedView('float32', scales) as Float32Array,
    ...(low && { low: { values: low.values, scales: typedView('float32', low.scales) as Float32Array } }),
    ...(correction && { correction: typedView('float32', correction) as Float32Array }),
  });
  const crop = (bytes: Uint8Array, width: number): Uint8Array =>
    cropColumns(bytes, rows, wide * width, (b0 - first * subs) * width, (b1 - b0) * width, context);
  const narrow = (bytes: Uint8Array): Uint8Array => {
    const cropped = crop(bytes, 4);
    if (scaleDtype === 'float32') return cropped;
    const out = context.alloc(rows * (b1 - b0) * elementBytes(scaleDtype));
    fromFloats(scaleDtype, typedView('float32', cropped) as Float32Array, out, context);
    return out;
  };
  return {
    values: crop(values, subBytes),
    scales: narrow(scales),
    lowValues: low && crop(low.values, subBytes),
    lowScales: low && narrow(low.scales),
    correction: correction && narrow(correction),
  };
}
