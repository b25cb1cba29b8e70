/** The operators of StableHLO that mean one of ONNX. TensorFlow Lite's interpreter has kernels for a few of them only. */
import { attribute, dtypes, type Value } from '@penjing/core';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';
import { dilated, updateSlice } from './matrices.js';

const plain = (opType: string): ReadRow => (reading) => reading.define(reading.op(opType, Array.from({ length: reading.inputCount }, (_, i) => reading.last(i))));

/** Logical on booleans, bitwise on integers. */
const bitwise = (logical: string, bits: string): ReadRow => (reading) => plain(reading.tensor(0).dtype === 'bool' ? logical : bits)(reading);

/** By the code of the direction: EQ, NE, GE, GT, LE, LT. */
const COMPARISONS = ['Equal', 'Equal', 'GreaterOrEqual', 'Greater', 'LessOrEqual', 'Less'] as const;

const compare: ReadRow = (reading) => {
  const { comparisonDirection } = reading.options2('StablehloCompareOptions');
  const opType = COMPARISONS[comparisonDirection];
  if (!opType) throw reading.fail(`its direction has the code ${comparisonDirection}`);
  const result = reading.op(opType, [reading.last(0), reading.last(1)]);
  reading.define(comparisonDirection === 1 ? reading.op('Not', [result]) : result);
};

const pad: ReadRow = (reading) => {
  const { edgePaddingLow = [], edgePaddingHigh = [], interiorPadding = [] } = reading.options2('StablehloPadOptions');
  const sizes = [...reading.tensor(0).shape];
  if ([edgePaddingLow, edgePaddingHigh, interiorPadding].some(({ length }) => length !== sizes.length)) throw reading.fail(`its paddings are not of ${sizes.length} axes`);
  const filling = reading.op('Reshape', [reading.last(1), reading.ints([])]);
  let x = reading.last(0);
  interiorPadding.forEach((gap, axis) => {
    x = dilated(reading, x, sizes, axis, gap, filling);
    sizes[axis] = (sizes[axis]! - 1) * (gap + 1) + 1;
  });
  reading.define(reading.op('Pad', [x, reading.ints([...edgePaddingLow, ...edgePaddingHigh]), filling]));
};

/** Starts are scalars, one operand each. */
function starts(reading: TfliteReading, from: number): Value {
  const parts = Array.from({ length: reading.inputCount - from }, (_, i) => reading.op('Reshape', [reading.int64(from + i), reading.ints([1])]));
  return reading.op('Concat', parts, { axis: 0 });
}

const dynamicSlice: ReadRow = (reading) => {
  const { sliceSizes = [] } = reading.options2('StablehloDynamicSliceOptions');
  const sizes = reading.ints([...sliceSizes]);
  const room = reading.op('Sub', [reading.op('Shape', [reading.last(0)]), sizes]);
  const begins = reading.op('Max', [reading.ints(0), reading.op('Min', [starts(reading, 1), room])]);
  reading.define(reading.op('Slice', [reading.last(0), begins, reading.op('Add', [begins, sizes])]));
};

const iota: ReadRow = (reading) => {
  const { iotaDimension } = reading.options2('StablehloIotaOptions');
  const { shape, dtype } = reading.resultTensor();
  if (iotaDimension < 0 || iotaDimension >= shape.length) throw reading.fail(`it counts along axis ${iotaDimension} of ${shape.length}`);
  const counted = reading.op('Range', [reading.ints(0), reading.ints(shape[iotaDimension]!), reading.ints(1)]);
  const placed = reading.op('Reshape', [counted, reading.ints(shape.map((size, axis) => (axis === iotaDimension ? size : 1)))]);
  reading.define(reading.op('Cast', [reading.op('Expand', [placed, reading.ints([...shape])])], { to: dtypes[dtype].onnx }));
};

const broadcastInDim: ReadRow = (reading) => {
  const { broadcastDimensions = [] } = reading.options2('StablehloBroadcastInDimOptions');
  const { shape } = reading.resultTensor();
  const from = reading.tensor(0).shape;
  const sizes = shape.map(() => 1);
  broadcastDimensions.forEach((axis, i) => {
    if (axis < 0 || axis >= shape.length || from[i] === undefined) throw reading.fail(`it broadcasts to axis ${axis} of ${shape.length}`);
    sizes[axis] = from[i]!;
  });
  reading.define(reading.op('Expand', [reading.op('Reshape', [reading.last(0), reading.ints(sizes)]), reading.ints([...shape])]));
};

export const stablehlo: ReadTable = {
  STABLEHLO_ABS: plain('Abs'),
  STABLEHLO_ADD: plain('Add'),
  STABLEHLO_AND: bitwise('And', 'BitwiseAnd'),
  STABLEHLO_BROADCAST_IN_DIM: broadcastInDim,
  STABLEHLO_CLAMP: (reading) => reading.define(reading.op('Min', [reading.op('Max', [reading.last(1), reading.last(0)]), reading.last(2)])),
  STABLEHLO_COMPARE: compare,
  STABLEHLO_CONCATENATE: (reading) => reading.define(reading.op('Concat', Array.from({ length: reading.inputCount }, (_, i) => reading.last(i)), { axis: reading.options2('StablehloConcatenateOptions').dimension })),
  STABLEHLO_CONVERT: (reading) => reading.define(reading.op('Cast', [reading.last(0)], { to: dtypes[reading.resultTensor().dtype].onnx })),
  STABLEHLO_COSINE: plain('Cos'),
  STABLEHLO_DIVIDE: plain('Div'),
  STABLEHLO_DYNAMIC_SLICE: dynamicSlice,
  STABLEHLO_DYNAMIC_UPDATE_SLICE: (reading) => reading.define(updateSlice(reading, starts(reading, 2))),
  STABLEHLO_EXPONENTIAL: plain('Exp'),
  STABLEHLO_FLOOR: plain('Floor'),
  STABLEHLO_IOTA: iota,
  STABLEHLO_LOG: plain('Log'),
  STABLEHLO_LOGISTIC: plain('Sigmoid'),
  STABLEHLO_MAXIMUM: plain('Max'),
  STABLEHLO_MINIMUM: plain('Min'),
  STABLEHLO_MULTIPLY: plain('Mul'),
  STABLEHLO_NEGATE: plain('Neg'),
  STABLEHLO_OR: bitwise('Or', 'BitwiseOr'),
  STABLEHLO_PAD: pad,
  STABLEHLO_POWER: plain('Pow'),
  // the remainder has the sign of the dividend
  STABLEHLO_REMAINDER: (reading) => reading.define(reading.op('Mod', [reading.last(0), reading.last(1)], { fmod: attribute.int(1) })),
  STABLEHLO_RESHAPE: (reading) => reading.define(reading.op('Reshape', [reading.last(0), reading.ints([...reading.resultTensor().shape])])),
  STABLEHLO_RSQRT: (reading) => reading.define(reading.op('Reciprocal', [reading.op('Sqrt', [reading.last(0)])])),
  STABLEHLO_SELECT: plain('Where'),
  STABLEHLO_SLICE: (reading) => {
    const { startIndices = [], limitIndices = [], strides = [] } = reading.options2('StablehloSliceOptions');
    const axes = startIndices.map((_, axis) => axis);
    reading.define(reading.op('Slice', [reading.last(0), reading.ints([...startIndices]), reading.ints([...limitIndices]), reading.ints(axes), reading.ints([...strides])]));
  },
  STABLEHLO_SUBTRACT: plain('Sub'),
  STABLEHLO_TANH: plain('Tanh'),
  STABLEHLO_TRANSPOSE: (reading) => reading.define(reading.op('Transpose', [reading.last(0)], { perm: [...(reading.options2('StablehloTransposeOptions').permutation ?? [])] })),
};
