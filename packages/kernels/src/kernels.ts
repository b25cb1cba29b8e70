/** The one interface of this package: everything `plainKernels()` and `wasmKernels()` can do, with shapes, units and errors. */

import type { GridKernels } from './grid-kernels.js';
import type { BlockCodecName } from './shared/block-codecs.js';

/** Float element types, spelled as in the dtype table of `@penjing/core`. */
export type FloatDType =
  | 'float64' | 'float32' | 'float16' | 'bfloat16'
  | 'float8e4m3fn' | 'float8e4m3fnuz' | 'float8e5m2' | 'float8e5m2fnuz' | 'float8e8m0' | 'float4e2m1';

/** Integer element types; types below 8 bits are one element per byte here (see `pack` and `unpack`). */
export type IntDType =
  | 'int64' | 'int32' | 'int16' | 'int8' | 'int4' | 'int2'
  | 'uint64' | 'uint32' | 'uint16' | 'uint8' | 'uint4' | 'uint2' | 'bool';

export type NumberDType = FloatDType | IntDType;

/** Float types that `quantizeBlocks` reads without a cast. */
export type SourceDType = 'float32' | 'float16' | 'bfloat16';

export type TypedArray =
  | Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | BigInt64Array
  | Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/**
 * A bump allocator over the memory that the kernels compute in. Arrays that lie in it are used in place; any other array is
 * copied in and out by each call, which is correct but slower.
 */
export interface Arena {
  readonly buffer: ArrayBuffer;
  /** Bytes still free. */
  readonly free: number;
  /** `byteLength` bytes at a multiple of `align` (a power of two). Contents are undefined. Throws `E_ARENA_FULL`. */
  alloc(byteLength: number, align?: number): Uint8Array<ArrayBuffer>;
  /** The current position, for `release`. */
  mark(): number;
  /** Frees everything allocated since `mark`. */
  release(mark: number): void;
}

/**
 * What a quantization lost, summed over its elements; add the fields of several calls (max for `maxError`). Sums of the SIMD
 * quantizer agree with the plain ones to about 1e-6, of everything else to float64 rounding.
 */
export interface BlockStats {
  /** Σ x². */
  sumSquares: number;
  /** Σ (x − x̂)². */
  sumSquaredError: number;
  /** max |x − x̂|. */
  maxError: number;
  /** NaN and infinities seen; they take part in none of the sums. */
  nonFinite: number;
}

/** How a matrix (rows, cols) is cut into blocks along its columns. */
export interface BlockLayout {
  readonly rows: number;
  readonly cols: number;
  readonly bits: 2 | 4 | 8;
  /** Elements per block; the last block of a row may be short. A multiple of 8 / bits for `nbits`. */
  readonly blockSize: number;
  /** Symmetric: no zero point is stored; it is 2^(bits-1) for `nbits`, 0 for `linear`. */
  readonly symmetric: boolean;
  /**
   * `nbits`: unsigned codes, packed first-in-low-bits, (rows, blocks, blockSize·bits/8); zero points packed per row,
   * (rows, ceil(blocks·bits/8)). Rounding and every padding bit as ONNX Runtime writes MatMulNBits.
   * `linear`: one code per byte, (rows, cols), signed (two's complement) when symmetric, else unsigned; zero points one per
   * byte, (rows, blocks). Rounding as ONNX Runtime writes DequantizeLinear.
   */
  readonly layout: 'nbits' | 'linear';
  /** Codes. */
  readonly values: Uint8Array;
  /** (rows, blocks): numbers for float32, raw bits for float16. */
  readonly scales: Float32Array | Uint16Array;
  readonly scaleDtype: 'float32' | 'float16';
  /** Present exactly when not symmetric. */
  readonly zeroPoints?: Uint8Array;
}

export interface QuantizeBlocksArgs extends BlockLayout {
  /** (rows, cols): numbers for float32, raw bits for float16 and bfloat16. */
  readonly src: Float32Array | Uint16Array;
  readonly srcDtype: SourceDType;
  /** Default true. When false the sums are 0 and only `nonFinite` is counted. */
  readonly stats?: boolean;
  /** Bits of the grid when codes have room for more: 3 stored in 4. As `bits` when absent. Symmetric codes keep their zero point. */
  readonly gridBits?: GridBits;
  /** How the grid of a block is chosen; `range` when absent. Blocks of at most 256. */
  readonly fit?: GridFit;
}

export type GridBits = 2 | 3 | 4 | 8;

/**
 * `range`: from the smallest and the largest weight, as ONNX Runtime. `squares`: of least Σ (x − x̂)² among shrunk ranges and refitted
 * scales. `half-quadratic`: HQQ (Badri and Shaji 2023). Short blocks, and those of no size of weights, keep the grid of their range.
 */
export type GridFit = 'range' | 'squares' | 'half-quadratic';

export interface DequantizeBlocksArgs extends BlockLayout {
  /** (rows, cols). */
  readonly dst: Float32Array;
}

export interface DecodeBlocksArgs {
  readonly codec: BlockCodecName;
  /** Whole blocks, one after the other. */
  readonly src: Uint8Array;
  /** blockSize per block. */
  readonly dst: Float32Array;
}

/** Formats that are written too. */
export type EncodedBlockCodec = 'Q8_0' | 'Q4_0';

export interface EncodeBlocksArgs {
  readonly codec: EncodedBlockCodec;
  /** 32 weights per block. */
  readonly src: Float32Array;
  /** Whole blocks, one after the other. */
  readonly dst: Uint8Array;
}

export interface RepackBlocksArgs {
  readonly codec: BlockCodecName;
  /** Whole blocks, one after the other. */
  readonly src: Uint8Array;
  /** Codes as MatMulNBits packs them, first in the low bits, `bits` each; with `low`, the high nibbles of codes of 8 bits. */
  readonly values: Uint8Array;
  /** One per sub-block; with `low`, times 16. */
  readonly scales: Float32Array;
  /**
   * Codes of 8 bits as two matrices of 4: w = 16 · scale · (high − 8) + scale · low. Here go the low nibbles, whose zero
   * point is 0, and their scales.
   */
  readonly low?: { readonly values: Uint8Array; readonly scales: Float32Array };
  /** One per sub-block: what is added to every weight of it. Present exactly when the format is `corrected`. */
  readonly correction?: Float32Array;
}

/** A grid of integers for each column, or for each weight: value = (code − zero point) · scale. */
export interface ColumnGrid {
  /** (cols), or (rows, cols); what has a scale of 0 becomes 0. */
  readonly scales: Float32Array;
  /** As many, whole numbers. */
  readonly zeroPoints: Float32Array;
  /** Codes are 0 to this, at most 255. */
  readonly highest: number;
  /** Output, (rows, cols). */
  readonly codes: Uint8Array;
}

/**
 * Rows of a weight matrix, input features first, in the metric H = AᵀA with A lower triangular: with d = w − q of the rows before
 * it, the best value of row k is w + Σⱼ A[k,j] dⱼ / A[k,k], and projecting it to q costs A[k,k]² (best − q)².
 */
export interface ProjectRowsArgs {
  readonly rows: number;
  readonly cols: number;
  /** (rows, rows): the block of A on the diagonal. Not zero on its diagonal. */
  readonly lower: Float32Array;
  /** (rows, cols): the original weights w. */
  readonly weights: Float32Array;
  /** (rows, cols): Σⱼ A[k,j] dⱼ over the rows before this panel. */
  readonly carried: Float32Array;
  /** (rows, cols): 0 where the weight becomes 0. */
  readonly keep?: Uint8Array | undefined;
  /** Kept weights take the nearest value of it; any value when absent. */
  readonly grid?: ColumnGrid | undefined;
  /** Output, (rows, cols): q. */
  readonly values: Float32Array;
  /** Output, (rows, cols): w − q. */
  readonly differences: Float32Array;
}

/** Small dense panels, the inner part of blocked factorisations; matrices are row-major, panels have at most 256 rows. */
export interface PanelKernels {
  /**
   * a = l lᵀ for a symmetric (size, size), of which the lower triangle is read; l replaces a, its upper triangle zero. Returns -1, or
   * the first row whose pivot is not positive and finite, and then a is unchanged.
   */
  choleskyPanel(a: Float32Array, size: number): number;
  /** x ← lower⁻¹ x for x (rows, cols). */
  solveLower(lower: Float32Array, x: Float32Array, rows: number, cols: number): void;
  /** c ← c + a b for a (rows, inner), b (inner, cols). */
  addProduct(a: Float32Array, b: Float32Array, c: Float32Array, rows: number, inner: number, cols: number): void;
  /** Projects rows one after the other. Returns Σ A[k,k]² (best − q)², what this panel adds to (w − q)ᵀ H (w − q). */
  projectRows(args: ProjectRowsArgs): number;
}

/** What `pruneCells` needs; matrices are row-major float32. */
export interface PruneCellsArgs {
  /** At most 128. */
  readonly rows: number;
  readonly cols: number;
  /** Rows of a cell, at most 8; the last cell may be short. */
  readonly cell: number;
  /** A (rows, rows), of which the upper triangle is not read. */
  readonly lower: Float32Array;
  /** (rows, cols) */
  readonly weights: Float32Array;
  /** (rows, cols): A (w − q) so far, by the rows before. */
  readonly carried: Float32Array;
  /** (cells, 2^cell, 8): by subset of a cell's rows, as bits: what every row loses per unit of the highest of them, the others being gone. */
  readonly updates: Float32Array;
  /** (cells, 2^cell): what that costs, per squared unit. */
  readonly costs: Float32Array;
  /**
   * At most 24 ways to search, each a walk through a tree: a subset follows the one without its highest row before any other of that one's size, plus
   * 256 where all of it may go. An empty one keeps everything.
   */
  readonly searches: readonly Uint16Array[];
  /** (cells, cols): which search. */
  readonly choices: Uint8Array;
  /** (rows, cols) */
  readonly values: Float32Array;
  /** (rows, cols): weights − values. */
  readonly differences: Float32Array;
}

export interface CellKernels {
  /**
   * Prunes the rows of a panel cell by cell: of each column the subset that costs least of those that its search allows. Returns what
   * this adds to ‖A (w − q)‖².
   */
  pruneCells(args: PruneCellsArgs): number;
}

/** One step of AdamW over arrays of one length; all arithmetic is in float32. */
export interface AdamWArgs {
  /** In place: w ← keep w − size m / (√v correction + ε). */
  readonly weights: Float32Array;
  readonly gradients: Float32Array;
  /** In place: m ← β₁ m + (1 − β₁) g. */
  readonly mean: Float32Array;
  /** In place: v ← β₂ v + (1 − β₂) g². */
  readonly square: Float32Array;
  readonly keep: number;
  readonly size: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly correction: number;
  readonly epsilon: number;
}

/** One step of Lion: w ← w − rate (sign(β₁ m + (1 − β₁) g) + decay w), then m ← β₂ m + (1 − β₂) g. */
export interface LionArgs {
  readonly weights: Float32Array;
  readonly gradients: Float32Array;
  readonly mean: Float32Array;
  readonly rate: number;
  readonly decay: number;
  readonly beta1: number;
  readonly beta2: number;
}

/** One step with momentum: c = g + decay w, v ← momentum v + c, w ← w − rate v, or w − rate (c + momentum v) with `nesterov`. */
export interface MomentumArgs {
  readonly weights: Float32Array;
  readonly gradients: Float32Array;
  readonly velocity: Float32Array;
  readonly rate: number;
  readonly decay: number;
  readonly momentum: number;
  readonly nesterov: boolean;
}

/** Steps of optimizers, in place. Both implementations round every operation to float32, so they agree bit for bit. */
export interface UpdateKernels {
  adamW(args: AdamWArgs): void;
  lion(args: LionArgs): void;
  momentum(args: MomentumArgs): void;
  /** a ← keep a + share b. */
  blend(a: Float32Array, b: Float32Array, keep: number, share: number): void;
  /** Σ x², in float64. */
  sumSquares(x: Float32Array): number;
  /** g ← 0 where w is 0 or −0. */
  holdZeros(gradients: Float32Array, weights: Float32Array): void;
  /** A mask of dropout: 0 for a share `rate` of the elements, 1 / (1 − rate) for the others, by a hash of their number and the key (32 bits). */
  dropMask(mask: Float32Array, key: number, rate: number): void;
}

export interface FromFloatOptions {
  /**
   * Floats only, default false. False: what rounds beyond the largest finite value becomes infinity, or NaN where the type has
   * no infinity. True: it becomes the largest finite value, infinities too. Integers and float4e2m1 always saturate.
   */
  readonly saturate?: boolean;
  /** float8e8m0 only, default `nearest`. */
  readonly round?: 'nearest' | 'up' | 'down';
}

/** Every function throws `KernelError` (`E_KERNEL_ARGUMENT`) when a size or an array type does not fit. */
export interface Kernels extends PanelKernels, CellKernels, UpdateKernels, GridKernels {
  readonly name: 'wasm' | 'plain';
  readonly arena: Arena;

  /**
   * Widens (or, for float64 and wide integers, rounds to nearest even) `src` into `dst`, element by element.
   * Types below 8 bits: one element per byte. NaN stays NaN.
   */
  toFloat32(dtype: NumberDType, src: TypedArray, dst: Float32Array): void;
  /**
   * Rounds to nearest, ties to even. A NaN becomes the canonical positive quiet NaN, 0 for integers, 6 for float4e2m1.
   * Integers saturate; `bool` is 1 for everything but 0.
   */
  fromFloat32(dtype: NumberDType, src: Float32Array, dst: TypedArray, options?: FromFloatOptions): void;

  /**
   * Round to nearest, bit for bit as ONNX Runtime does it (`tests/fixtures/rtn/README.md`) for finite weights.
   * NaN counts as 0; infinities are left out of the range of their block and clip to its ends. A scale is never NaN; it is
   * infinite only where max − min of finite float32 values overflows, and a float16 scale saturates at 65504.
   */
  quantizeBlocks(args: QuantizeBlocksArgs): BlockStats;
  /** (code − zero point) · scale, one float32 rounding. */
  dequantizeBlocks(args: DequantizeBlocksArgs): void;

  /** Blocks of a GGUF file to float32, bit for bit as ggml and gguf-py give them (one rounding per operation). */
  decodeBlocks(args: DecodeBlocksArgs): void;
  /**
   * Blocks of a GGUF file to codes, scales and corrections of MatMulNBits: w = scale · (code − 2^(bits−1)) + correction.
   * Nothing is rounded but the correction, once.
   */
  repackBlocks(args: RepackBlocksArgs): void;

  /**
   * Float32 to blocks of a GGUF file, bit for bit as gguf-py writes finite weights. NaN and infinities become 0; a scale
   * beyond float16 becomes the largest one.
   */
  encodeBlocks(args: EncodeBlocksArgs): BlockStats;

  /** a + b, rounded once; `b` is as long as `a` and `dst`, or one number for all. `dst` may be `a` or `b`. */
  add(a: Float32Array, b: Float32Array, dst: Float32Array): void;
  /** a · b, as `add`. */
  multiply(a: Float32Array, b: Float32Array, dst: Float32Array): void;

  /** Packs one code per byte (its low `bits` count) into dst, first in the low bits; unused bits of the last byte are 0. */
  pack(bits: 2 | 4, src: Uint8Array | Int8Array, dst: Uint8Array): void;
  /** Unpacks dst.length codes to one per byte, sign-extended when `signed`. */
  unpack(bits: 2 | 4, signed: boolean, src: Uint8Array, dst: Uint8Array | Int8Array): void;

  /**
   * (rows, cols) to (cols, rows), elements of 1, 2, 4 or 8 bytes, by tiles. `src` and `dst` must not overlap. `dst` may be wider, of `stride`
   * columns: the rows then become its columns from `at` on, and the others stay.
   */
  transpose2d(src: Uint8Array, dst: Uint8Array, rows: number, cols: number, elementBytes: number, stride?: number, at?: number): void;

  /** Smallest and largest value, NaN skipped; +Infinity and -Infinity when there is none. */
  minMax(src: Float32Array): { min: number; max: number };
  /** Largest magnitude, NaN skipped; 0 when there is none. */
  absMax(src: Float32Array): number;
  /** Sums over a and b; a pair with a NaN or an infinity is counted and left out. */
  errorStats(a: Float32Array, b: Float32Array): BlockStats;
  /** KL(softmax(p) ‖ softmax(q)) in nats, in float64; infinite where q excludes what p allows. */
  klDivergence(logitsP: Float32Array, logitsQ: Float32Array): number;
  /** a·b / (|a| |b|), summed in float64; 1 when both are zero, 0 when one is. */
  cosine(a: Float32Array, b: Float32Array): number;
  /** Index of the first largest value, NaN skipped; -1 when there is none. */
  argMax(src: Float32Array): number;
  /** Indices of the k largest values, best first, ties by index, NaN skipped. */
  topK(src: Float32Array, k: number): Uint32Array;
}

/** A wrong argument (`E_KERNEL_ARGUMENT`) or a full arena (`E_ARENA_FULL`). */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  constructor(readonly code: 'E_KERNEL_ARGUMENT' | 'E_ARENA_FULL', message: string, readonly hint?: string) {
    super(message);
  }
}
