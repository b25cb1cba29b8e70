/** What a save will do, fixed before it starts: which tensors are computed together, cut into which chunks. */
import {
  byteSize, dtypes, elementCount, expr as build, exprInputs, type LazyTensor, matrixView, PenjingError, sharesBlocks, type MultiExpr, type RowRange, type SourceMap, type TensorExpr,
} from '@penjing/core';
import { blockCodecs } from '@penjing/kernels';
import type { FileLayout } from '../layout.js';
import { quantizationOf } from './quantization-of.js';

/**
 * Bytes that a chunk works on: inputs, intermediates and outputs together. Measured: below 2 MiB calls and messages
 * count, above 6 MiB the caches do not hold what the kernel reads and the system copies.
 */
const CHUNK_BYTES = 4 * 2 ** 20;

/**
 * The rows of a turned matrix are columns on disk: the wider the band, the less is read over again. Eight threads, the most that a pool starts
 * by itself, stay below 600 MB with it.
 */
const TURNED_CHUNK_BYTES = 24 * 2 ** 20;

/** A transpose that may have to be computed whole is not cut, up to the evaluator's limit. */
const WHOLE_BYTES = 2 ** 28;

export interface PlannedOutput {
  readonly name: string;
  readonly expr: TensorExpr;
  /** Index of the file. */
  readonly file: number;
  /** Of the tensor in the file. */
  readonly offset: number;
}

/** Lazy tensors that are evaluated together. */
export interface PlannedGroup {
  readonly outputs: readonly PlannedOutput[];
  readonly sources: SourceMap;
  readonly chunks: number;
  /** The rows of every output that a chunk computes. Computed when asked: a large model has ten thousand chunks. */
  readonly rows: (chunk: number) => RowRange[];
}

/** An output with how many of its rows go with one unit of the group. */
type Member = PlannedOutput & { readonly sources: SourceMap; readonly unitRows: number };

/** Every lazy tensor of a layout, in order of its place. */
export function planSave(files: readonly FileLayout[]): PlannedGroup[] {
  const groups: Member[][] = [];
  const rows = new Map<MultiExpr, Member[]>();
  const blocks = new Map<MultiExpr, Member[]>();
  files.forEach((layout, file) => {
    for (const { name, offset, tensor } of layout.pieces.flatMap((piece) => (piece.kind === 'tensor' ? [piece] : []))) {
      if (tensor.kind === 'dense' || tensor.byteLength === 0) continue;
      if (tensor.kind !== 'lazy') throw new PenjingError('E_DTYPE', `${name} is a ${tensor.kind} tensor, which cannot be written as bytes`);
      const { expr, sources } = tensor as LazyTensor;
      const role = quantizationOf(expr);
      const member = { name, file, offset, sources, expr: role ? expr : tall(expr), unitRows: role?.unitRows ?? 1 };
      const table = role?.turned ? blocks : rows;
      const known = role && table.get(role.of);
      if (known) {
        known.push(member);
        continue;
      }
      const members = [member];
      groups.push(members);
      if (role) table.set(role.of, members);
    }
  });
  return groups.map(planGroup);
}

function planGroup(members: readonly Member[]): PlannedGroup {
  const units = Math.max(...members.map(({ expr, unitRows }) => Math.ceil(matrixView(expr.shape).rows / unitRows)));
  const exprs = members.map(({ expr }) => expr);
  const perUnit = workingBytes(exprs) / units;
  const step = Math.max(...members.map(unitsPerByte));
  const wanted = exprs.some(isHardTranspose) ? units : Math.floor((exprs.some(isTurned) ? TURNED_CHUNK_BYTES : CHUNK_BYTES) / perUnit);
  // Columns of blocks that are turned: a chunk takes whole blocks, if it takes any.
  const block = Math.max(...exprs.map((expr) => turnedBlock(expr)));
  const align = wanted >= block ? Math.max(step, block) : step;
  const chunkUnits = Math.max(1, Math.floor(wanted / align)) * align;
  return {
    outputs: members.map(({ name, expr, file, offset }) => ({ name, expr, file, offset })),
    sources: new Map(members.flatMap((member) => [...member.sources])),
    chunks: Math.ceil(units / chunkUnits),
    rows: (chunk) =>
      members.map(({ expr, unitRows }) => {
        const { rows } = matrixView(expr.shape);
        const unit = chunk * chunkUnits;
        return { start: Math.min(rows, unit * unitRows), end: Math.min(rows, (unit + chunkUnits) * unitRows) };
      }),
  };
}

/** A tensor with few, long rows under a shape with more and shorter ones: the same bytes, in smaller chunks. */
function tall(expr: TensorExpr): TensorExpr {
  const { shape, dtype } = expr;
  const count = elementCount(shape);
  for (let axis = 1; axis <= shape.length; axis++) {
    const rows = elementCount(shape.slice(0, axis));
    if (rows > 0 && byteSize(dtype, count / rows) * 8 <= CHUNK_BYTES) return axis <= 1 ? expr : build.reshape(expr, [rows, count / rows]);
  }
  return build.reshape(expr, [count, 1]);
}

/** Units after which the packed bytes of a sub-byte output end on a byte: a power of two. */
function unitsPerByte({ expr, unitRows }: Member): number {
  const { bits } = dtypes[expr.dtype];
  const bitsPerUnit = bits * unitRows * matrixView(expr.shape).cols;
  let step = 1;
  while ((step * bitsPerUnit) % 8 !== 0) step *= 2;
  return step;
}

/** Bytes that exist while whole expressions are evaluated, each operation once. */
function workingBytes(roots: readonly TensorExpr[]): number {
  const seen = new Set<TensorExpr | MultiExpr>();
  const visit = (expr: TensorExpr | MultiExpr, cap: number): number => {
    if (seen.has(expr)) return 0;
    seen.add(expr);
    const count = Math.min(elementCount(expr.shape), cap);
    const width = Math.max(1, dtypes[expr.dtype].bits / 8);
    const floats = passesFloats(expr) ? 4 : 0;
    let total = expr.op === 'quantize' || expr.op === 'repack' || expr.op === 'reshape' ? 0 : count * (width + floats);
    // A matrix is turned by panels, of which one exists at a time; shared blocks are kept whole.
    if (isMatrixTranspose(expr) && !sharesBlocks(expr)) return total;
    for (const input of exprInputs(expr)) {
      // The kernel of a quantization widens half floats by itself.
      const fused = expr.op === 'quantize' && input.op === 'cast' && input.dtype === 'float32' && dtypes[input.input.dtype].bits === 16;
      const next = fused ? input.input : input;
      total += visit(next, next.op === 'quantize' || next.op === 'repack' ? elementCount(next.shape) : cap);
    }
    return total;
  };
  return roots.reduce((sum, root) => sum + visit(root, elementCount(root.shape)), 0);
}

/** True when float32 numbers exist beside the operation's own elements. */
function passesFloats(expr: TensorExpr | MultiExpr): boolean {
  if (expr.op === 'cast') return expr.dtype !== 'float32' && expr.input.dtype !== 'float32';
  return expr.op === 'multiply' || expr.op === 'add';
}

const isMatrixTranspose = (expr: TensorExpr | MultiExpr): boolean => expr.op === 'transpose' && expr.perm.length === 2;

/** Size of the largest blocks that are decoded under a transpose of two axes; 1 without any. */
function turnedBlock(expr: TensorExpr | MultiExpr, turned = false): number {
  if (expr.op === 'decode') return turned ? blockCodecs[expr.codec].blockSize : 1;
  return Math.max(1, ...exprInputs(expr).map((input) => turnedBlock(input, turned !== isMatrixTranspose(expr))));
}

function isTurned(expr: TensorExpr | MultiExpr): boolean {
  return expr.op === 'transpose' || exprInputs(expr).some(isTurned);
}

function isHardTranspose(expr: TensorExpr | MultiExpr): boolean {
  const hard = expr.op === 'transpose' && expr.perm.length > 2 && expr.perm[0] !== 0 && elementCount(expr.shape) * (dtypes[expr.dtype].bits / 8) <= WHOLE_BYTES;
  return hard || exprInputs(expr).some(isHardTranspose);
}
