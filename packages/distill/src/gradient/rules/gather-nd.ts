/** Gradients of reading and writing at places that are given by several numbers each. */
import { dtypes, type Value } from '@penjing/core';
import { dimsOf, rankOf } from '../ops.js';
import type { GradientContext, GradientRule } from '../rule.js';

/** The product of sizes, an int64 vector of one. */
const product = (c: GradientContext, sizes: Value): Value => c.ops.op('ReduceProd', [sizes, c.ops.ints([0])], { keepdims: 1 });

/** Places (…, k) over `k` axes after the first `batch` as numbers of rows, (…), counted over the batch axes too. */
function rowNumbers(c: GradientContext, data: Value, indices: Value, k: number, batch: number): Value {
  const { ops } = c;
  const wide = ops.op('Cast', [indices], { to: dtypes.int64.onnx });
  const sizes = ops.sizes(data, batch, batch + k);
  const fromStart = ops.op('Where', [ops.op('Less', [wide, ops.ints([0])]), ops.add(wide, sizes), wide]);
  const place = (axis: number): Value => ops.op('Gather', [fromStart, ops.op('Squeeze', [ops.ints([axis])])], { axis: -1 });
  let rows = place(0);
  for (let axis = 1; axis < k; axis++) rows = ops.add(ops.mul(rows, ops.sizes(data, batch + axis, batch + axis + 1)), place(axis));
  if (batch === 0) return rows;
  // (batch sizes, 1, …): each batch element has rows of its own.
  const count = ops.op('Squeeze', [product(c, ops.sizes(data, 0, batch))]);
  const starts = ops.mul(ops.op('Range', [ops.op('Squeeze', [ops.ints([0])]), count, ops.op('Squeeze', [ops.ints([1])])]), product(c, sizes));
  const ones = new Array<number>(rankOf(rows) - batch).fill(1);
  return ops.add(rows, ops.op('Reshape', [starts, ones.length === 0 ? ops.sizes(data, 0, batch) : ops.op('Concat', [ops.sizes(data, 0, batch), ops.ints(ones)], { axis: 0 })]));
}

/** Rows that were read more than once add up. Not ScatterND, which loses additions in ONNX Runtime when several threads meet at a row. */
const gatherND: GradientRule = (c) => [
  () => {
    const { ops } = c;
    const [data, indices] = [c.input(0), c.input(1)];
    const k = dimsOf(indices)?.at(-1);
    const batch = c.node.int('batch_dims', 0);
    if (typeof k !== 'number') throw c.unsupported('GatherND with places of unknown length');
    const width = batch + k < rankOf(data) ? product(c, ops.sizes(data, batch + k)) : ops.ints([1]);
    const asRows = (value: Value): Value => ops.op('Reshape', [value, ops.op('Concat', [ops.ints([-1]), width], { axis: 0 })]);
    const gradient = asRows(c.gradient);
    const column = ops.op('Reshape', [rowNumbers(c, data, indices, k, batch), ops.ints([-1, 1])]);
    const sum = ops.op('ScatterElements', [asRows(ops.zerosLike(data)), ops.op('Expand', [column, ops.op('Shape', [gradient])]), gradient], { axis: 0, reduction: 'add' });
    return ops.reshapeLike(sum, data);
  },
  undefined,
];

/** What was written over gets nothing; added updates leave what was there. */
const scatterND: GradientRule = (c) => {
  const reduction = c.node.string('reduction', 'none');
  if (reduction !== 'none' && reduction !== 'add') throw c.unsupported(`ScatterND with ${reduction}`);
  return [
    () => (reduction === 'add' ? c.gradient : c.ops.op('ScatterND', [c.gradient, c.input(1), c.ops.zerosLike(c.input(2))])),
    undefined,
    () => c.ops.op('GatherND', [c.gradient, c.input(1)]),
  ];
};

export const gatherNDGradients = { GatherND: gatherND, ScatterND: scatterND } as const satisfies Readonly<Record<string, GradientRule>>;
