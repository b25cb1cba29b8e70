/**
 * Lazy weights as plain JSON: a closed, versioned list of row-wise operations over file ranges.
 * An expression is data, so it can be hashed, sent to a thread, or stored in a journal.
 * Every node carries its dtype and shape; the constructors in `build.ts` compute and check them.
 */
import type { BlockCodecName, EncodedBlockCodec, GridBits, GridFit } from '@penjing/kernels';
import type { DType } from '../dtype.js';
import type { Shape } from '../shape.js';

/** Raised whenever the meaning of an existing operation changes. */
export const EXPR_VERSION = 1;

interface Typed {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Leaf: a contiguous, row-major range of a source. A spill is a source whose key is its content hash. */
export interface SourceExpr extends Typed {
  readonly op: 'source';
  /** `ByteSource.uri`. */
  readonly source: string;
  /** First byte. */
  readonly offset: number;
}

/** Leaf: a small tensor, bytes in base64. */
export interface ConstantExpr extends Typed {
  readonly op: 'constant';
  readonly data: string;
}

/** Leaf: one value everywhere. */
export interface FillExpr extends Typed {
  readonly op: 'fill';
  readonly value: number;
}

/** Element type conversion: round to nearest, ties to even; floats saturate to integers, not to floats. */
export interface CastExpr extends Typed {
  readonly op: 'cast';
  readonly input: TensorExpr;
}

/** The same bits as elements of another width: the last axis is longer or shorter by the ratio, lowest bits first. */
export interface BitcastExpr extends Typed {
  readonly op: 'bitcast';
  readonly input: TensorExpr;
}

export interface ReshapeExpr extends Typed {
  readonly op: 'reshape';
  readonly input: TensorExpr;
}

export interface TransposeExpr extends Typed {
  readonly op: 'transpose';
  readonly input: TensorExpr;
  /** Output axis i is input axis perm[i]. */
  readonly perm: readonly number[];
}

/** Contiguous slice of every axis: output index i reads input index starts[axis] + i. */
export interface SliceExpr extends Typed {
  readonly op: 'slice';
  readonly input: TensorExpr;
  readonly starts: readonly number[];
}

export interface ConcatExpr extends Typed {
  readonly op: 'concat';
  readonly inputs: readonly TensorExpr[];
  readonly axis: number;
}

/** Rows or columns in a given order: `indices` is int32 or int64, of rank 1. */
export interface GatherExpr extends Typed {
  readonly op: 'gather';
  readonly input: TensorExpr;
  readonly indices: TensorExpr;
  readonly axis: number;
}

/** Element-wise arithmetic in float32 with broadcasting; the result has the dtype of `a`. */
export interface ArithmeticExpr extends Typed {
  readonly op: 'multiply' | 'add';
  readonly a: TensorExpr;
  readonly b: TensorExpr;
}

/** Product of matrices (m, k) and (k, n) in float32, summed in order of k; meant for a small k, which is read whole for every row. */
export interface MatMulExpr extends Typed {
  readonly op: 'matmul';
  readonly a: TensorExpr;
  readonly b: TensorExpr;
}

/** `input` where `mask` (bool or uint8, broadcast) is not zero, otherwise 0. */
export interface MaskExpr extends Typed {
  readonly op: 'mask';
  readonly input: TensorExpr;
  readonly mask: TensorExpr;
}

/** Which elements stay. */
export type SparseRule =
  /** Those of at least this magnitude. */
  | { readonly kind: 'threshold'; readonly least: number }
  /** Of every `of` neighbours along the rows of a matrix, the `keep` of largest magnitude, the first ones among equals. */
  | { readonly kind: 'pattern'; readonly keep: number; readonly of: number };

/** `input` with zeros in place of what the rule does not keep, and of what is not finite. */
export interface SparsifyExpr extends Typed {
  readonly op: 'sparsify';
  /** A float type. */
  readonly input: TensorExpr;
  readonly rule: SparseRule;
}

/**
 * The place of the nearest entry in a codebook, for every weight, the lower one among equals; some bits of it, packed lowest first:
 * uint8 (rows, cols · bits / 8).
 */
export interface AssignExpr extends Typed {
  readonly op: 'assign';
  /** Floats (rows, cols). */
  readonly input: TensorExpr;
  /** Float32 (groups, entries), each ascending, at most 256; equally many neighbouring rows share one. */
  readonly codebook: TensorExpr;
  /** Which bits: `bits` of them, 1, 2, 4 or 8, from bit `shift` on. */
  readonly shift: number;
  readonly bits: 1 | 2 | 4 | 8;
}

/** How a matrix is cut into blocks that share one scale, along the last axis. */
export interface BlockScheme {
  readonly bits: 2 | 4 | 8;
  /** Elements per block along the last axis; the last block of a row may be short. */
  readonly blockSize: number;
  /** Symmetric: fixed zero point 2^(bits-1), no zero point stored. */
  readonly symmetric: boolean;
  /**
   * `nbits`: MatMulNBits: values uint8 (rows, blocks, blockSize*bits/8), tail zero-padded; zero points uint8, packed
   * per row, (rows, ceil(blocks*bits/8)). `linear`: DequantizeLinear: values int4/uint4/int8/… with the input's
   * shape, zero points of the same type, (rows, blocks). Scales are (rows, blocks) in both.
   */
  readonly layout: 'nbits' | 'linear';
}

/** Round to nearest on a grid per block. Has three outputs; `output` selects one. */
export interface QuantizeExpr extends Typed {
  readonly op: 'quantize';
  /** (rows, cols); blocks run along the columns. */
  readonly input: TensorExpr;
  readonly scheme: BlockScheme;
  readonly scaleDtype: DType;
  readonly grid?: GridChoice;
}

/** The grid of a block, where it is not simply that of its range with all codes. */
export interface GridChoice {
  /** Fewer bits than the codes have room for: 3 in 4. */
  readonly bits?: GridBits;
  /** How scales and zero points are chosen; `range` when absent. See `GridFit` of the kernels. */
  readonly fit?: GridFit;
}

/**
 * Blocks of a GGUF file as MatMulNBits wants them, nothing rounded: weight = (value − 2^(bits−1)) · scale + correction.
 * `split`: codes of 8 bits as two matrices of 4: weight = (value − 8) · scale + lowValue · lowScale + correction.
 * Several outputs; `output` selects one. The shape is that of the weights.
 */
export interface RepackExpr extends Typed {
  readonly op: 'repack';
  /** uint8 (rows, bytes of a row): whole blocks. */
  readonly input: TensorExpr;
  readonly codec: BlockCodecName;
  readonly split: boolean;
  /** What comes out; always symmetric, in the layout `nbits`. */
  readonly scheme: BlockScheme;
  readonly scaleDtype: DType;
}

/** Operations that have several outputs. */
export type MultiExpr = QuantizeExpr | RepackExpr;

/** One output of a quantization; expressions that select from the same quantization are evaluated together. */
export interface OutputExpr extends Typed {
  readonly op: 'output';
  readonly of: MultiExpr;
  readonly name: 'values' | 'scales' | 'zeroPoints' | 'lowValues' | 'lowScales' | 'correction';
}

/** Blocks of a GGUF file as numbers, bit for bit as ggml computes them. Blocks lie along the last axis. */
export interface DecodeExpr extends Typed {
  readonly op: 'decode';
  /** uint8: the shape of the result with the bytes of a row in place of its weights. */
  readonly input: TensorExpr;
  readonly codec: BlockCodecName;
}

/** (values - zeroPoint) * scale per block, back to a float dtype. */
export interface DequantizeExpr extends Typed {
  readonly op: 'dequantize';
  readonly values: TensorExpr;
  readonly scales: TensorExpr;
  readonly zeroPoints?: TensorExpr;
  readonly scheme: BlockScheme;
}

/** Numbers as blocks of a GGUF file, bit for bit as gguf-py writes them: uint8, bytes of whole blocks along the last axis. */
export interface EncodeExpr extends Typed {
  readonly op: 'encode';
  /** A float type. */
  readonly input: TensorExpr;
  readonly codec: EncodedBlockCodec;
}

export type TensorExpr =
  | SourceExpr | ConstantExpr | FillExpr
  | CastExpr | BitcastExpr | ReshapeExpr | TransposeExpr | SliceExpr | ConcatExpr | GatherExpr
  | ArithmeticExpr | MatMulExpr | MaskExpr | SparsifyExpr | AssignExpr | OutputExpr | DequantizeExpr | DecodeExpr | EncodeExpr;

/** The operands of an expression, in order. */
export function exprInputs(expr: TensorExpr | MultiExpr): readonly (TensorExpr | MultiExpr)[] {
  switch (expr.op) {
    case 'source': case 'constant': case 'fill': return [];
    case 'concat': return expr.inputs;
    case 'gather': return [expr.input, expr.indices];
    case 'multiply': case 'add': case 'matmul': return [expr.a, expr.b];
    case 'mask': return [expr.input, expr.mask];
    case 'assign': return [expr.input, expr.codebook];
    case 'output': return [expr.of];
    case 'dequantize': return expr.zeroPoints ? [expr.values, expr.scales, expr.zeroPoints] : [expr.values, expr.scales];
    default: return [expr.input];
  }
}

const sharing = new WeakMap<TensorExpr | MultiExpr, boolean>();

/** True when an expression is computed from blocks that are quantized or repacked for several outputs at once. */
export function sharesBlocks(expr: TensorExpr | MultiExpr): boolean {
  let known = sharing.get(expr);
  if (known === undefined) sharing.set(expr, (known = expr.op === 'quantize' || expr.op === 'repack' || exprInputs(expr).some(sharesBlocks)));
  return known;
}

/** Every source key that an expression reads. */
export function exprSources(expr: TensorExpr | MultiExpr, into: Set<string> = new Set()): Set<string> {
  if (expr.op === 'source') into.add(expr.source);
  for (const input of exprInputs(expr)) exprSources(input, into);
  return into;
}
