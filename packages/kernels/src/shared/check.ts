/** Argument checks that both implementations share. */
import { KernelError, type BlockLayout, type NumberDType, type QuantizeBlocksArgs, type SourceDType, type TypedArray } from '../kernels.js';

// prettier-ignore
const arrayOf: Record<NumberDType, readonly string[]> = {
  float64: ['Float64Array'], float32: ['Float32Array'], float16: ['Uint16Array'], bfloat16: ['Uint16Array'],
  float8e4m3fn: ['Uint8Array'], float8e4m3fnuz: ['Uint8Array'], float8e5m2: ['Uint8Array'], float8e5m2fnuz: ['Uint8Array'],
  float8e8m0: ['Uint8Array'], float4e2m1: ['Uint8Array'],
  int64: ['BigInt64Array'], int32: ['Int32Array'], int16: ['Int16Array'], int8: ['Int8Array'],
  int4: ['Int8Array', 'Uint8Array'], int2: ['Int8Array', 'Uint8Array'],
  uint64: ['BigUint64Array'], uint32: ['Uint32Array'], uint16: ['Uint16Array'], uint8: ['Uint8Array'],
  uint4: ['Uint8Array'], uint2: ['Uint8Array'], bool: ['Uint8Array'],
};

export function argumentError(message: string): KernelError {
  return new KernelError('E_KERNEL_ARGUMENT', message);
}

/** Name of a typed array, safe across realms (a Buffer is a Uint8Array). */
export function arrayName(array: TypedArray): string {
  return Object.prototype.toString.call(array).slice(8, -1);
}

/** Checks that `raw` is the array of `dtype` and that `floats` has as many elements. */
export function checkCast(dtype: NumberDType, raw: TypedArray, floats: Float32Array): void {
  const names = arrayOf[dtype];
  if (names === undefined) throw argumentError(`no cast for dtype ${String(dtype)}`);
  if (!names.includes(arrayName(raw))) throw argumentError(`${dtype} needs a ${names.join(' or ')}, got ${arrayName(raw)}`);
  if (raw.length !== floats.length) throw argumentError(`${dtype} cast of ${raw.length} elements against ${floats.length} floats`);
}

export function checkSameLength(a: ArrayLike<unknown>, b: ArrayLike<unknown>): void {
  if (a.length !== b.length) throw argumentError(`arrays of ${a.length} and ${b.length} elements`);
}

/** Checks that `a` is as long as `dst`, and `b` too or one number. */
export function checkOperands(a: Float32Array, b: Float32Array, dst: Float32Array): void {
  checkSameLength(a, dst);
  if (b.length !== 1) checkSameLength(b, dst);
}

/** Checks the sizes of `pack` and `unpack`. */
export function checkPacked(bits: number, count: number, packed: Uint8Array): void {
  if (bits !== 2 && bits !== 4) throw argumentError(`packing takes 2 or 4 bits, got ${bits}`);
  const bytes = Math.ceil((count * bits) / 8);
  if (packed.length !== bytes) throw argumentError(`${count} codes of ${bits} bits take ${bytes} bytes, got ${packed.length}`);
}

export function checkTranspose(src: Uint8Array, dst: Uint8Array, rows: number, cols: number, elementBytes: number, stride = rows, at = 0): void {
  if (![1, 2, 4, 8].includes(elementBytes)) throw argumentError(`elements of ${elementBytes} bytes: 1, 2, 4 or 8 are known`);
  const bytes = rows * cols * elementBytes;
  const wide = cols * stride * elementBytes;
  if (!isCount(rows) || !isCount(cols) || !isCount(stride) || src.length !== bytes || dst.length !== wide) {
    throw argumentError(`a ${rows} × ${cols} transpose takes ${bytes} bytes to ${wide}, got ${src.length} and ${dst.length}`);
  }
  if (!isCount(at) || at + rows > stride) throw argumentError(`${rows} columns from ${at} on are not among ${stride}`);
}

/** Sizes that follow from a block layout. */
export interface BlockSizes {
  /** Blocks per row. */
  readonly blocks: number;
  /** Bytes of codes per row. */
  readonly valueBytes: number;
  /** Bytes of zero points per row; 0 when symmetric. */
  readonly zeroBytes: number;
}

/** Checks a block layout with its outputs and the array (rows, cols) on the float side. */
export function checkBlocks(args: BlockLayout, dtype: SourceDType, floats: Float32Array | Uint16Array): BlockSizes {
  const { rows, cols, bits, blockSize, symmetric, layout } = args;
  if (!isCount(rows) || !isCount(cols)) throw argumentError(`a matrix of ${rows} × ${cols}`);
  if (bits !== 2 && bits !== 4 && bits !== 8) throw argumentError(`2, 4 or 8 bits, got ${String(bits)}`);
  if (!isCount(blockSize) || blockSize === 0) throw argumentError(`a block of ${blockSize} elements`);
  if (layout === 'nbits' && (blockSize * bits) % 8 !== 0) {
    throw argumentError(`a block of ${blockSize} × ${bits} bits does not fill whole bytes`);
  }
  const blocks = Math.ceil(cols / blockSize);
  const packed = layout === 'nbits';
  const valueBytes = packed ? (blocks * blockSize * bits) / 8 : cols;
  const zeroBytes = symmetric ? 0 : packed ? Math.ceil((blocks * bits) / 8) : blocks;
  const floatArray = dtype === 'float32' ? 'Float32Array' : 'Uint16Array';
  if (arrayName(floats) !== floatArray) throw argumentError(`${dtype} needs a ${floatArray}, got ${arrayName(floats)}`);
  const scaleArray = args.scaleDtype === 'float32' ? 'Float32Array' : 'Uint16Array';
  if (arrayName(args.scales) !== scaleArray) throw argumentError(`${args.scaleDtype} scales need a ${scaleArray}`);
  expectLength('floats', floats.length, rows * cols);
  expectLength('values', args.values.length, rows * valueBytes);
  expectLength('scales', args.scales.length, rows * blocks);
  expectLength('zeroPoints', args.zeroPoints?.length ?? 0, rows * zeroBytes);
  return { blocks, valueBytes, zeroBytes };
}

/** Elements of a block whose grid can be fitted: what the SIMD kernel has room for. */
const MAX_FITTED = 256;

/** Checks what a quantization says of its grids. */
export function checkFit({ bits, gridBits = bits, fit = 'range', blockSize }: QuantizeBlocksArgs): void {
  if (![2, 3, 4, 8].includes(gridBits) || gridBits > bits) throw argumentError(`a grid of ${String(gridBits)} bits in codes of ${bits}`);
  if (fit !== 'range' && fit !== 'squares' && fit !== 'half-quadratic') throw argumentError(`no fit of grids is called ${String(fit)}`);
  if (fit !== 'range' && blockSize > MAX_FITTED) throw argumentError(`grids of blocks of ${blockSize} elements cannot be fitted, only up to ${MAX_FITTED}`);
}

export function expectLength(name: string, got: number, wanted: number): void {
  if (got !== wanted) throw argumentError(`${name}: ${wanted} elements expected, got ${got}`);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
