/** Sparse constants of TFLite in full. */
import { byteSize, DenseTensor, dtypes, elementCount, PenjingError, type Tensor } from '@penjing/core';
import type { TfliteFile, TfliteSubgraph, TfliteTensor } from '../open-tflite.js';

/** Bytes of a constant after it was made dense: a file cannot grow without end. The largest pruned layers have some 100 MB. */
const MAX_BYTES = 1 << 28;

/** In a file as many bytes of dense constants as this times its size: pruned models keep some 5 % of their weights. */
const MAX_GROWTH = 1000;

/** Constants that are stored sparse, by tensor. Throws `E_TFLITE` for a structure that does not fit its tensor, `E_LIMIT` for an absurd size. */
export async function densified({ source }: TfliteFile, { tensors }: TfliteSubgraph): Promise<Map<number, Tensor>> {
  const all = new Map<number, Tensor>();
  let total = 0;
  for (const [index, tensor] of tensors.entries()) {
    if (!tensor.sparsity || !tensor.data) continue;
    if (dtypes[tensor.dtype].bits < 8) throw new PenjingError('E_TFLITE_OPERATOR', `${tensor.name} is stored sparse in ${tensor.dtype}, which is not read`);
    const size = byteSize(tensor.dtype, elementCount(tensor.shape));
    total += size;
    if (size > MAX_BYTES || total > source.size * MAX_GROWTH) throw new PenjingError('E_LIMIT', `${tensor.name} takes ${size} bytes when it is dense`);
    all.set(index, new DenseTensor(tensor.dtype, tensor.shape, dense(tensor, await source.read(tensor.data.offset, tensor.data.length))));
  }
  return all;
}

/** What the entries of one level of the traversal are: all of them, or those that are listed. */
type Level = { readonly size: number } | { readonly segments: readonly number[]; readonly indices: readonly number[] };

/**
 * Walks the tree of levels. Levels are in `traversalOrder`; the last of them are inside of blocks, block axis `i` (number `rank + i` in
 * that order) is a part of axis `blockMap[i]`.
 */
function dense({ name, dtype, shape, sparsity }: TfliteTensor, values: Uint8Array): Uint8Array {
  const invalid = (why: string): PenjingError => new PenjingError('E_TFLITE', `${name} is stored sparse, but ${why}`);
  const { traversalOrder: order = [], blockMap = [], dimMetadata = [] } = sparsity!;
  const rank = shape.length;
  if (order.length !== dimMetadata.length || order.length !== rank + blockMap.length) throw invalid(`has ${dimMetadata.length} levels for ${rank} axes and ${blockMap.length} block axes`);
  if (new Set(order).size !== order.length || order.some((axis) => axis < 0 || axis >= order.length)) throw invalid(`its order of levels is ${order.join(', ')}`);
  if (blockMap.some((axis) => axis < 0 || axis >= rank)) throw invalid(`its blocks are of the axes ${blockMap.join(', ')}`);
  const levels = dimMetadata.map(({ format, denseSize, arraySegments, arrayIndices }): Level => {
    if (format === 0) return { size: denseSize };
    return { segments: arraySegments?.value.values ?? [], indices: arrayIndices?.value.values ?? [] };
  });
  // a block axis is dense; its size divides that of the axis
  const blockSizes = blockMap.map((_, i) => {
    const level = levels[order.indexOf(rank + i)]!;
    if (!('size' in level) || level.size < 1) throw invalid(`axis ${i} of its blocks is no dense one`);
    return level.size;
  });
  const bytes = dtypes[dtype].bits / 8;
  const result = new Uint8Array(elementCount(shape) * bytes);
  const place = order.map(() => 0);
  let read = 0;
  // every visit reads a value or an index, so the walk is as long as the file at most
  walk(0, 0);
  return result;

  function walk(depth: number, parent: number): void {
    const level = levels[depth];
    if (!level) return put();
    const axis = order[depth]!;
    if ('size' in level) {
      const limit = axis < rank ? Math.ceil(shape[axis]! / blockOf(axis)) : level.size;
      if (level.size < 0 || level.size > limit) throw invalid(`axis ${axis} has ${level.size} entries`);
      for (let i = 0; i < level.size; i++) {
        place[axis] = i;
        walk(depth + 1, parent * level.size + i);
      }
      return;
    }
    const [start, end] = [level.segments[parent], level.segments[parent + 1]];
    if (start === undefined || end === undefined || start < 0 || end < start || end > level.indices.length) throw invalid(`a segment runs from ${start} to ${end} of ${level.indices.length} indices`);
    for (let i = start; i < end; i++) {
      place[axis] = level.indices[i]!;
      walk(depth + 1, i);
    }
  }

  function blockOf(axis: number): number {
    const block = blockMap.indexOf(axis);
    return block < 0 ? 1 : blockSizes[block]!;
  }

  function put(): void {
    const at = shape.map((_, axis) => {
      const block = blockMap.indexOf(axis);
      return place[axis]! * blockOf(axis) + (block < 0 ? 0 : place[rank + block]!);
    });
    if (at.some((index, axis) => index < 0 || index >= shape[axis]!)) throw invalid(`an entry is at ${at.join(', ')} of [${shape.join(', ')}]`);
    if ((read + 1) * bytes > values.length) throw invalid(`has fewer values than entries`);
    const to = at.reduce((flat, index, axis) => flat * shape[axis]! + index, 0) * bytes;
    result.set(values.subarray(read * bytes, (read + 1) * bytes), to);
    read++;
  }
}
