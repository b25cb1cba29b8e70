/** Constructors of expressions: they compute and check dtype and shape, and cancel what undoes itself. */
import { type BlockCodecName, blockCodecs, type EncodedBlockCodec } from '@penjing/kernels';
import { byteSize, dtypes, type DType } from '../dtype.js';
import { PenjingError } from '../errors.js';
import { broadcastShapes, elementCount, normalizeAxis, sameShape, type Shape } from '../shape.js';
import type { AssignExpr, BlockScheme, DecodeExpr, GridChoice, OutputExpr, QuantizeExpr, RepackExpr, SparseRule, TensorExpr } from './tensor-expr.js';

/** A contiguous, row-major range of a source. `offset` in bytes. */
export function source(key: string, offset: number, dtype: DType, shape: Shape): TensorExpr {
  byteSize(dtype, elementCount(shape));
  if (!Number.isSafeInteger(offset) || offset < 0) throw new PenjingError('E_SHAPE', `${offset} is no place in ${key}`);
  return { op: 'source', source: key, offset, dtype, shape };
}

/** A small tensor from its bytes. */
export function constant(dtype: DType, shape: Shape, bytes: Uint8Array): TensorExpr {
  const expected = byteSize(dtype, elementCount(shape));
  if (bytes.byteLength !== expected) {
    throw new PenjingError('E_SHAPE', `${dtype} [${shape.join(', ')}] takes ${expected} bytes, got ${bytes.byteLength}`);
  }
  if (bytes.byteLength > MAX_CONSTANT_BYTES) {
    throw new PenjingError('E_LIMIT', `a constant of ${bytes.byteLength} bytes is too large; spill it to a file`);
  }
  return { op: 'constant', dtype, shape, data: toBase64(bytes) };
}

/** Constants are copied into every job message, so they must stay small; larger data belongs in a file. */
export const MAX_CONSTANT_BYTES = 1 << 20;

export function fill(dtype: DType, shape: Shape, value: number): TensorExpr {
  byteSize(dtype, elementCount(shape));
  return { op: 'fill', dtype, shape, value };
}

/** Element type conversion; a cast that changes nothing, or undoes a widening cast, disappears. */
export function cast(input: TensorExpr, dtype: DType): TensorExpr {
  if (input.dtype === dtype) return input;
  if (input.op === 'cast' && input.input.dtype === dtype && widens(dtype, input.dtype)) return input.input;
  return { op: 'cast', dtype, shape: input.shape, input };
}

/**
 * The same bits as elements of another type, lowest bits first: int32 [2, 3] is uint4 [2, 24], uint4 [2, 24] is uint8 [2, 12].
 * Throws `E_SHAPE` when a row is no whole number of new elements.
 */
export function bitcast(input: TensorExpr, dtype: DType): TensorExpr {
  if (input.dtype === dtype) return input;
  if (input.op === 'bitcast') return bitcast(input.input, dtype);
  const [from, to] = [dtypes[input.dtype].bits, dtypes[dtype].bits];
  const width = ((input.shape.at(-1) ?? 0) * from) / to;
  if (from === 0 || to === 0 || (from < 8 && to < 8)) throw new PenjingError('E_DTYPE', `${input.dtype} cannot be read as ${dtype}`);
  if (input.shape.length < 2 || !Number.isInteger(width)) {
    throw new PenjingError('E_SHAPE', `${input.dtype} [${input.shape.join(', ')}] cannot be read as ${dtype}: rows must be whole`);
  }
  const shape = [...input.shape.slice(0, -1), width];
  if (input.op === 'source') return { ...input, dtype, shape };
  return { op: 'bitcast', dtype, shape, input };
}

export function reshape(input: TensorExpr, shape: Shape): TensorExpr {
  if (sameShape(input.shape, shape)) return input;
  if (elementCount(shape) !== elementCount(input.shape)) {
    throw new PenjingError('E_SHAPE', `[${input.shape.join(', ')}] cannot be reshaped to [${shape.join(', ')}]`);
  }
  if (input.op === 'source') return { ...input, shape };
  if (input.op === 'reshape') return reshape(input.input, shape);
  if (input.op === 'decode' && (shape.at(-1) ?? 1) % blockCodecs[input.codec].blockSize === 0) return belowDecode(input, (bytes) => reshape(bytes, rowsInBytes(input.codec, shape)));
  return { op: 'reshape', dtype: input.dtype, shape, input };
}

/** Output axis i is input axis perm[i]. Moves below casts, so that a transpose and its inverse always meet. */
export function transpose(input: TensorExpr, perm: readonly number[]): TensorExpr {
  const rank = input.shape.length;
  if (perm.length !== rank || new Set(perm).size !== rank || perm.some((axis) => normalizeAxis(axis, rank) !== axis)) {
    throw new PenjingError('E_SHAPE', `[${perm.join(', ')}] does not permute ${rank} axes`);
  }
  if (perm.every((axis, i) => axis === i)) return input;
  if (input.op === 'cast') return cast(transpose(input.input, perm), input.dtype);
  if (input.op === 'transpose') return transpose(input.input, perm.map((axis) => input.perm[axis]!));
  const shape = perm.map((axis) => input.shape[axis]!);
  return { op: 'transpose', dtype: input.dtype, shape, input, perm };
}

/** Elements [starts, starts + shape) along every axis. */
export function slice(input: TensorExpr, starts: readonly number[], shape: Shape): TensorExpr {
  const inside =
    starts.length === input.shape.length &&
    shape.length === input.shape.length &&
    [...starts, ...shape].every((number) => Number.isSafeInteger(number) && number >= 0) &&
    starts.every((start, i) => start + shape[i]! <= input.shape[i]!);
  if (!inside) {
    throw new PenjingError(
      'E_SHAPE',
      `slice [${starts.join(', ')}] + [${shape.join(', ')}] is outside [${input.shape.join(', ')}]`,
    );
  }
  if (sameShape(shape, input.shape)) return input;
  if (input.op === 'decode' && [starts.at(-1)!, shape.at(-1)!].every((number) => number % blockCodecs[input.codec].blockSize === 0)) {
    return belowDecode(input, (bytes) => slice(bytes, rowsInBytes(input.codec, starts), rowsInBytes(input.codec, shape)));
  }
  return { op: 'slice', dtype: input.dtype, shape, input, starts };
}

export function concat(inputs: readonly TensorExpr[], axis: number): TensorExpr {
  const [first, ...rest] = inputs;
  if (!first) throw new PenjingError('E_SHAPE', 'nothing to concatenate');
  if (rest.length === 0) return first;
  const at = normalizeAxis(axis, first.shape.length);
  for (const other of rest) {
    const fits =
      other.dtype === first.dtype &&
      other.shape.length === first.shape.length &&
      other.shape.every((dim, i) => i === at || dim === first.shape[i]);
    if (!fits) throw new PenjingError('E_SHAPE', 'concatenated tensors must agree in dtype and in all other axes');
  }
  if (first.op === 'decode' && at < first.shape.length - 1) {
    const same = inputs.flatMap((input) => (input.op === 'decode' && input.codec === first.codec ? [input.input] : []));
    if (same.length === inputs.length) return decode(concat(same, at), first.codec);
  }
  const total = inputs.reduce((sum, input) => sum + input.shape[at]!, 0);
  const shape = first.shape.map((dim, i) => (i === at ? total : dim));
  return { op: 'concat', dtype: first.dtype, shape, inputs, axis: at };
}

/** Rows or columns in the order of `indices` (int32 or int64, rank 1). */
export function gather(input: TensorExpr, indices: TensorExpr, axis = 0): TensorExpr {
  if (indices.shape.length !== 1 || (indices.dtype !== 'int32' && indices.dtype !== 'int64')) {
    throw new PenjingError('E_SHAPE', 'gather indices must be int32 or int64 of rank 1');
  }
  const at = normalizeAxis(axis, input.shape.length);
  if (input.op === 'decode' && at < input.shape.length - 1) return belowDecode(input, (bytes) => gather(bytes, indices, at));
  const shape = input.shape.map((dim, i) => (i === at ? indices.shape[0]! : dim));
  return { op: 'gather', dtype: input.dtype, shape, input, indices, axis: at };
}

export function multiply(a: TensorExpr, b: TensorExpr): TensorExpr {
  return { op: 'multiply', dtype: a.dtype, shape: broadcastShapes(a.shape, b.shape), a, b };
}

export function add(a: TensorExpr, b: TensorExpr): TensorExpr {
  return { op: 'add', dtype: a.dtype, shape: broadcastShapes(a.shape, b.shape), a, b };
}

/** Columns of `a`, and rows of `b`: every row of the product reads all of them, so they must be few. */
const MAX_INNER = 4096;

/** (m, k) · (k, n) in float32: a change of low rank. */
export function matmul(a: TensorExpr, b: TensorExpr): TensorExpr {
  const [m = 0, k = 0] = a.shape;
  const [rows = 0, n = 0] = b.shape;
  if (a.shape.length !== 2 || b.shape.length !== 2 || k !== rows) {
    throw new PenjingError('E_SHAPE', `[${a.shape.join(', ')}] and [${b.shape.join(', ')}] have no product`);
  }
  if (k > MAX_INNER) throw new PenjingError('E_LIMIT', `a product over ${k} columns is too much for a lazy weight; at most ${MAX_INNER}`);
  return { op: 'matmul', dtype: 'float32', shape: [m, n], a, b };
}

/** `input` where `keep` (bool or uint8, broadcast to the input) is not zero, otherwise 0. */
export function mask(input: TensorExpr, keep: TensorExpr): TensorExpr {
  if (keep.dtype !== 'bool' && keep.dtype !== 'uint8') throw new PenjingError('E_DTYPE', 'a mask is bool or uint8');
  if (!sameShape(broadcastShapes(input.shape, keep.shape), input.shape)) {
    throw new PenjingError('E_SHAPE', 'a mask must broadcast to its input');
  }
  return { op: 'mask', dtype: input.dtype, shape: input.shape, input, mask: keep };
}

/** `input` with zeros in place of what the rule does not keep. Patterns run along the rows of a matrix. */
export function sparsify(input: TensorExpr, rule: SparseRule): TensorExpr {
  if (dtypes[input.dtype].kind !== 'float') throw new PenjingError('E_DTYPE', `${input.dtype} tensors are not made sparse`);
  if (rule.kind === 'threshold') {
    if (!(rule.least >= 0)) throw new PenjingError('E_OPTION', `${rule.least} is no magnitude`);
  } else {
    const { keep, of } = rule;
    if (!(Number.isInteger(keep) && Number.isInteger(of) && keep >= 1 && keep < of && of <= MAX_PATTERN)) throw new PenjingError('E_OPTION', `${keep}:${of} is no pattern: some of 2 to ${MAX_PATTERN} weights stay`);
    if (input.shape.length !== 2) throw new PenjingError('E_SHAPE', `patterns run along the rows of a matrix, not of [${input.shape.join(', ')}]`);
  }
  return { op: 'sparsify', dtype: input.dtype, shape: input.shape, input, rule };
}

/** Weights of one group of a pattern; hardware knows 2:4, papers go to 4:8. */
const MAX_PATTERN = 64;

/** Places in codebooks (groups, entries), ascending; bits `shift` to `shift + bits` of them, packed along the rows. */
export function assign(input: TensorExpr, codebook: TensorExpr, { shift, bits }: Pick<AssignExpr, 'shift' | 'bits'>): TensorExpr {
  const [rows = 0, cols = 0] = input.shape;
  const [groups = 0, entries = 0] = codebook.shape;
  if (dtypes[input.dtype].kind !== 'float' || codebook.dtype !== 'float32') throw new PenjingError('E_DTYPE', `${input.dtype} weights have no float32 codebook of ${codebook.dtype}`);
  if (input.shape.length !== 2 || codebook.shape.length !== 2 || groups < 1 || rows % groups !== 0 || entries < 1 || entries > 256) {
    throw new PenjingError('E_SHAPE', `codebooks [${codebook.shape.join(', ')}] do not fit weights [${input.shape.join(', ')}]`);
  }
  if (![1, 2, 4, 8].includes(bits) || !Number.isInteger(shift) || shift < 0 || shift + bits > 8 || (cols * bits) % 8 !== 0) {
    throw new PenjingError('E_SHAPE', `bits ${shift} to ${shift + bits} of ${cols} places fill no whole bytes`);
  }
  return { op: 'assign', dtype: 'uint8', shape: [rows, (cols * bits) / 8], input, codebook, shift, bits };
}

export interface QuantizedExprs {
  readonly values: TensorExpr;
  readonly scales: TensorExpr;
  /** Absent when symmetric. */
  readonly zeroPoints: TensorExpr | undefined;
}

/** What the kernels can fit. */
const MAX_FITTED = 256;

/** Rounds to the nearest point of a grid per block along the last axis; the outputs are evaluated together. */
export function quantize(input: TensorExpr, scheme: BlockScheme, scaleDtype: DType = 'float32', grid?: GridChoice): QuantizedExprs {
  const { bits, blockSize, symmetric, layout } = scheme;
  if (scaleDtype !== 'float32' && scaleDtype !== 'float16') {
    throw new PenjingError('E_DTYPE', `scales are float32 or float16, not ${scaleDtype}`);
  }
  if (grid?.bits !== undefined && grid.bits > bits) throw new PenjingError('E_DTYPE', `codes of ${bits} bits cannot hold a grid of ${grid.bits}`);
  if (grid?.fit !== undefined && grid.fit !== 'range' && blockSize > MAX_FITTED) {
    throw new PenjingError('E_SHAPE', `grids of blocks of ${blockSize} cannot be fitted, only up to ${MAX_FITTED}`);
  }
  const { rows, cols, blocks } = blocksOf(input.shape, scheme);
  const of: QuantizeExpr = { op: 'quantize', dtype: input.dtype, shape: input.shape, input, scheme, scaleDtype, ...(grid && { grid }) };
  const nbits = layout === 'nbits';
  const valueDtype: DType = nbits ? 'uint8' : linearDtype(bits, symmetric);
  const output = (name: 'values' | 'scales' | 'zeroPoints', dtype: DType, shape: Shape): TensorExpr => ({
    op: 'output', of, name, dtype, shape,
  });
  return {
    values: output('values', valueDtype, nbits ? [rows, blocks, (blockSize * bits) / 8] : [rows, cols]),
    scales: output('scales', scaleDtype, [rows, blocks]),
    zeroPoints: symmetric
      ? undefined
      : output('zeroPoints', valueDtype, nbits ? [rows, Math.ceil((blocks * bits) / 8)] : [rows, blocks]),
  };
}

export interface DequantizeInputs {
  readonly values: TensorExpr;
  readonly scales: TensorExpr;
  readonly zeroPoints?: TensorExpr | undefined;
  readonly scheme: BlockScheme;
  /** Shape of the result, (rows, cols). */
  readonly shape: Shape;
  readonly dtype?: DType;
}

/** (values - zeroPoint) * scale per block; the operands are shaped as `quantize` shapes them. */
export function dequantize(inputs: DequantizeInputs): TensorExpr {
  const { values, scales, zeroPoints, scheme, shape, dtype = 'float32' } = inputs;
  const { rows, cols, blocks } = blocksOf(shape, scheme);
  const { bits, blockSize, layout } = scheme;
  const nbits = layout === 'nbits';
  const expect = (name: string, operand: TensorExpr, wanted: Shape): void => {
    if (sameShape(operand.shape, wanted)) return;
    throw new PenjingError('E_SHAPE', `${name} of [${shape.join(', ')}] are [${wanted.join(', ')}], not [${operand.shape.join(', ')}]`);
  };
  expect('values', values, nbits ? [rows, blocks, (blockSize * bits) / 8] : [rows, cols]);
  expect('scales', scales, [rows, blocks]);
  if (zeroPoints) expect('zero points', zeroPoints, nbits ? [rows, Math.ceil((blocks * bits) / 8)] : [rows, blocks]);
  return { op: 'dequantize', dtype, shape, values, scales, scheme, ...(zeroPoints && { zeroPoints }) };
}

/**
 * Blocks of a GGUF file as float32; the last axis of `input` (uint8) counts the bytes of whole blocks. Whatever moves whole
 * rows or blocks moves below it, so that blocks stay recognisable at the root.
 */
export function decode(input: TensorExpr, codec: BlockCodecName): DecodeExpr {
  const { blockSize, blockBytes } = blockCodecs[codec];
  const bytes = input.shape.at(-1);
  if (input.dtype !== 'uint8') throw new PenjingError('E_DTYPE', `blocks of ${codec} are bytes, not ${input.dtype}`);
  if (bytes === undefined || bytes % blockBytes !== 0) throw new PenjingError('E_SHAPE', `rows of ${bytes ?? 1} bytes are no whole blocks of ${codec}`);
  return { op: 'decode', dtype: 'float32', shape: [...input.shape.slice(0, -1), (bytes / blockBytes) * blockSize], input, codec };
}

/** Floats as blocks of a GGUF file, uint8; the last axis holds whole blocks. */
export function encode(input: TensorExpr, codec: EncodedBlockCodec): TensorExpr {
  const { blockSize, blockBytes } = blockCodecs[codec];
  const cols = input.shape.at(-1);
  if (dtypes[input.dtype].kind !== 'float') throw new PenjingError('E_DTYPE', `${input.dtype} tensors do not become blocks of ${codec}`);
  if (cols === undefined || cols % blockSize !== 0 || input.shape.length < 2) {
    throw new PenjingError('E_SHAPE', `[${input.shape.join(', ')}] cannot be cut into blocks of ${blockSize}`);
  }
  return { op: 'encode', dtype: 'uint8', shape: [...input.shape.slice(0, -1), (cols / blockSize) * blockBytes], input, codec };
}

/** w = (value − zero point) · scale; the zero point is 2^(bits−1) where none is given. */
export interface BlockPlane<T> {
  /** uint8 (rows, blocks, blockSize · bits / 8). */
  readonly values: T;
  /** (rows, blocks). */
  readonly scales: T;
  /** uint8 (rows, ceil(blocks · bits / 8)). */
  readonly zeroPoints?: T | undefined;
  readonly bits: 2 | 4 | 8;
  readonly blockSize: number;
}

/** The matrix is the sum of its planes and the correction. */
export interface Repacked<T> {
  readonly planes: readonly BlockPlane<T>[];
  /** (rows, blocks): what is added to every weight of a block; only of formats with minimums. */
  readonly correction: T | undefined;
}

export interface RepackOptions {
  /** float32 when absent; float16 rounds the scales of most formats. */
  readonly scaleDtype?: DType;
  /** Two matrices of 4 bits instead of one of 8: ONNX Runtime has no fast kernel with float32 activations for the latter. */
  readonly split?: boolean;
}

/** The blocks of a decoded matrix as MatMulNBits takes them: nothing is rounded to another grid. */
export function repack({ input, codec, shape }: DecodeExpr, { scaleDtype = 'float32', split = false }: RepackOptions = {}): Repacked<TensorExpr> {
  const { subSize: blockSize, bits: whole, corrected } = blockCodecs[codec];
  const twice = split && whole === 8;
  const bits = twice ? 4 : whole;
  const scheme: BlockScheme = { bits, blockSize, symmetric: true, layout: 'nbits' };
  if (scaleDtype !== 'float32' && scaleDtype !== 'float16') throw new PenjingError('E_DTYPE', `scales are float32 or float16, not ${scaleDtype}`);
  const { rows, blocks } = blocksOf(shape, scheme);
  const of: RepackExpr = { op: 'repack', dtype: 'float32', shape, input, codec, split: twice, scheme, scaleDtype };
  const output = (name: OutputExpr['name']): TensorExpr =>
    name === 'values' || name === 'lowValues'
      ? { op: 'output', of, name, dtype: 'uint8', shape: [rows, blocks, (blockSize * bits) / 8] }
      : { op: 'output', of, name, dtype: scaleDtype, shape: [rows, blocks] };
  const plane = { values: output('values'), scales: output('scales'), bits, blockSize };
  const low = { values: output('lowValues'), scales: output('lowScales'), zeroPoints: fill('uint8', [rows, Math.ceil((blocks * bits) / 8)], 0), bits, blockSize };
  return { planes: twice ? [plane, low] : [plane], correction: corrected ? output('correction') : undefined };
}

function belowDecode({ input, codec }: DecodeExpr, move: (bytes: TensorExpr) => TensorExpr): TensorExpr {
  return decode(move(input), codec);
}

/** A shape, or a place in it, with the last axis counted in bytes instead of weights. */
function rowsInBytes(codec: BlockCodecName, shape: readonly number[]): number[] {
  const { blockSize, blockBytes } = blockCodecs[codec];
  return [...shape.slice(0, -1), (shape.at(-1)! / blockSize) * blockBytes];
}

/** Throws `E_SHAPE` unless `shape` is a matrix that can be cut into whole-byte blocks. */
function blocksOf(shape: Shape, { bits, blockSize }: BlockScheme): { rows: number; cols: number; blocks: number } {
  if (shape.length !== 2) throw new PenjingError('E_SHAPE', `block quantization works on matrices, not [${shape.join(', ')}]`);
  if (!Number.isSafeInteger(blockSize) || blockSize < 1 || (blockSize * bits) % 8 !== 0) {
    throw new PenjingError('E_SHAPE', `${blockSize} weights of ${bits} bits are no block of whole bytes`);
  }
  const [rows, cols] = shape as [number, number];
  return { rows, cols, blocks: Math.ceil(cols / blockSize) };
}

/** Codes of the `linear` layout: signed around 0 when symmetric, unsigned with a stored zero point otherwise. */
function linearDtype(bits: 2 | 4 | 8, symmetric: boolean): DType {
  return symmetric ? (`int${bits}` as const) : (`uint${bits}` as const);
}

/** True when every value of `from` is exact in `to`. */
function widens(from: DType, to: DType): boolean {
  const a = dtypes[from];
  const b = dtypes[to];
  return a.kind === 'float' && (to === 'float64' || (to === 'float32' && a.bits <= 16)) && b.bits > a.bits;
}

function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}
