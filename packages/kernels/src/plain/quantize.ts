/**
 * Block quantization by rounding to nearest. This file defines the rounding: every operation is one IEEE float32 operation,
 * in the order in which ONNX Runtime does them (`tests/fixtures/rtn/README.md`).
 */
import type { BlockStats, QuantizeBlocksArgs } from '../kernels.js';
import { checkBlocks, checkFit } from '../shared/check.js';
import { canFit, fitHalfQuadratic, fitSquares } from './fit-grid.js';
import { bitsOf, bitsToFloat16, float16ToBits, roundToFloat16, wordsOf } from './half.js';

const { fround } = Math;

const fits = { squares: fitSquares, 'half-quadratic': fitHalfQuadratic } as const;

/** The grid of one block. */
interface Grid {
  /** As stored, widened to float32. */
  scale: number;
  /** 1 / scale, 0 for a zero scale. */
  reciprocal: number;
  zeroPoint: number;
}

export function quantizeBlocks(args: QuantizeBlocksArgs): BlockStats {
  const { rows, cols, bits, blockSize, symmetric, layout, values, scales, scaleDtype, zeroPoints, stats = true } = args;
  const { blocks, valueBytes, zeroBytes } = checkBlocks(args, args.srcDtype, args.src);
  checkFit(args);
  const packed = layout === 'nbits';
  const { gridBits = bits, fit = 'range' } = args;
  const half = 2 ** (gridBits - 1);
  const top = 2 ** gridBits - 1;
  const zeroPoint = packed ? 2 ** (bits - 1) : 0;
  const encode = packed ? encodeAfterZeroPoint : encodeBeforeZeroPoint;
  const low = symmetric ? zeroPoint - half : 0;
  const high = low + top;
  const whole = packed ? blockSize : Math.min(blockSize, cols);
  const fitted = fit !== 'range' && whole % 8 === 0 ? { fit: fits[fit], options: { low, high, symmetric, scaleDtype } } : undefined;
  const grid: Grid = { scale: 0, reciprocal: 0, zeroPoint: 0 };
  const total: BlockStats = { sumSquares: 0, sumSquaredError: 0, maxError: 0, nonFinite: 0 };
  const x = new Float32Array(Math.min(blockSize, cols)); // the block, NaN replaced by 0
  const read = reader(args, x);
  const codes = new Int16Array(cols); // one row
  const zeros = new Uint8Array(blocks); // one row

  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const begin = block * blockSize;
      const count = Math.min(blockSize, cols - begin);
      const nonFinite = read(row * cols + begin, count);
      total.nonFinite += nonFinite;
      if (symmetric) symmetricGrid(x, count, half, zeroPoint, scaleDtype, grid);
      else asymmetricGrid(x, count, top, scaleDtype, grid);
      if (fitted && count === whole && nonFinite === 0 && canFit(x, count)) {
        fitted.fit(x, count, grid, fitted.options);
        grid.reciprocal = grid.scale !== 0 ? fround(1 / grid.scale) : 0;
      }
      scales[row * blocks + block] = scaleDtype === 'float32' ? grid.scale : bitsToFloat16(bitsOf(grid.scale));
      zeros[block] = grid.zeroPoint;
      encode(x, codes, begin, count, grid, low, high);
      if (stats) addStats(x, codes, begin, count, grid, total);
    }
    const rowValues = values.subarray(row * valueBytes, (row + 1) * valueBytes);
    if (packed) packRow(codes, rowValues, bits, blockSize);
    else rowValues.set(codes);
    if (zeroPoints !== undefined && !symmetric) {
      const rowZeros = zeroPoints.subarray(row * zeroBytes, (row + 1) * zeroBytes);
      if (packed) packZeroPoints(zeros, rowZeros, bits);
      else rowZeros.set(zeros);
    }
  }
  return total;
}

/** Widens a block into `x`, with 0 for NaN; returns how many NaN and infinities it had. */
function reader({ src, srcDtype }: QuantizeBlocksArgs, x: Float32Array): (begin: number, count: number) => number {
  const words = wordsOf(x);
  const source = srcDtype === 'float32' ? wordsOf(src as Float32Array) : src;
  return (begin, count) => {
    if (srcDtype === 'float32') for (let i = 0; i < count; i++) words[i] = source[begin + i]!;
    else if (srcDtype === 'float16') for (let i = 0; i < count; i++) words[i] = float16ToBits(source[begin + i]!);
    else for (let i = 0; i < count; i++) words[i] = source[begin + i]! << 16;
    let nonFinite = 0;
    for (let i = 0; i < count; i++) {
      const word = words[i]! & 0x7fffffff;
      if (word < 0x7f800000) continue;
      nonFinite++;
      if (word > 0x7f800000) words[i] = 0;
    }
    return nonFinite;
  };
}

/** Smallest and largest finite value, scanned in order with strict comparisons, so of two zeros the first one stays. */
function range(x: Float32Array, count: number): [min: number, max: number] {
  let min = Infinity;
  let max = -Infinity;
  for (let i = 0; i < count; i++) {
    const value = x[i]!;
    if (value < min && value !== -Infinity) min = value;
    if (value > max && value !== Infinity) max = value;
  }
  return min === Infinity ? [0, 0] : [min, max];
}

function storeScale(scale: number, dtype: 'float32' | 'float16', grid: Grid): void {
  grid.scale = dtype === 'float32' ? scale : roundToFloat16(scale, true);
  grid.reciprocal = grid.scale !== 0 ? fround(1 / grid.scale) : 0;
}

/** The extreme value maps to the lowest code, so its sign goes into the scale; on a tie the negative value wins. */
function symmetricGrid(x: Float32Array, count: number, half: number, zeroPoint: number, dtype: 'float32' | 'float16', grid: Grid): void {
  const [min, max] = range(x, count);
  const extreme = Math.abs(max) > Math.abs(min) ? max : min;
  storeScale(fround(-extreme / half), dtype, grid);
  grid.zeroPoint = zeroPoint;
}

/** The range, widened to hold 0, over all codes. The zero point comes from the scale before its rounding to `dtype`. */
function asymmetricGrid(x: Float32Array, count: number, top: number, dtype: 'float32' | 'float16', grid: Grid): void {
  const found = range(x, count);
  const min = Math.min(found[0], 0);
  const max = Math.max(found[1], 0);
  const scale = fround(fround(max - min) / top);
  const zero = scale !== 0 ? fround(0 - fround(min / scale)) : min;
  grid.zeroPoint = zero < 0 ? 0 : zero > top ? top : halfAway(zero);
  storeScale(scale, dtype, grid);
}

/** Half away from zero, for a float32 x ≥ 0: the sum is exact in float64, so 0.49999997 stays below 1. */
function halfAway(x: number): number {
  return Math.floor(x + 0.5);
}

/** MatMulNBits: the zero point is added first. `x` times the reciprocal is 0 where it is undefined, 0 · ∞. */
function encodeAfterZeroPoint(x: Float32Array, codes: Int16Array, begin: number, count: number, grid: Grid, low: number, high: number): void {
  const { reciprocal, zeroPoint } = grid;
  for (let i = 0; i < count; i++) {
    const product = fround(x[i]! * reciprocal);
    const y = product === product ? fround(product + zeroPoint) : zeroPoint;
    codes[begin + i] = halfAway(Math.min(Math.max(y, low), high));
  }
}

/** DequantizeLinear: the zero point is added last. */
function encodeBeforeZeroPoint(x: Float32Array, codes: Int16Array, begin: number, count: number, grid: Grid, low: number, high: number): void {
  const { reciprocal, zeroPoint } = grid;
  for (let i = 0; i < count; i++) {
    const product = fround(x[i]! * reciprocal);
    const y = product === product ? product : 0;
    const code = Math.sign(y) * halfAway(Math.abs(y)) + zeroPoint;
    codes[begin + i] = Math.min(Math.max(code, low), high);
  }
}

/** Packs a row. A byte with room left keeps there what ONNX Runtime's buffer of 8 / bits blocks had there: see the README. */
function packRow(codes: Int16Array, out: Uint8Array, bits: number, blockSize: number): void {
  const perByte = 8 / bits;
  const bytes = Math.ceil(codes.length / perByte);
  for (let i = 0; i < bytes; i++) {
    const freshBuffer = (i * perByte) % (blockSize * perByte) === 0;
    const previous = freshBuffer ? 0 : out[i - 1]!;
    let byte = 0;
    for (let j = 0; j < perByte; j++) {
      const at = i * perByte + j;
      byte |= at < codes.length ? codes[at]! << (j * bits) : previous & (((1 << bits) - 1) << (j * bits));
    }
    out[i] = byte;
  }
  out.fill(0, bytes);
}

/** Packs the zero points of a row; those of blocks that do not exist are 2^(bits-1). */
function packZeroPoints(zeros: Uint8Array, out: Uint8Array, bits: number): void {
  const perByte = 8 / bits;
  for (let i = 0; i < out.length; i++) {
    let byte = 0;
    for (let j = 0; j < perByte; j++) byte |= (zeros[i * perByte + j] ?? 1 << (bits - 1)) << (j * bits);
    out[i] = byte;
  }
}

function addStats(x: Float32Array, codes: Int16Array, begin: number, count: number, { scale, zeroPoint }: Grid, total: BlockStats): void {
  let { sumSquares, sumSquaredError, maxError } = total;
  for (let i = 0; i < count; i++) {
    const value = x[i]!;
    if (value === Infinity || value === -Infinity) continue;
    const difference = Math.abs(value - fround((codes[begin + i]! - zeroPoint) * scale));
    const error = difference === difference ? difference : Infinity; // NaN: 0 · an infinite scale
    sumSquares += value * value;
    sumSquaredError += error * error;
    if (error > maxError) maxError = error;
  }
  total.sumSquares = sumSquares;
  total.sumSquaredError = sumSquaredError;
  total.maxError = maxError;
}
