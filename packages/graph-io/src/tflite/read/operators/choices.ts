/** What is found, chosen or drawn: boxes, distinct values, buckets, random numbers. */
import { attribute, dtypes, type Value } from '@penjing/core';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

const cast = (reading: TfliteReading, x: Value, to: keyof typeof dtypes): Value => reading.op('Cast', [x], { to: dtypes[to].onnx });

/** Indices of the boxes that are kept, zeros after them, and how many they are; version 5 gives their scores as well. */
const suppression = (soft: boolean): ReadRow => (reading) => {
  if (soft && reading.numbers(5, 'sigma')[0] !== 0) throw reading.fail('it lowers scores instead of dropping boxes');
  const vector = (value: Value): Value => reading.op('Reshape', [value, reading.ints([-1])]);
  const boxes = reading.op('Unsqueeze', [reading.last(0), reading.ints([0])]);
  const scores = reading.op('Unsqueeze', [reading.last(1), reading.ints([0, 1])]);
  const most = vector(reading.int64(2));
  const found = reading.op('NonMaxSuppression', [boxes, scores, most, vector(reading.last(3)), vector(reading.last(4))]);
  const kept = vector(reading.op('Slice', [found, reading.ints([2]), reading.ints([3]), reading.ints([1])]));
  const count = reading.op('Shape', [kept]);
  const pads = reading.op('Concat', [reading.ints([0]), reading.op('Sub', [most, count])], { axis: 0 });
  const filled = (value: Value, zero: Value): Value => reading.op('Pad', [value, pads, zero]);
  reading.define(cast(reading, filled(kept, reading.ints(0)), 'int32'));
  if (soft) reading.define(filled(reading.op('Gather', [reading.last(1), kept], { axis: 0 }), reading.values.builder.constant('float32', 0)), false, 1);
  reading.define(cast(reading, reading.op('Squeeze', [count]), 'int32'), false, soft ? 2 : 1);
};

const unique: ReadRow = (reading) => {
  const [values, , places] = reading.nodes('Unique', [reading.last(0)], { sorted: 0 }, 3);
  reading.define(values!);
  reading.define(reading.resultTensor(1).dtype === 'int64' ? places! : cast(reading, places!, reading.resultTensor(1).dtype), false, 1);
};

/** How many of the boundaries lie at or below each value. */
const bucketize: ReadRow = (reading) => {
  const { boundaries = [] } = reading.options('BucketizeOptions');
  const { dtype } = reading.tensor(0);
  const bounds = reading.values.builder.constant(dtype === 'float64' ? 'float64' : 'float32', boundaries);
  const x = dtype === 'float32' || dtype === 'float64' ? reading.last(0) : cast(reading, reading.last(0), 'float32');
  const passed = cast(reading, reading.op('GreaterOrEqual', [reading.op('Unsqueeze', [x, reading.ints([-1])]), bounds]), 'int32');
  reading.define(reading.op('ReduceSum', [passed, reading.ints([-1])], { keepdims: 0 }));
};

/** Rows by key, zeros for a key that is not there, and whether it was. */
const hashtableLookup: ReadRow = (reading) => {
  const { builder } = reading.values;
  const equal = reading.op('Equal', [reading.op('Unsqueeze', [reading.last(0), reading.ints([1])]), reading.op('Unsqueeze', [reading.last(1), reading.ints([0])])]);
  const flags = cast(reading, equal, 'int32');
  const hits = reading.op('ReduceMax', [flags, reading.ints([1])], { keepdims: 0 });
  const rows = reading.op('Gather', [reading.last(2), reading.op('ArgMax', [flags], { axis: 1, keepdims: 0 })], { axis: 0 });
  const rank = reading.tensor(2).shape.length;
  const found = cast(reading, reading.op('Reshape', [hits, reading.ints([-1, ...Array.from({ length: rank - 1 }, () => 1)])]), 'bool');
  reading.define(reading.op('Where', [found, rows, builder.constant(reading.values.dtype(reading.index(2)), 0)]));
  reading.define(cast(reading, hits, 'uint8'), false, 1);
};

/** As random as TensorFlow Lite's, not the same numbers: its generators have no counterpart. */
const random = (opType: 'RandomUniformLike' | 'RandomNormalLike'): ReadRow => (reading) => {
  const { seed, seed2 } = reading.optional('RandomOptions');
  const like = reading.op('ConstantOfShape', [reading.int64(0)], { value: attribute.tensor(reading.values.zeroTensor()) });
  const given = (seed ?? 0) !== 0 || (seed2 ?? 0) !== 0;
  reading.define(reading.op(opType, [like], given ? { seed: attribute.float((seed ?? 0) * 31 + (seed2 ?? 0)) } : {}));
};

const multinomial: ReadRow = (reading) => {
  const { seed, seed2 } = reading.optional('RandomOptions');
  const given = (seed ?? 0) !== 0 || (seed2 ?? 0) !== 0;
  const [count] = reading.numbers(1, 'number of samples');
  const { dtype } = reading.resultTensor();
  const seeded = given ? { seed: attribute.float((seed ?? 0) * 31 + (seed2 ?? 0)) } : undefined;
  reading.define(reading.op('Multinomial', [reading.last(0)], { sample_size: count!, dtype: dtypes[dtype].onnx, ...(seeded ?? {}) }));
};

export const choices: ReadTable = {
  NON_MAX_SUPPRESSION_V4: suppression(false),
  NON_MAX_SUPPRESSION_V5: suppression(true),
  UNIQUE: unique,
  BUCKETIZE: bucketize,
  HASHTABLE_LOOKUP: hashtableLookup,
  RANDOM_UNIFORM: random('RandomUniformLike'),
  RANDOM_STANDARD_NORMAL: random('RandomNormalLike'),
  MULTINOMIAL: multinomial,
};
