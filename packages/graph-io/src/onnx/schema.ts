/** The messages of onnx.proto (IR version 14): field numbers as data. Fields left out here are carried as `extra`. */
import { bigint, bytes, chunks, defineMessage, type Extra, float, int, many, message, oneof, type Payload, payload, type Schema, string } from './message.js';

export interface EntryProto extends Extra { key?: string; value?: string }
export interface OperatorSetProto extends Extra { domain?: string; version?: number }
export interface DimensionProto extends Extra { value?: bigint; param?: string; denotation?: string }
export interface ShapeProto extends Extra { dim?: DimensionProto[] }
export interface TensorTypeProto extends Extra { elemType?: number; shape?: ShapeProto }
export interface ContainerTypeProto extends Extra { elemType?: TypeProto }
export interface MapTypeProto extends Extra { keyType?: number; valueType?: TypeProto }

export interface TypeProto extends Extra {
  tensor?: TensorTypeProto;
  sequence?: ContainerTypeProto;
  map?: MapTypeProto;
  denotation?: string;
  opaque?: Uint8Array;
  sparse?: TensorTypeProto;
  optional?: ContainerTypeProto;
}

export interface ValueInfoProto extends Extra { name?: string; type?: TypeProto; doc?: string; metadata?: EntryProto[] }

export interface TensorProto extends Extra {
  dims?: number[];
  dataType?: number;
  segment?: Uint8Array;
  floatData?: Payload[];
  int32Data?: Payload[];
  stringData?: Uint8Array[];
  int64Data?: Payload[];
  name?: string;
  rawData?: Payload;
  doubleData?: Payload[];
  uint64Data?: Payload[];
  doc?: string;
  externalData?: EntryProto[];
  dataLocation?: number;
  metadata?: EntryProto[];
}

export interface SparseTensorProto extends Extra { values?: TensorProto; indices?: TensorProto; dims?: number[] }

export interface AttributeProto extends Extra {
  name?: string;
  f?: number;
  i?: bigint;
  s?: Uint8Array;
  t?: TensorProto;
  g?: GraphProto;
  floats?: number[];
  ints?: bigint[];
  strings?: Uint8Array[];
  tensors?: TensorProto[];
  graphs?: GraphProto[];
  doc?: string;
  tp?: TypeProto;
  typeProtos?: TypeProto[];
  type?: number;
  refAttrName?: string;
  sparseTensor?: SparseTensorProto;
  sparseTensors?: SparseTensorProto[];
}

export interface NodeProto extends Extra {
  input?: string[];
  output?: string[];
  name?: string;
  opType?: string;
  attribute?: AttributeProto[];
  doc?: string;
  domain?: string;
  overload?: string;
  metadata?: EntryProto[];
}

export interface GraphProto extends Extra {
  node?: NodeProto[];
  name?: string;
  initializer?: TensorProto[];
  doc?: string;
  input?: ValueInfoProto[];
  output?: ValueInfoProto[];
  valueInfo?: ValueInfoProto[];
  sparseInitializer?: SparseTensorProto[];
  metadata?: EntryProto[];
}

export interface FunctionProto extends Extra {
  name?: string;
  input?: string[];
  output?: string[];
  attribute?: string[];
  node?: NodeProto[];
  doc?: string;
  opsetImport?: OperatorSetProto[];
  domain?: string;
  attributeProto?: AttributeProto[];
  valueInfo?: ValueInfoProto[];
  overload?: string;
  metadata?: EntryProto[];
}

export interface ModelProto extends Extra {
  irVersion?: number;
  producerName?: string;
  producerVersion?: string;
  domain?: string;
  modelVersion?: bigint;
  doc?: string;
  graph?: GraphProto;
  opsetImport?: OperatorSetProto[];
  metadata?: EntryProto[];
  functions?: FunctionProto[];
}

export const entrySchema: Schema<EntryProto> = defineMessage('StringStringEntryProto', { key: string(1), value: string(2) });
const entries = (id: number) => many(message(id, () => entrySchema));

export const operatorSetSchema: Schema<OperatorSetProto> = defineMessage('OperatorSetIdProto', { domain: string(1), version: int(2) });

export const dimensionSchema: Schema<DimensionProto> = defineMessage('TensorShapeProto.Dimension', {
  value: oneof('value', bigint(1)), param: oneof('value', string(2)), denotation: string(3),
});
export const shapeSchema: Schema<ShapeProto> = defineMessage('TensorShapeProto', { dim: many(message(1, () => dimensionSchema)) });
export const tensorTypeSchema: Schema<TensorTypeProto> = defineMessage('TypeProto.Tensor', {
  elemType: int(1), shape: message(2, () => shapeSchema),
});
export const containerTypeSchema: Schema<ContainerTypeProto> = defineMessage('TypeProto.Sequence', {
  elemType: message(1, () => typeSchema),
});
export const mapTypeSchema: Schema<MapTypeProto> = defineMessage('TypeProto.Map', {
  keyType: int(1), valueType: message(2, () => typeSchema),
});
export const typeSchema: Schema<TypeProto> = defineMessage('TypeProto', {
  tensor: oneof('value', message(1, () => tensorTypeSchema)),
  sequence: oneof('value', message(4, () => containerTypeSchema)),
  map: oneof('value', message(5, () => mapTypeSchema)),
  denotation: string(6),
  opaque: oneof('value', bytes(7)),
  sparse: oneof('value', message(8, () => tensorTypeSchema)),
  optional: oneof('value', message(9, () => containerTypeSchema)),
});

export const valueInfoSchema: Schema<ValueInfoProto> = defineMessage('ValueInfoProto', {
  name: string(1), type: message(2, () => typeSchema), doc: string(3), metadata: entries(4),
});

export const tensorSchema: Schema<TensorProto> = defineMessage('TensorProto', {
  dims: many(int(1)), dataType: int(2), segment: bytes(3), floatData: chunks(4, 'fixed32'), int32Data: chunks(5, 'varint'),
  stringData: many(bytes(6)), int64Data: chunks(7, 'varint'), name: string(8), rawData: payload(9),
  doubleData: chunks(10, 'fixed64'), uint64Data: chunks(11, 'varint'), doc: string(12), externalData: entries(13),
  dataLocation: int(14), metadata: entries(16),
});

export const sparseTensorSchema: Schema<SparseTensorProto> = defineMessage('SparseTensorProto', {
  values: message(1, () => tensorSchema), indices: message(2, () => tensorSchema), dims: many(int(3)),
});

export const attributeSchema: Schema<AttributeProto> = defineMessage('AttributeProto', {
  name: string(1), f: float(2), i: bigint(3), s: bytes(4), t: message(5, () => tensorSchema),
  g: message(6, () => graphSchema), floats: many(float(7)), ints: many(bigint(8)), strings: many(bytes(9)),
  tensors: many(message(10, () => tensorSchema)), graphs: many(message(11, () => graphSchema)), doc: string(13),
  tp: message(14, () => typeSchema), typeProtos: many(message(15, () => typeSchema)), type: int(20),
  refAttrName: string(21), sparseTensor: message(22, () => sparseTensorSchema),
  sparseTensors: many(message(23, () => sparseTensorSchema)),
});

export const nodeSchema: Schema<NodeProto> = defineMessage('NodeProto', {
  input: many(string(1)), output: many(string(2)), name: string(3), opType: string(4),
  attribute: many(message(5, () => attributeSchema)), doc: string(6), domain: string(7), overload: string(8),
  metadata: entries(9),
});

export const graphSchema: Schema<GraphProto> = defineMessage('GraphProto', {
  node: many(message(1, () => nodeSchema)), name: string(2), initializer: many(message(5, () => tensorSchema)),
  doc: string(10), input: many(message(11, () => valueInfoSchema)), output: many(message(12, () => valueInfoSchema)),
  valueInfo: many(message(13, () => valueInfoSchema)),
  sparseInitializer: many(message(15, () => sparseTensorSchema)), metadata: entries(16),
});

export const functionSchema: Schema<FunctionProto> = defineMessage('FunctionProto', {
  name: string(1), input: many(string(4)), output: many(string(5)), attribute: many(string(6)),
  node: many(message(7, () => nodeSchema)), doc: string(8), opsetImport: many(message(9, () => operatorSetSchema)),
  domain: string(10), attributeProto: many(message(11, () => attributeSchema)),
  valueInfo: many(message(12, () => valueInfoSchema)), overload: string(13), metadata: entries(14),
});

export const modelSchema: Schema<ModelProto> = defineMessage('ModelProto', {
  irVersion: int(1), producerName: string(2), producerVersion: string(3), domain: string(4), modelVersion: bigint(5),
  doc: string(6), graph: message(7, () => graphSchema), opsetImport: many(message(8, () => operatorSetSchema)),
  metadata: entries(14), functions: many(message(25, () => functionSchema)),
});
