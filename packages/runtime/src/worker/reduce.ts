/** Runs a session and reduces its output where it is: embeddings of states, the likeliest of many logits. What is large never leaves the worker. */
import { PenjingError } from '@penjing/core';
import { freeBuffers } from './free-buffers.js';
import type { LogitRows } from './logits.js';
import { logitRows } from './logits.js';
import type { SessionTable } from './session-table.js';
import { allToOrt, type OrtTensor } from './tensors.js';
import type { WireTensors } from './wire-types.js';

/** The modes of sentence-transformers' Pooling; several stand side by side. */
export const poolingModes = ['cls', 'max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'lasttoken'] as const;
export type PoolingMode = (typeof poolingModes)[number];

export type Reduction =
  /** States (batch, seq, width) to (batch, modes · width); `mask` (batch · seq) is 0 where nothing counts, and `real` where there is nothing but padding. */
  | { readonly kind: 'pool'; readonly modes: readonly PoolingMode[]; readonly mask: Uint8Array; readonly real: Uint8Array; readonly normalize: boolean }
  /** States (batch, places, width) without padding: the first, or the mean of all. */
  | { readonly kind: 'states'; readonly mode: 'cls' | 'mean'; readonly normalize: boolean }
  /** Rows (batch, width, …) flattened to (batch, width). */
  | { readonly kind: 'rows'; readonly normalize: boolean }
  /** The mean of (batch, width, …) over all but the first two axes, to (batch, width). */
  | { readonly kind: 'spatial'; readonly normalize: boolean }
  /** Of the rows of logits (batch · seq, vocabulary) at `rows`: the `count` likeliest, or those of `among`, with their probabilities. */
  | { readonly kind: 'likeliest'; readonly rows: readonly number[]; readonly count: number; readonly among?: readonly number[] | undefined };

export interface ReduceParams {
  readonly handle: number;
  readonly feeds: WireTensors;
  readonly output: string;
  readonly reduction: Reduction;
}

export interface Reduced {
  /** (rows, width). */
  readonly values: Float32Array;
  readonly width: number;
  /** Of each value, in `likeliest`: its place in the row. */
  readonly places?: Int32Array;
}

export async function reduce(sessions: SessionTable, { handle, feeds, output, reduction }: ReduceParams, transfer: ArrayBuffer[]): Promise<Reduced> {
  const { [output]: tensor } = await sessions.run(handle, allToOrt(sessions.api, feeds), [output]);
  const reduced = reduceTensor(tensor!, reduction);
  transfer.push(reduced.values.buffer as ArrayBuffer);
  if ('normalize' in reduction && reduction.normalize) normalizeRows(reduced);
  freeBuffers(Object.values(feeds).map(({ data }) => data));
  return reduced;
}

function reduceTensor(tensor: OrtTensor, reduction: Reduction): Reduced {
  const [batch = 0, second = 1, third = 1] = tensor.dims;
  switch (reduction.kind) {
    case 'states': {
      const all = new Uint8Array(batch * second).fill(1);
      return reduceTensor(tensor, { kind: 'pool', modes: [reduction.mode], mask: all, real: all, normalize: false });
    }
    case 'pool': {
      if (tensor.dims.length !== 3) throw new PenjingError('E_LAYOUT', `the states are [${tensor.dims.join(', ')}], not (batch, tokens, width)`);
      const rows = logitRows(asMatrix(tensor, third));
      const values = new Float32Array(batch * third * reduction.modes.length);
      for (let b = 0; b < batch; b++) {
        for (const [m, mode] of reduction.modes.entries()) {
          const at = (b * reduction.modes.length + m) * third;
          pool(mode, rows, b * second, second, reduction.mask, reduction.real, values.subarray(at, at + third));
        }
      }
      return { values, width: third * reduction.modes.length };
    }
    case 'rows': {
      const width = tensor.dims.slice(1).reduce((product, dim) => product * dim, 1);
      return { values: copied(logitRows(asMatrix(tensor, width))), width };
    }
    case 'spatial': {
      const area = tensor.dims.slice(2).reduce((product, dim) => product * dim, 1);
      const rows = logitRows(asMatrix(tensor, area));
      const values = Float32Array.from({ length: batch * second }, (_, i) => rows.row(i).reduce((sum, value) => sum + value, 0) / area);
      return { values, width: second };
    }
    case 'likeliest': return likeliest(logitRows(asMatrix(tensor, tensor.dims.at(-1) ?? 0)), reduction.rows, reduction.count, reduction.among);
  }
}

/** The tensor as (…, width) rows, for `logitRows`. */
function asMatrix(tensor: OrtTensor, width: number): OrtTensor {
  const count = width === 0 ? 0 : tensor.dims.reduce((product, dim) => product * dim, 1) / width;
  return { type: tensor.type, data: tensor.data, dims: [count, width] } as unknown as OrtTensor;
}

function copied(rows: LogitRows): Float32Array {
  const values = new Float32Array(rows.count * rows.vocabSize);
  for (let i = 0; i < rows.count; i++) values.set(rows.row(i), i * rows.vocabSize);
  return values;
}

/** One mode of one text, whose states are `rows` from `start` on; as graph-io builds it into graphs. A text without anything gets 0. */
function pool(mode: PoolingMode, rows: LogitRows, start: number, length: number, mask: Uint8Array, real: Uint8Array, out: Float32Array): void {
  const first = firstOf(mask, start, length);
  if (mode === 'cls') return out.set(rows.row(first));
  if (mode === 'lasttoken') return out.set(rows.row(lastOf(mask, start, length)));
  if (mode === 'max') out.fill(-3.4028234663852886e38);
  const begin = firstOf(real, start, length);
  let total = 0;
  // sums in double precision: a mean of 8,192 tokens loses digits otherwise
  const sums = new Float64Array(out.length);
  for (let i = start; i < start + length; i++) {
    if (mask[i] === 0) continue;
    const row = rows.row(i);
    if (mode === 'max') {
      for (let j = 0; j < out.length; j++) if (row[j]! > out[j]!) out[j] = row[j]!;
      continue;
    }
    const weight = mode === 'weightedmean' ? i - begin + 1 : 1;
    total += weight;
    for (let j = 0; j < out.length; j++) sums[j]! += weight * row[j]!;
  }
  if (mode === 'max') return;
  const divisor = Math.max(mode === 'mean_sqrt_len_tokens' ? Math.sqrt(total) : total, 1e-9);
  for (let j = 0; j < out.length; j++) out[j] = sums[j]! / divisor;
}

function firstOf(mask: Uint8Array, start: number, length: number): number {
  const found = mask.subarray(start, start + length).indexOf(1);
  return start + Math.max(0, found);
}

function lastOf(mask: Uint8Array, start: number, length: number): number {
  return start + Math.max(0, mask.subarray(start, start + length).lastIndexOf(1));
}

function normalizeRows({ values, width }: Reduced): void {
  for (let at = 0; at < values.length; at += width) {
    const row = values.subarray(at, at + width);
    let sum = 0;
    for (const value of row) sum += value * value;
    const length = Math.max(Math.sqrt(sum), 1e-12);
    for (let j = 0; j < width; j++) row[j]! /= length;
  }
}

function likeliest(logits: LogitRows, wanted: readonly number[], count: number, among: readonly number[] | undefined): Reduced {
  const width = Math.min(count, among?.length ?? logits.vocabSize);
  const values = new Float32Array(wanted.length * width);
  const places = new Int32Array(wanted.length * width);
  for (const [n, index] of wanted.entries()) {
    const row = logits.row(index);
    let top = -Infinity;
    for (const value of row) if (value > top) top = value;
    let total = 0;
    for (const value of row) total += Math.exp(value - top);
    const best = topOf(row, width, among);
    for (const [k, place] of best.entries()) {
      values[n * width + k] = Math.exp(row[place]! - top) / total;
      places[n * width + k] = place;
    }
  }
  return { values, width, places };
}

/** Places of the `count` largest, the largest first. One pass with a short sorted list: counts are small, vocabularies large. */
function topOf(row: Float32Array, count: number, among: readonly number[] | undefined): number[] {
  const best: number[] = [];
  const consider = (place: number): void => {
    if (best.length === count && !(row[place]! > row[best[count - 1]!]!)) return;
    let at = best.length;
    while (at > 0 && row[place]! > row[best[at - 1]!]!) at--;
    best.splice(at, 0, place);
    if (best.length > count) best.pop();
  };
  if (among) for (const place of among) consider(place);
  else for (let place = 0; place < row.length; place++) consider(place);
  return best;
}
