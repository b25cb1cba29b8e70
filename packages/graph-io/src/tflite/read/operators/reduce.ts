/** Reductions, normalization, and what is chosen along an axis. */
import { attribute, dtypes, normalizeAxis } from '@penjing/core';
import { activate } from '../activation.js';
import type { ReadRow, ReadTable } from '../operator.js';
import { firstAxis } from '../places.js';

const reduce = (opType: string, around: { readonly before?: number; readonly after?: number } = {}): ReadRow => (reading) => {
  const { shape } = reading.tensor(0);
  const keep = reading.optional('ReducerOptions').keepDims ?? false;
  const axes = [...new Set(reading.numbers(1, 'axes').map((axis) => normalizeAxis(axis, shape.length)))];
  // without its axes, the result is the same wherever the channels stood, unless height or width survive
  const neutral = keep || ![1, 2].some((axis) => shape.length === 4 && !axes.includes(axis));
  const { x, first } = neutral ? reading.follow() : { x: reading.last(0), first: false };
  const places = reading.ints((first ? axes.map(firstAxis) : axes).sort((a, b) => a - b));
  const input = around.before === undefined ? x : reading.op('Cast', [x], { to: around.before });
  const y = reading.op(opType, [input, places], { keepdims: keep ? 1 : 0, ...(axes.length === 0 && { noop_with_empty_axes: 1 }) });
  reading.define(around.after === undefined ? y : reading.op('Cast', [y], { to: around.after }), first && keep);
};

/** ONNX reduces no booleans: 0 and 1 do. */
const logical = { before: dtypes.int32.onnx, after: dtypes.bool.onnx } as const;

const argument = (opType: 'ArgMax' | 'ArgMin'): ReadRow => (reading) => {
  const [axis] = reading.numbers(1, 'axis');
  const y = reading.op(opType, [reading.last(0)], { axis: axis!, keepdims: 0 });
  reading.define(reading.resultTensor().dtype === 'int64' ? y : reading.op('Cast', [y], { to: dtypes[reading.resultTensor().dtype].onnx }));
};

export const reductions: ReadTable = {
  MEAN: reduce('ReduceMean'),
  SUM: reduce('ReduceSum'),
  REDUCE_MAX: reduce('ReduceMax'),
  REDUCE_MIN: reduce('ReduceMin'),
  REDUCE_PROD: reduce('ReduceProd'),
  REDUCE_ANY: reduce('ReduceMax', logical),
  REDUCE_ALL: reduce('ReduceMin', logical),
  ARG_MAX: argument('ArgMax'),
  ARG_MIN: argument('ArgMin'),
  SOFTMAX: (reading) => {
    const beta = reading.optional('SoftmaxOptions').beta ?? 1;
    const x = beta === 1 ? reading.last(0) : reading.op('Mul', [reading.last(0), reading.values.builder.constant('float32', beta)]);
    reading.define(reading.op('Softmax', [x], { axis: -1 }));
  },
  LOG_SOFTMAX: (reading) => reading.define(reading.op('LogSoftmax', [reading.last(0)], { axis: -1 })),
  // the sum of squares is at least 1e-6
  L2_NORMALIZATION: (reading) => {
    const x = reading.last(0);
    const sum = reading.op('ReduceSumSquare', [x, reading.ints([-1])], { keepdims: 1 });
    const root = reading.op('Sqrt', [reading.op('Max', [sum, reading.values.builder.constant('float32', 1e-6)])]);
    reading.define(activate(reading, reading.op('Div', [x, root]), reading.optional('L2NormOptions').fusedActivationFunction));
  },
  // TFLite gives the radius and alpha per element, ONNX the whole width and alpha for all of it. As TensorFlow computes it:
  // the reference kernel of TFLite leaves out the last channel of every window.
  LOCAL_RESPONSE_NORMALIZATION: (reading) => {
    const { radius, bias, alpha, beta } = reading.options('LocalResponseNormalizationOptions');
    const size = 2 * radius + 1;
    const y = reading.op('LRN', [reading.first(0)], { size, bias: attribute.float(bias), alpha: attribute.float(alpha * size), beta: attribute.float(beta) });
    reading.define(y, true);
  },
  CUMSUM: (reading) => {
    const { exclusive, reverse } = reading.optional('CumsumOptions');
    reading.define(reading.op('CumSum', [reading.last(0), reading.int64(1)], { exclusive: exclusive ? 1 : 0, reverse: reverse ? 1 : 0 }));
  },
  TOPK_V2: (reading) => {
    const k = reading.op('Reshape', [reading.int64(1), reading.ints([1])]);
    const [top, places] = reading.nodes('TopK', [reading.last(0), k], { axis: -1, largest: 1, sorted: 1 }, 2);
    reading.define(top!);
    reading.define(reading.op('Cast', [places!], { to: dtypes[reading.resultTensor(1).dtype].onnx }), false, 1);
  },
};
