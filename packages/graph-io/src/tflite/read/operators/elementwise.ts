/** Element-wise operators, which compute wherever the channels stand. */
import { type AttributeInput, attribute, dtypes, lazy, type Value } from '@penjing/core';
import { activateResult, clip } from '../activation.js';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

const unary = (make: (reading: TfliteReading, x: Value) => Value): ReadRow => (reading) => {
  const { x, first } = reading.follow();
  reading.define(make(reading, x), first);
};

const plain = (opType: string, attributes: Readonly<Record<string, AttributeInput>> = {}): ReadRow =>
  unary((reading, x) => reading.op(opType, [x], attributes));

/** Options of arithmetic with a fused activation; comparisons have none. */
const fused = { ADD: 'AddOptions', SUB: 'SubOptions', MUL: 'MulOptions', DIV: 'DivOptions' } as const;

const binary = (make: (reading: TfliteReading, a: Value, b: Value) => Value): ReadRow => (reading) => {
  const { operands, first } = reading.together();
  const type = reading.type in fused ? fused[reading.type as keyof typeof fused] : undefined;
  const options = type && reading.optional(type);
  reading.define(activateResult(reading, make(reading, operands[0]!, operands[1]!), options?.fusedActivationFunction), first);
};

const plainBinary = (opType: string): ReadRow => binary((reading, a, b) => reading.op(opType, [a, b]));

const isInteger = (reading: TfliteReading): boolean => dtypes[reading.values.dtype(reading.index(0))].kind !== 'float';

/** The angle of (x, y): that of the ratio in the right half, turned by a half circle in the left one. */
function atan2(reading: TfliteReading, y: Value, x: Value): Value {
  const { builder } = reading.values;
  const number = (value: number): Value => builder.constant('float32', value);
  const isBelow = (value: Value): Value => reading.op('Less', [value, number(0)]);
  const turn = reading.op('Where', [isBelow(y), number(-Math.PI), number(Math.PI)]);
  const angle = reading.op('Add', [reading.op('Atan', [reading.op('Div', [y, x])]), reading.op('Where', [isBelow(x), turn, number(0)])]);
  // nothing by nothing has no ratio; its angle is 0
  const nothing = reading.op('And', [reading.op('Equal', [x, number(0)]), reading.op('Equal', [y, number(0)])]);
  return reading.op('Where', [nothing, number(0), angle]);
}

export const elementwise: ReadTable = {
  ABS: plain('Abs'),
  CEIL: plain('Ceil'),
  COS: plain('Cos'),
  ELU: plain('Elu'),
  EXP: plain('Exp'),
  FLOOR: plain('Floor'),
  HARD_SWISH: plain('HardSwish'),
  LOG: plain('Log'),
  LOGICAL_NOT: plain('Not'),
  LOGISTIC: plain('Sigmoid'),
  NEG: plain('Neg'),
  RELU: plain('Relu'),
  RELU6: unary((reading, x) => clip(reading, x, 0, 6)),
  RELU_0_TO_1: unary((reading, x) => clip(reading, x, 0, 1)),
  RELU_N1_TO_1: unary((reading, x) => clip(reading, x, -1, 1)),
  ROUND: plain('Round'),
  RSQRT: unary((reading, x) => reading.op('Reciprocal', [reading.op('Sqrt', [x])])),
  SIGN: plain('Sign'),
  SIN: plain('Sin'),
  SQRT: plain('Sqrt'),
  SQUARE: unary((reading, x) => reading.op('Mul', [x, x])),
  TANH: plain('Tanh'),
  ZEROS_LIKE: unary((reading, x) => reading.op('Mul', [x, reading.scalar(0)])),
  GELU: unary((reading, x) => reading.op('Gelu', [x], { approximate: attribute.string(reading.optional('GeluOptions').approximate ? 'tanh' : 'none') })),
  LEAKY_RELU: unary((reading, x) => reading.op('LeakyRelu', [x], { alpha: attribute.float(reading.optional('LeakyReluOptions').alpha ?? 0) })),
  CAST: unary((reading, x) => reading.op('Cast', [x], { to: dtypes[reading.resultTensor().dtype].onnx })),

  ADD: plainBinary('Add'),
  SUB: plainBinary('Sub'),
  MUL: plainBinary('Mul'),
  DIV: plainBinary('Div'),
  MAXIMUM: plainBinary('Max'),
  MINIMUM: plainBinary('Min'),
  POW: plainBinary('Pow'),
  PRELU: plainBinary('PRelu'),
  EQUAL: plainBinary('Equal'),
  NOT_EQUAL: binary((reading, a, b) => reading.op('Not', [reading.op('Equal', [a, b])])),
  GREATER: plainBinary('Greater'),
  GREATER_EQUAL: plainBinary('GreaterOrEqual'),
  LESS: plainBinary('Less'),
  LESS_EQUAL: plainBinary('LessOrEqual'),
  ATAN2: binary(atan2),
  LOGICAL_AND: plainBinary('And'),
  LOGICAL_OR: plainBinary('Or'),
  SQUARED_DIFFERENCE: binary((reading, a, b) => {
    const difference = reading.op('Sub', [a, b]);
    return reading.op('Mul', [difference, difference]);
  }),
  // ONNX divides integers towards zero, TFLite towards minus infinity
  FLOOR_DIV: binary((reading, a, b) => {
    if (!isInteger(reading)) return reading.op('Floor', [reading.op('Div', [a, b])]);
    return reading.op('Div', [reading.op('Sub', [a, reading.op('Mod', [a, b])]), b]);
  }),
  // Mod of ONNX has the sign of the divisor for integers only; fmod has that of the dividend
  FLOOR_MOD: binary((reading, a, b) => {
    if (isInteger(reading)) return reading.op('Mod', [a, b]);
    return reading.op('Sub', [a, reading.op('Mul', [reading.op('Floor', [reading.op('Div', [a, b])]), b])]);
  }),
  ADD_N: (reading) => {
    const { operands, first } = reading.together();
    reading.define(reading.op('Sum', operands), first);
  },
  SELECT_V2: (reading) => {
    const { operands, first } = reading.together();
    reading.define(reading.op('Where', operands), first);
  },
  // the condition of the old form may be a vector over rows
  SELECT: (reading) => {
    const [condition, a] = [reading.tensor(0).shape, reading.tensor(1).shape];
    if (condition.length === a.length || condition.length === 0) {
      reading.define(reading.op('Where', [reading.last(0), reading.last(1), reading.last(2)]));
      return;
    }
    const rows = reading.op('Unsqueeze', [reading.last(0), reading.ints(Array.from({ length: a.length - 1 }, (_, i) => i + 1))]);
    reading.define(reading.op('Where', [rows, reading.last(1), reading.last(2)]));
  },

  // operands and results know their scales, so rounding to the new grid is all that is left
  QUANTIZE: unary((_, x) => x),
  DEQUANTIZE: (reading) => {
    const index = reading.index(0);
    const { values } = reading;
    const constant = values.isConstant(index) && !values.scales(index) ? values.constant(index) : undefined;
    if (constant) return values.fold(reading.result(), lazy.cast(constant, 'float32'));
    const { x, first } = reading.follow();
    reading.define(values.dtype(index) === 'float32' ? x : reading.op('Cast', [x], { to: dtypes.float32.onnx }), first);
  },
  // constants that are stored sparse are dense once they are read
  DENSIFY: (reading) => {
    const constant = reading.values.constant(reading.index(0));
    if (constant) return reading.values.fold(reading.result(), constant);
    reading.define(reading.last(0));
  },
  FAKE_QUANT: (reading) => {
    const { x, first } = reading.follow();
    const { min = 0, max = 0, numBits = 8, narrowRange = false } = reading.optional('FakeQuantOptions');
    const low = narrowRange ? 1 : 0;
    const high = 2 ** numBits - 1;
    const scale = (max - min) / (high - low);
    const zero = Math.min(high, Math.max(low, Math.round(low - min / scale)));
    const { builder } = reading.values;
    const grid = reading.op('Round', [reading.op('Div', [clip(reading, x, (low - zero) * scale, (high - zero) * scale), builder.constant('float32', scale)])]);
    reading.define(reading.op('Mul', [grid, builder.constant('float32', scale)]), first);
  },
};
