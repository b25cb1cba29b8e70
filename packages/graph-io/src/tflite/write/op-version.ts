/** Which version of its operator a node needs: the oldest that takes these types and options (LiteRT's rules for them, as data). */
import type { DType } from '@penjing/core';
import type { BuiltinOperator } from '../operators-schema.js';
import type { TfOperator, TfTensor } from './tf-graph.js';

interface Signature {
  readonly operator: TfOperator;
  /** Inputs that are there. */
  readonly inputs: readonly TfTensor[];
  readonly type: DType;
  readonly rank: number;
  /** Operands of different shapes. */
  readonly broadcasts: boolean;
  readonly option: (name: string) => unknown;
}

type Rule = (signature: Signature) => number;

const int8Since = (version: number): Rule => ({ type }) => (type === 'int8' ? version : 1);
const int8AndInt16: Rule = ({ type }) => (type === 'int16' ? 3 : type === 'int8' ? 2 : 1);

/** Versions of the operators that compute with weights: float, weights of 8 bits, everything of 8 bits. */
const perChannel = ({ quantization }: TfTensor): boolean => (quantization?.scale.length ?? 0) > 1;

const broadcastFive = (limit: number): Rule => ({ type, rank, broadcasts }) => (broadcasts && rank > 4 ? limit : type === 'int8' ? 2 : 1);

const padded: Rule = ({ type, rank }) => (type === 'bool' ? 5 : rank > 4 ? 4 : type === 'int8' ? 2 : 1);

const rules: Partial<Record<BuiltinOperator, Rule>> = {
  CONV_2D({ inputs: [x, weight], type }) {
    if (x!.shape.at(-1) !== weight!.shape.at(-1)) return 6;
    if (type === 'int8') return 3;
    return weight!.dtype !== 'int8' ? 1 : perChannel(weight!) ? 5 : 2;
  },
  DEPTHWISE_CONV_2D({ inputs: [, weight], type, option }) {
    if (type === 'int8') return 3;
    if (weight!.dtype === 'int8') return perChannel(weight!) ? 6 : 4;
    return option('dilationWFactor') !== 1 || option('dilationHFactor') !== 1 ? 2 : 1;
  },
  FULLY_CONNECTED({ inputs, type, option }) {
    const [, weight] = inputs;
    if (type === 'float32' && weight!.dtype === 'int8' && perChannel(weight!)) return 12;
    if (type === 'int8' && perChannel(weight!)) return 12;
    if (inputs.length === 2) return 6;
    if (option('keepNumDims') === true) return 5;
    if (type === 'int8') return 4;
    return weight!.dtype !== 'int8' ? 1 : option('asymmetricQuantizeInputs') === true ? 9 : 3;
  },
  TRANSPOSE_CONV: ({ inputs, option }) => (option('fusedActivationFunction') !== 0 ? 4 : inputs.length === 4 ? 3 : inputs[1]!.dtype === 'int8' ? 2 : 1),
  GATHER: ({ type }) => (type === 'bool' ? 3 : type === 'int8' ? 2 : 1),
  GATHER_ND: ({ type }) => (type === 'bool' ? 5 : 1),
  MUL: ({ inputs, operator, type }) => {
    if (type === 'int64') return 5;
    const [a, b, out] = [...inputs, operator.outputs[0]!].map((tensor) => tensor.quantization?.scale[0]);
    if (a && b && out && (a * b) / out >= 1) return 3;
    return type === 'int8' ? 2 : 1;
  },
  ADD: ({ type }) => (type === 'int64' ? 4 : type === 'int8' ? 2 : 1),
  SUB: ({ type, rank, broadcasts }) => (type === 'int64' ? 4 : broadcasts && rank > 4 ? 3 : type === 'int8' ? 2 : 1),
  DIV: ({ rank, broadcasts }) => (broadcasts && rank > 4 ? 2 : 1),
  MAXIMUM: broadcastFive(3),
  MINIMUM: broadcastFive(3),
  SIGN: ({ type }) => (type === 'int32' ? 2 : 1),
  TRANSPOSE: ({ type, rank }) => (rank > 5 ? 6 : rank > 4 ? 4 : type === 'bool' ? 3 : type === 'int8' ? 2 : 1),
  SPLIT: ({ inputs: [, x] }) => (x!.dtype === 'int32' ? 3 : x!.dtype === 'int8' ? 2 : 1),
  SLICE: ({ type, rank }) => (rank > 4 ? 5 : type === 'int8' ? 2 : 1),
  STRIDED_SLICE: ({ type, rank }) => (rank > 4 ? 4 : type === 'bool' ? 3 : type === 'int8' ? 2 : 1),
  DEQUANTIZE: ({ inputs: [x], type }) => (type === 'float16' ? 3 : type !== 'int8' ? 1 : perChannel(x!) ? 5 : 2),
  ABS: ({ type }) => (type === 'int32' ? 5 : type === 'int8' ? 2 : 1),
  RELU: int8Since(2),
  RESIZE_BILINEAR: ({ type, option }) => (option('halfPixelCenters') === true ? 3 : type === 'int8' ? 2 : 1),
  RESIZE_NEAREST_NEIGHBOR: ({ type, option }) => (option('halfPixelCenters') === true || option('alignCorners') === true ? 3 : type === 'int8' ? 2 : 1),
  TILE: int8Since(3),
  TANH: int8Since(2), LOGISTIC: int8Since(2),
  EQUAL: int8Since(2), NOT_EQUAL: int8Since(2), LESS: int8Since(2), GREATER_EQUAL: int8Since(2), GREATER: int8Since(2), LESS_EQUAL: int8Since(2),
  BATCH_MATMUL: int8Since(2),
  PAD: padded, PADV2: padded,
  CONCATENATION: int8Since(2),
  SOFTMAX: int8AndInt16, MEAN: int8AndInt16, MIRROR_PAD: int8AndInt16, REDUCE_MAX: int8AndInt16, REDUCE_MIN: int8AndInt16, RELU6: int8AndInt16, RSQRT: int8AndInt16,
  MAX_POOL_2D: int8AndInt16, AVERAGE_POOL_2D: int8AndInt16,
  ARG_MAX: ({ type }) => (type === 'bool' ? 3 : type === 'int8' ? 2 : 1), ARG_MIN: ({ type }) => (type === 'bool' ? 3 : type === 'int8' ? 2 : 1),
  SPACE_TO_DEPTH: int8Since(2), DEPTH_TO_SPACE: int8Since(2), SPLIT_V: int8Since(2), SUM: int8Since(2), LOG_SOFTMAX: int8Since(2), SQUARED_DIFFERENCE: int8Since(2),
  TOPK_V2: int8Since(2), EXP: int8Since(2), LOG: int8Since(2), REDUCE_PROD: int8Since(2), GELU: int8Since(2),
  BROADCAST_TO: int8Since(3),
  CAST: ({ type, operator }) => ([type, operator.outputs[0]!.dtype].includes('int8') ? 3 : [type, operator.outputs[0]!.dtype].includes('uint32') ? 2 : 1),
};

/** Version 1 was withdrawn for these. */
const FLOOR: Partial<Record<BuiltinOperator, number>> = { BROADCAST_TO: 2 };

export function operatorVersion(operator: TfOperator): number {
  const inputs = operator.inputs.filter((input) => input !== null);
  const [x, y] = inputs;
  const options = operator.options?.value as Readonly<Record<string, unknown>> | undefined;
  const rule = rules[operator.type];
  const version = rule?.({
    operator, inputs, type: x?.dtype ?? 'float32',
    rank: Math.max(0, ...inputs.map((tensor) => tensor.shape.length)),
    broadcasts: x !== undefined && y !== undefined && x.shape.join() !== y.shape.join(),
    option: (name) => options?.[name],
  }) ?? 1;
  return Math.max(version, FLOOR[operator.type] ?? 1);
}
