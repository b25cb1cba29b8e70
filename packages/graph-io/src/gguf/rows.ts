/** Orders of rows that differ between GGUF files and checkpoints. */
import { PenjingError } from '@penjing/core';

/**
 * Where to take the rows of queries or keys from, to turn neighbours into halves (from llama.cpp) or halves into
 * neighbours (to llama.cpp): within a head, row 2i + j of the one is row j · width/2 + i of the other.
 */
export function rotaryRows(rows: number, heads: number, wanted: 'halves' | 'pairs'): Int32Array {
  const width = rows / heads;
  if (!Number.isInteger(width) || width % 2 !== 0) throw new PenjingError('E_GGUF', `${rows} rows of queries or keys are no ${heads} heads of an even width`);
  const half = width / 2;
  return Int32Array.from({ length: rows }, (_, row) => {
    const place = row % width;
    const from = wanted === 'halves' ? 2 * (place % half) + Math.floor(place / half) : (place % 2) * half + Math.floor(place / 2);
    return row - place + from;
  });
}

/**
 * Where to take the rows of a fused projection from: `groups` has the queries that share a key and value together with both, `kinds`
 * all queries first, then all keys. A head of its own key and value is a group of one.
 */
export function fusedRows(rows: number, { heads, kvHeads }: { readonly heads: number; readonly kvHeads: number }, wanted: 'groups' | 'kinds'): Int32Array {
  const width = rows / (heads + 2 * kvHeads);
  const shared = heads / kvHeads;
  if (!Number.isInteger(width) || !Number.isInteger(shared)) throw new PenjingError('E_GGUF', `${rows} rows are no ${heads} queries with ${kvHeads} keys and values`);
  const grouped = new Int32Array(heads + 2 * kvHeads);
  for (let group = 0; group < kvHeads; group++) {
    const from = group * (shared + 2);
    for (let i = 0; i < shared; i++) grouped[from + i] = group * shared + i;
    grouped[from + shared] = heads + group;
    grouped[from + shared + 1] = heads + kvHeads + group;
  }
  const slots = wanted === 'groups' ? grouped : inverse(grouped);
  return Int32Array.from({ length: rows }, (_, row) => slots[Math.floor(row / width)]! * width + (row % width));
}

function inverse(order: Int32Array): Int32Array {
  const out = new Int32Array(order.length);
  order.forEach((from, to) => { out[from] = to; });
  return out;
}
