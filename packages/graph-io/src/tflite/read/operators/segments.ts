/** Rows that are scattered, gathered into segments, or turned around. */
import { dtypes, type Value } from '@penjing/core';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

/** Sums of rows with the same number, which are sorted: there are as many results as the last number says. */
const segmentSum: ReadRow = (reading) => {
  const ids = reading.int64(1);
  const count = reading.op('Add', [reading.op('ReduceMax', [ids, reading.ints([0])], { keepdims: 1 }), reading.ints([1])]);
  gather(reading, ids, count, 'add', 0);
};

const FLOAT_MAX = 3.4028234663852886e38;

/** What a segment without rows has, and how rows go together. */
const rules = {
  SUM: { reduction: 'add', neutral: () => 0 },
  PROD: { reduction: 'mul', neutral: () => 1 },
  MAX: { reduction: 'max', neutral: (float: boolean) => (float ? -FLOAT_MAX : -(2 ** 31)) },
  MIN: { reduction: 'min', neutral: (float: boolean) => (float ? FLOAT_MAX : 2 ** 31 - 1) },
} as const;

const unsorted = (kind: keyof typeof rules): ReadRow => (reading) => {
  const { dtype } = reading.tensor(0);
  if (dtype !== 'float32' && dtype !== 'int32') throw reading.fail(`its rows are ${dtype}`);
  const { reduction, neutral } = rules[kind];
  gather(reading, reading.int64(1), reading.op('Reshape', [reading.int64(2), reading.ints([1])]), reduction, neutral(dtype === 'float32'));
};

function gather(reading: TfliteReading, ids: Value, count: Value, reduction: string, neutral: number): void {
  const taken = reading.tensor(1).shape.length;
  const rest = reading.op('Shape', [reading.last(0)], { start: taken });
  const empty = reading.op('Expand', [reading.scalar(neutral), reading.op('Concat', [count, rest], { axis: 0 })]);
  reading.define(reading.op('ScatterND', [empty, reading.op('Unsqueeze', [ids, reading.ints([-1])]), reading.last(0)], { reduction }));
}

/** Indices are numbers, or rows of coordinates. */
const sparseToDense: ReadRow = (reading) => {
  const rank = reading.tensor(0).shape.length;
  const shape = reading.int64(1);
  const places = rank === 2 ? reading.int64(0) : reading.op('Reshape', [reading.int64(0), reading.ints([-1, 1])]);
  const filled = reading.op('Expand', [reading.op('Reshape', [reading.last(3), reading.ints([])]), shape]);
  const count = reading.op('Shape', [places], { start: 0, end: 1 });
  reading.define(reading.op('ScatterND', [filled, places, reading.op('Expand', [reading.last(2), count])]));
};

/** ONNX has the batch and the time among the first two axes. */
const reverseSequence: ReadRow = (reading) => {
  const { seqDim, batchDim } = reading.options('ReverseSequenceOptions');
  const rank = reading.tensor(0).shape.length;
  if (seqDim === batchDim || Math.max(seqDim, batchDim) >= rank || Math.min(seqDim, batchDim) < 0) throw reading.fail(`its batch is axis ${batchDim} and its time axis ${seqDim} of ${rank}`);
  const order = [batchDim, seqDim, ...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== batchDim && i !== seqDim)];
  const moved = order.some((axis, i) => axis !== i);
  const x = moved ? reading.op('Transpose', [reading.last(0)], { perm: order }) : reading.last(0);
  const y = reading.op('ReverseSequence', [x, reading.int64(1)], { batch_axis: 0, time_axis: 1 });
  const back = order.map((_, axis) => order.indexOf(axis));
  reading.define(moved ? reading.op('Transpose', [y], { perm: back }) : y);
};

/** The shape that two shapes broadcast to. */
const broadcastArgs: ReadRow = (reading) => {
  const lengths = [0, 1].map((i) => reading.tensor(i).shape[0]!);
  const length = Math.max(...lengths);
  const [a, b] = [0, 1].map((i) => {
    const missing = length - lengths[i]!;
    return missing === 0 ? reading.int64(i) : reading.op('Concat', [reading.ints(Array.from({ length: missing }, () => 1)), reading.int64(i)], { axis: 0 });
  });
  const shape = reading.op('Where', [reading.op('Equal', [a, reading.ints(1)]), b, a]);
  const { dtype } = reading.resultTensor();
  reading.define(dtype === 'int64' ? shape : reading.op('Cast', [shape], { to: dtypes[dtype].onnx }));
};

export const segments: ReadTable = {
  SEGMENT_SUM: segmentSum,
  UNSORTED_SEGMENT_SUM: unsorted('SUM'),
  UNSORTED_SEGMENT_PROD: unsorted('PROD'),
  UNSORTED_SEGMENT_MAX: unsorted('MAX'),
  UNSORTED_SEGMENT_MIN: unsorted('MIN'),
  SPARSE_TO_DENSE: sparseToDense,
  REVERSE_SEQUENCE: reverseSequence,
  BROADCAST_ARGS: broadcastArgs,
};
