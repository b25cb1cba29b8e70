/** The tables of the TFLite schema, version 3 (file identifier TFL3), as of LiteRT 2.3: field ids as data. */
import {
  bool, bytes, float32s, int32, int32s, int64s, int8, many, one, type ReadOf, string, table, uint16s, uint32, uint64, uint8s, union, type WriteOf,
} from './field-table.js';
import { optionTables2 } from './options-schema-2.js';
import { optionTables } from './options-schema.js';

export const SCHEMA_VERSION = 3;
export const FILE_IDENTIFIER = 'TFL3';

const customQuantization = table('CustomQuantization', { custom: bytes(0) });
const blockwiseQuantization = table('BlockwiseQuantization', { scales: int32(0), zeroPoints: int32(1), blockSize: int32(2), blockShape: int32s(3) });
const multiAxisQuantization = table('MultiAxisQuantization', { scales: int32(0), zeroPoints: int32(1), blockSize: int32(2), quantizedDimensions: int32s(3) });

export const quantizationTable = table('QuantizationParameters', {
  min: float32s(0),
  max: float32s(1),
  /** One, or one per slice of `quantizedDimension`. */
  scale: float32s(2),
  zeroPoint: int64s(3),
  details: union(4, { CustomQuantization: customQuantization, BlockwiseQuantization: blockwiseQuantization, MultiAxisQuantization: multiAxisQuantization }),
  quantizedDimension: int32(6),
});

const indexVectors = {
  Int32Vector: table('Int32Vector', { values: int32s(0) }),
  Uint16Vector: table('Uint16Vector', { values: uint16s(0) }),
  Uint8Vector: table('Uint8Vector', { values: uint8s(0) }),
} as const;

const dimensionMetadata = table('DimensionMetadata', {
  /** 0 dense, 1 compressed sparse rows. */
  format: int8(0), denseSize: int32(1), arraySegments: union(2, indexVectors), arrayIndices: union(4, indexVectors),
});

const sparsityTable = table('SparsityParameters', { traversalOrder: int32s(0), blockMap: int32s(1), dimMetadata: many(2, dimensionMetadata) });

export const tensorTable = table('Tensor', {
  shape: int32s(0),
  /** TensorType; `tflite` of core's table of dtypes. */
  type: int8(1),
  /** Index into `Model.buffers`; buffer 0 is empty by convention. */
  buffer: uint32(2),
  name: string(3),
  quantization: one(4, quantizationTable),
  isVariable: bool(5),
  sparsity: one(6, sparsityTable),
  /** The shape with -1 for sizes that are not fixed. */
  shapeSignature: int32s(7),
  hasRank: bool(8),
  externalBuffer: uint32(10),
});

export const operatorCodeTable = table('OperatorCode', {
  /** The code when below 127, else 127: all that old readers know. The larger of the two codes holds. */
  deprecatedBuiltinCode: int8(0), customCode: string(1), version: int32(2, 1), builtinCode: int32(3),
});

export const operatorTable = table('Operator', {
  opcodeIndex: uint32(0),
  /** Tensor indices; -1 is an omitted optional input. */
  inputs: int32s(1),
  outputs: int32s(2),
  options: union(3, optionTables),
  customOptions: bytes(5),
  intermediates: int32s(8),
  /** From the start of the file, when the options are too large for the FlatBuffer. */
  largeCustomOptionsOffset: uint64(9),
  largeCustomOptionsSize: uint64(10),
  /** Options of operators that came after the first union was full. */
  options2: union(11, optionTables2),
});

export const subGraphTable = table('SubGraph', {
  tensors: many(0, tensorTable), inputs: int32s(1), outputs: int32s(2), operators: many(3, operatorTable), name: string(4),
});

/** `offset` and `size` (from the start of the file; above 1 when used) replace `data` in files over 2 GiB. */
export const bufferTable = table('Buffer', { data: bytes(0), offset: uint64(1), size: uint64(2) });

const metadataTable = table('Metadata', { name: string(0), buffer: uint32(1) });
const tensorMapTable = table('TensorMap', { name: string(0), tensorIndex: uint32(1) });

const signatureTable = table('SignatureDef', {
  inputs: many(0, tensorMapTable), outputs: many(1, tensorMapTable), signatureKey: string(2), subgraphIndex: uint32(4),
});

export const modelTable = table('Model', {
  version: uint32(0),
  operatorCodes: many(1, operatorCodeTable),
  subgraphs: many(2, subGraphTable),
  description: string(3),
  buffers: many(4, bufferTable),
  metadata: many(6, metadataTable),
  signatureDefs: many(7, signatureTable),
});

export type ModelTable = ReadOf<typeof modelTable>;
export type SubGraphTable = ReadOf<typeof subGraphTable>;
export type TensorTable = ReadOf<typeof tensorTable>;
export type OperatorTable = ReadOf<typeof operatorTable>;
export type QuantizationTable = ReadOf<typeof quantizationTable>;
export type BufferTable = ReadOf<typeof bufferTable>;
export type BuiltinOptions = NonNullable<OperatorTable['options']>;
export type BuiltinOptions2 = NonNullable<OperatorTable['options2']>;

export type ModelInit = WriteOf<typeof modelTable>;
export type SubGraphInit = WriteOf<typeof subGraphTable>;
export type TensorInit = WriteOf<typeof tensorTable>;
export type OperatorInit = WriteOf<typeof operatorTable>;
export type QuantizationInit = WriteOf<typeof quantizationTable>;
export type BufferInit = WriteOf<typeof bufferTable>;
export type BuiltinOptionsInit = NonNullable<OperatorInit['options']>;

export const padding = { SAME: 0, VALID: 1 } as const;
export const activation = { NONE: 0, RELU: 1, RELU_N1_TO_1: 2, RELU6: 3, TANH: 4, SIGN_BIT: 5 } as const;
export type Activation = keyof typeof activation;
