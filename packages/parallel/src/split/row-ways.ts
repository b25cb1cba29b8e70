/** Where rows of a batch go through operators that tensor parallelism does not cut along them. */
import type { Node, OpName } from '@penjing/core';
import type { Dims } from '../tensor/rule.js';

/** A node some of whose inputs have rows. */
export interface RowNode {
  readonly node: Node;
  /** The axis of an input along which its rows lie; undefined where it has none. */
  readonly rows: (index: number) => number | undefined;
  readonly has: (index: number) => boolean;
  readonly shape: (index: number) => Dims | undefined;
  readonly numbers: (index: number) => readonly number[] | undefined;
  /** The only axis of the first output that grows with the batch. */
  readonly grown: number | undefined;
}

/** By output: the axis of its rows. Undefined when rows do not stay apart, or nobody has thought about it. */
export type RowWay = (node: RowNode) => readonly number[] | undefined;

const MANY = 16;
const always = (axis: number): number[] => new Array<number>(MANY).fill(axis);
const at = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Rows lie where they are listed, by input; all other inputs are the same for all rows. */
function rowsAt(inputs: Readonly<Record<number, number>>, outputs: number | readonly number[] = 0): RowWay {
  return ({ node, rows }) => (node.inputs.every((_, i) => rows(i) === undefined || rows(i) === inputs[i]) ? (typeof outputs === 'number' ? always(outputs) : outputs) : undefined);
}

/** Any axis but the last `but` of input 0, and the same one of those that are `beside` it. */
function leading(but: number, ...beside: readonly number[]): RowWay {
  return ({ node, rows, shape }) => {
    const [axis, rank] = [rows(0), shape(0)?.length];
    if (axis === undefined || rank === undefined || axis >= rank - but) return undefined;
    return node.inputs.every((_, i) => i === 0 || rows(i) === undefined || (beside.includes(i) && rows(i) === axis && shape(i)?.length === rank)) ? always(axis) : undefined;
  };
}

/** What is picked from a table is where its index was. */
const pick = (attribute: string, picked = 0): RowWay => ({ node, rows, shape }) => {
  const [axis, rank] = [rows(1), shape(picked)?.length];
  if (axis === undefined || rank === undefined || node.inputs.some((_, i) => i !== 1 && rows(i) !== undefined)) return undefined;
  return [at(node.int(attribute, 0), rank) + axis];
};

const gemm: RowWay = ({ node, rows }) => {
  const bias = rows(2) ?? 0;
  return rows(1) === undefined && bias === 0 && (rows(0) ?? -1) === node.int('transA', 0) ? [0] : undefined;
};

const recurrent: RowWay = (c) => {
  const [inner, y] = c.node.int('layout', 0) === 1 ? [0, 0] : [1, 2];
  return rowsAt({ 0: inner, 4: 0, 5: inner, 6: inner }, [y, inner, inner])(c);
};

/** The elements of a slice along the batch are all of them. */
const slice: RowWay = ({ rows, shape, numbers, has, grown }) => {
  const [axis, starts, rank] = [rows(0), numbers(1), shape(0)?.length];
  const axes = has(3) ? numbers(3) : starts?.map((_, i) => i);
  if (axis === undefined || rank === undefined || !starts || !axes || grown !== axis) return undefined;
  const which = axes.map((one) => at(one, rank)).indexOf(axis);
  return which >= 0 && starts[which] === 0 && (!has(4) || numbers(4)?.[which] === 1) ? [axis] : undefined;
};

/** The same again for every row that is asked for. */
const spread: RowWay = ({ rows, grown }) => (rows(0) === undefined && grown !== undefined ? [grown] : undefined);

const alongside = (inputs: readonly number[]): RowWay => ({ node, rows, shape }) => {
  const [axis, rank] = [rows(0), shape(0)?.length];
  if (axis === undefined || rank === undefined || axis === at(node.int('axis', 0), rank)) return undefined;
  return inputs.every((i) => rows(i) === axis) ? [axis] : undefined;
};

const oneHot: RowWay = ({ node, rows, shape }) => {
  const [axis, rank] = [rows(0), shape(0)?.length];
  if (axis === undefined || rank === undefined || rows(1) !== undefined || rows(2) !== undefined) return undefined;
  return [axis < at(node.int('axis', -1), rank + 1) ? axis : axis + 1];
};

const gatherND: RowWay = (c) => {
  const [axis, rank] = [c.rows(1), c.shape(1)?.length];
  if (c.node.int('batch_dims', 0) > 0) return axis === 0 && c.rows(0) === 0 ? [0] : undefined;
  return axis !== undefined && rank !== undefined && axis < rank - 1 && c.rows(0) === undefined ? [axis] : undefined;
};

const image = rowsAt({ 0: 0 });
const table: RowWay = (c) => (c.shape(0)?.length === 2 ? image(c) : undefined);
const inFront = (...inputs: readonly number[]): RowWay => rowsAt(Object.fromEntries(inputs.map((i) => [i, 0])));

export const rowWays: { readonly [Op in OpName]?: RowWay } = {
  Conv: image,
  ConvTranspose: image,
  ConvInteger: image,
  QLinearConv: image,
  DeformConv: inFront(0, 2, 4),
  'com.microsoft.FusedConv': inFront(0, 3),
  'com.microsoft.QLinearConv': image,
  'com.microsoft.NhwcConv': image,
  'com.microsoft.NhwcFusedConv': inFront(0, 3),
  'com.microsoft.NhwcMaxPool': image,
  BatchNormalization: (c) => (c.node.int('training_mode', 0) === 1 ? undefined : image(c)),
  InstanceNormalization: image,
  GroupNormalization: image,
  'com.microsoft.GroupNorm': image,
  DepthToSpace: image,
  SpaceToDepth: image,
  GridSample: inFront(0, 1),
  Resize: (c) => (c.node.string('coordinate_transformation_mode', '') === 'tf_crop_and_resize' || c.grown !== 0 ? undefined : image(c)),
  Upsample: (c) => (c.grown === 0 ? image(c) : undefined),
  Gemm: gemm,
  'com.microsoft.FusedGemm': gemm,
  'com.microsoft.MatMulNBits': leading(1),
  'com.microsoft.MoE': leading(1, 1),
  'com.microsoft.QMoE': leading(1, 1),
  'com.microsoft.SkipLayerNormalization': leading(1, 1),
  'com.microsoft.SkipSimplifiedLayerNormalization': leading(1, 1),
  'com.microsoft.EmbedLayerNormalization': inFront(0, 1, 7, 8),
  Attention: inFront(0, 1, 2, 3, 4, 5, 6),
  RotaryEmbedding: inFront(0, 1, 2, 3),
  'com.microsoft.RotaryEmbedding': inFront(0, 1),
  'com.microsoft.GroupQueryAttention': inFront(0, 1, 2, 3, 4, 5, 9, 10),
  'com.microsoft.MultiHeadAttention': inFront(0, 1, 2, 4, 5, 6, 7),
  'com.microsoft.Attention': rowsAt({ 0: 0, 3: 0, 4: 1, 5: 0 }, [0, 1]),
  'com.microsoft.QAttention': rowsAt({ 0: 0, 5: 0, 8: 1 }, [0, 1]),
  LSTM: recurrent,
  GRU: recurrent,
  RNN: recurrent,
  Gather: pick('axis'),
  'com.microsoft.GatherBlockQuantized': pick('gather_axis'),
  GatherElements: alongside([1]),
  ScatterElements: alongside([1, 2]),
  GatherND: gatherND,
  OneHot: oneHot,
  Slice: slice,
  Expand: spread,
  Tile: spread,
  ConstantOfShape: spread,
  ReverseSequence: (c) => (c.rows(0) === c.node.int('batch_axis', 1) && (c.rows(1) ?? 0) === 0 ? [c.rows(0)!] : undefined),
  'ai.onnx.ml.ArrayFeatureExtractor': table,
  'ai.onnx.ml.Binarizer': table,
  'ai.onnx.ml.Imputer': table,
  'ai.onnx.ml.LabelEncoder': image,
  'ai.onnx.ml.LinearClassifier': table,
  'ai.onnx.ml.LinearRegressor': table,
  'ai.onnx.ml.Normalizer': table,
  'ai.onnx.ml.Scaler': table,
  'ai.onnx.ml.SVMClassifier': table,
  'ai.onnx.ml.SVMRegressor': table,
  'ai.onnx.ml.TreeEnsembleClassifier': table,
  'ai.onnx.ml.TreeEnsembleRegressor': table,
};
