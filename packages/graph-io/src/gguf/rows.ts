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

/** Where to take the rows of a fused projection from: `heads` has query, key and value of a head together, `kinds` all queries first. */
export function fusedRows(rows: number, heads: number, wanted: 'heads' | 'kinds'): Int32Array {
  const width = rows / (3 * heads);
  if (!Number.isInteger(width)) throw new PenjingError('E_GGUF', `${rows} rows are no queries, keys and values of ${heads} heads`);
  return Int32Array.from({ length: rows }, (_, row) => {
    const place = row % width;
    const slot = Math.floor(row / width);
    const [outer, inner] = wanted === 'heads' ? [3, heads] : [heads, 3];
    return ((slot % outer) * inner + Math.floor(slot / outer)) * width + place;
  });
}
