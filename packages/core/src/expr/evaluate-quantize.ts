/** Block quantization and its inverse: windows are widened to whole blocks, and to whole bytes of packed codes. */
import { PenjingError } from '../errors.js';
import { typedView, type DType } from '../dtype.js';
import type { BlockStats, SourceDType } from '@penjing/kernels';
import { floatsOf, fromFloats } from './evaluate-cast.js';
import type { BlockScheme, DequantizeExpr, OutputExpr, QuantizeExpr, TensorExpr } from './tensor-expr.js';
import { cropColumns, elementBytes, type EvaluationContext, type QuantizedBlocks, type Rule } from './window.js';

/** Blocks whose zero points fill a byte; also the period of ONNX Runtime's padding bits, so windows keep to it. */
export function blocksPerByte({ bits, layout }: BlockScheme): number {
  return layout === 'nbits' ? 8 / bits : 1;
}

/** Outputs of one number per block, of the type of the scales. */
const PER_BLOCK: ReadonlySet<OutputExpr['name']> = new Set(['scales', 'lowScales', 'correction']);

export const output: Rule<OutputExpr> = (expr, window, context) => {
  const { of, name } = expr;
  const { r0, r1, c0, c1 } = window;
  const blocks = Math.ceil(of.shape[1]! / of.scheme.blockSize);
  // Columns of this output per block (nbits zero points: blocks per column), in elements.
  const { perBlock, period } = outputColumns(of.scheme, name);
  const b0 = Math.floor(c0 / perBlock / period) * period;
  const b1 = Math.min(blocks, Math.ceil(Math.ceil(c1 / perBlock) / period) * period);
  const quantized = context.quantized(of, r0, r1, b0, b1);
  const bytes = quantized[name];
  if (!bytes) throw new PenjingError('E_EXPR', `this quantization has no ${name}`);
  const rows = r1 - r0;
  const stride = rows === 0 ? 0 : bytes.byteLength / rows;
  const width = PER_BLOCK.has(name) ? elementBytes(of.scaleDtype) : 1;
  return cropColumns(bytes, rows, stride, (c0 - b0 * perBlock) * width, (c1 - c0) * width, context);
};

function outputColumns(scheme: BlockScheme, name: OutputExpr['name']): { perBlock: number; period: number } {
  const { bits, blockSize, layout } = scheme;
  const period = blocksPerByte(scheme);
  if (PER_BLOCK.has(name)) return { perBlock: 1, period };
  if (name !== 'zeroPoints') return { perBlock: layout === 'nbits' ? (blockSize * bits) / 8 : blockSize, period };
  return { perBlock: layout === 'nbits' ? bits / 8 : 1, period };
}

/** Quantizes rows [r0, r1), blocks [b0, b1); `total` receives what was lost. */
export function quantizeWindow(
  expr: QuantizeExpr, r0: number, r1: number, b0: number, b1: number, total: BlockStats, context: EvaluationContext,
): QuantizedBlocks {
  const { scheme, scaleDtype, grid } = expr;
  const { bits, blockSize, symmetric, layout } = scheme;
  if (scaleDtype !== 'float32' && scaleDtype !== 'float16') {
    throw new PenjingError('E_DTYPE', `scales are float32 or float16, not ${scaleDtype}`);
  }
  const c0 = b0 * blockSize;
  const c1 = Math.min(expr.shape[1]!, b1 * blockSize);
  const rows = r1 - r0;
  const cols = c1 - c0;
  const blocks = b1 - b0;
  const nbits = layout === 'nbits';
  const values = context.alloc(rows * (nbits ? (blocks * blockSize * bits) / 8 : cols));
  const scales = context.alloc(rows * blocks * elementBytes(scaleDtype));
  const zeroPoints = symmetric ? undefined : context.alloc(rows * (nbits ? Math.ceil((blocks * bits) / 8) : blocks));
  const { srcDtype, src } = floatSource(expr.input, { r0, r1, c0, c1 }, context);
  const stats = context.kernels.quantizeBlocks({
    src, srcDtype, rows, cols, bits, blockSize, symmetric, layout, values, scaleDtype,
    scales: typedView(scaleDtype, scales) as Float32Array | Uint16Array,
    ...(zeroPoints && { zeroPoints }), ...(grid?.bits && { gridBits: grid.bits }), ...(grid?.fit && { fit: grid.fit }),
  });
  total.sumSquares += stats.sumSquares;
  total.sumSquaredError += stats.sumSquaredError;
  total.maxError = Math.max(total.maxError, stats.maxError);
  total.nonFinite += stats.nonFinite;
  return { values, scales, zeroPoints };
}

const sources: ReadonlySet<DType> = new Set<SourceDType>(['float32', 'float16', 'bfloat16']);

/** The kernel widens half floats itself: a cast that only widens is skipped, its input is read as it is on disk. */
function floatSource(
  expr: TensorExpr, window: { r0: number; r1: number; c0: number; c1: number }, context: EvaluationContext,
): { srcDtype: SourceDType; src: Float32Array | Uint16Array } {
  const widening = expr.op === 'cast' && expr.dtype === 'float32' && (expr.input.dtype === 'bfloat16' || expr.input.dtype === 'float16');
  const input = widening ? expr.input : expr;
  const bytes = context.window(input, window);
  if (sources.has(input.dtype)) {
    return { srcDtype: input.dtype as SourceDType, src: typedView(input.dtype, bytes) as Float32Array | Uint16Array };
  }
  return { srcDtype: 'float32', src: floatsOf(input.dtype, bytes, context) };
}

export const dequantize: Rule<DequantizeExpr> = (expr, window, context) => {
  const { scheme, values, scales, zeroPoints } = expr;
  const { bits, blockSize, symmetric, layout } = scheme;
  const { r0, r1, c0, c1 } = window;
  const rows = r1 - r0;
  const [, colsInAll = 1] = expr.shape;
  const allBlocks = Math.ceil(colsInAll / blockSize);
  const period = blocksPerByte(scheme);
  const b0 = Math.floor(c0 / blockSize / period) * period;
  const b1 = Math.min(allBlocks, Math.ceil(Math.ceil(c1 / blockSize) / period) * period);
  const cols = Math.min(colsInAll, b1 * blockSize) - b0 * blockSize;
  const band = (perBlock: number, end = b1 * perBlock): { r0: number; r1: number; c0: number; c1: number } => ({ r0, r1, c0: b0 * perBlock, c1: end });
  const nbits = layout === 'nbits';
  const codes = context.window(values, nbits ? band((blockSize * bits) / 8) : band(blockSize, b0 * blockSize + cols));
  const half = scales.dtype === 'float16';
  const scaleBytes = context.window(scales, band(1));
  const zeros = zeroPoints && context.window(zeroPoints, nbits ? band(bits / 8, Math.ceil((b1 * bits) / 8)) : band(1));
  const floats = typedView('float32', context.alloc(rows * cols * 4)) as Float32Array;
  context.kernels.dequantizeBlocks({
    rows, cols, bits, blockSize, symmetric: symmetric || !zeros, layout, values: codes, dst: floats,
    scales: half ? (typedView('float16', scaleBytes) as Uint16Array) : floatsOf(scales.dtype, scaleBytes, context),
    scaleDtype: half ? 'float16' : 'float32',
    ...(zeros && { zeroPoints: zeros }),
  });
  const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  const cropped = cropColumns(bytes, rows, cols * 4, (c0 - b0 * blockSize) * 4, (c1 - c0) * 4, context);
  if (expr.dtype === 'float32') return cropped;
  const out = context.alloc(rows * (c1 - c0) * elementBytes(expr.dtype));
  fromFloats(expr.dtype, typedView('float32', cropped) as Float32Array, out, context);
  return out;
};
