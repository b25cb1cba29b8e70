/** Bags of embeddings of different sizes, as torch.nn.EmbeddingBag asks for them. */
import type { Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { row } from '../row.js';
import type { AtenResult } from '../values.js';
import { reduce } from './reduce.js';

const MODES = ['sum', 'mean', 'max'];

/**
 * Indices [n] and where each bag starts [b]: a matrix [b, n] of ones says which index is in which bag. The results are
 * those of the kernel for CPUs: the bags [b, d], the bag of each index, the size of each bag, and the largest index.
 */
function embeddingBag(c: AtenContext, weight: Value, ids: Value, starts: Value, mode: number, scales: Value | null): AtenResult {
  const [indices, offsets] = [c.cast(ids, 'int64'), c.cast(starts, 'int64')];
  const [n, bags] = [c.size(indices, 0), c.size(offsets, 0)];
  const positions = (size: typeof n): Value => c.op('Range', [c.int64(0), c.scalarOf(size, 'int64'), c.int64(1)]);
  const started = c.cast(c.op('LessOrEqual', [c.unsqueeze(offsets, [1]), c.unsqueeze(positions(n), [0])]), 'int64');
  const bagOf = c.op('Sub', [reduce(c, 'ReduceSum', started, [0], false), c.int64(1)]);
  const inside = c.op('Equal', [c.unsqueeze(positions(bags), [1]), c.unsqueeze(bagOf, [0])]);
  const dtype = c.dtype(weight);
  let each = c.op('Gather', [weight, indices], { axis: 0 });
  if (scales) each = c.op('Mul', [each, c.unsqueeze(scales, [1])]);
  const count = reduce(c, 'ReduceSum', c.cast(inside, 'int64'), [1], false);
  if (MODES[mode] === 'max') {
    // [b, n, d]
    const spread = c.unsqueeze(inside, [2]);
    const open = c.op('Where', [spread, c.unsqueeze(each, [0]), c.constant(dtype, -Infinity)]);
    const full = c.unsqueeze(c.op('Greater', [count, c.int64(0)]), [1]);
    const output = c.op('Where', [full, reduce(c, 'ReduceMax', open, [1], false), c.constant(dtype, 0)]);
    const largest = c.op('Gather', [indices, c.op('ArgMax', [open], { axis: 1, keepdims: 0 })], { axis: 0 });
    return [output, bagOf, count, largest];
  }
  const summed = c.op('MatMul', [c.cast(inside, dtype), each]);
  // A sum needs none of the rest, and its kernel leaves them empty.
  const none = c.op('Mul', [count, c.int64(0)]);
  if (MODES[mode] === 'sum') return [summed, c.slice(bagOf, 0, 0, 0), none, none];
  const divisor = c.cast(c.op('Max', [count, c.int64(1)]), dtype);
  return [c.op('Div', [summed, c.unsqueeze(divisor, [1])]), bagOf, count, count];
}

const rest = 'Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int padding_idx=-1';

export const embeddingBags = (['_embedding_bag', '_embedding_bag_forward_only', 'embedding_bag'] as const).map((name) =>
  row(`${name as '_embedding_bag'}(${rest})`, (c, { weight, indices, offsets, mode, per_sample_weights, include_last_offset, padding_idx }) => {
    if (padding_idx >= 0) throw c.unsupported('bags that leave out an index (padding_idx)');
    return embeddingBag(c, weight, indices, include_last_offset ? c.slice(offsets, 0, 0, -1) : offsets, mode, per_sample_weights);
  }));
