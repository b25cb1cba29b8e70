/** Evaluation over asynchronous sources, on the calling thread: for small tensors and tests. */
import { type Kernels, plainKernels } from '@penjing/kernels';
import type { RowRange } from '../tensor.js';
import { evaluate } from './evaluate.js';
import type { TensorExpr } from './tensor-expr.js';

type ReadAsync = (source: string, offset: number, length: number) => Promise<Uint8Array>;

/** Rows of an expression. What it reads is found by evaluating without computing, then fetched, then computed on. */
export async function evaluateRows(expr: TensorExpr, rows: RowRange, read: ReadAsync): Promise<Uint8Array> {
  const fetched = new Map<string, Uint8Array>();
  const kernels = plainKernels({ arenaBytes: 0 });
  const missing = new Map<string, readonly [source: string, offset: number, length: number]>();
  const readFetched = (source: string, offset: number, length: number): Uint8Array => {
    const key = `${offset} ${length} ${source}`;
    const bytes = fetched.get(key);
    if (bytes) return bytes;
    missing.set(key, [source, offset, length]);
    return new Uint8Array(length);
  };
  const idle = idleKernels(kernels);
  // Mostly one round each; another one for what is read at places that were read or computed.
  for (let computing = idle; ; ) {
    missing.clear();
    const { bytes } = evaluate([{ expr, rows }], readFetched, computing);
    for (const [key, [source, offset, length]] of missing) fetched.set(key, await read(source, offset, length));
    if (missing.size > 0) continue;
    if (computing === kernels) return bytes[0]!;
    computing = kernels;
  }
}

/** Kernels that compute nothing. */
function idleKernels(kernels: Kernels): Kernels {
  const nothing = { sumSquares: 0, sumSquaredError: 0, maxError: 0, nonFinite: 0 };
  return {
    ...kernels,
    toFloat32: () => {}, fromFloat32: () => {}, dequantizeBlocks: () => {}, decodeBlocks: () => {}, repackBlocks: () => {}, add: () => {}, multiply: () => {}, pack: () => {}, unpack: () => {}, transpose2d: () => {},
    quantizeBlocks: () => nothing, encodeBlocks: () => nothing, errorStats: () => nothing,
  };
}
