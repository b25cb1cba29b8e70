/** A TFLite file as plain typed objects: checked against itself, weights left on disk. */
import { byteSize, type ByteSource, decodeText, type DType, dtypeNames, dtypes, elementCount, PenjingError, type Shape } from '@penjing/core';
import { tfliteLimits, type TfliteLimits } from '../limits.js';
import type { ByteRange } from './field-table.js';
import { FlatBufferReader } from './flatbuffer-reader.js';
import { type BuiltinOperator, builtinOperators } from './operators-schema.js';
import {
  bufferTable, type BuiltinOptions, type BuiltinOptions2, FILE_IDENTIFIER, modelTable, operatorTable, type OperatorTable, type QuantizationTable, SCHEMA_VERSION, subGraphTable, tensorTable,
  type TensorTable,
} from './schema.js';

export interface TfliteTensor {
  readonly name: string;
  readonly dtype: DType;
  /** A size that is not fixed is 1 here. */
  readonly shape: Shape;
  /** -1 where the size is not fixed; undefined when all are. */
  readonly shapeSignature: readonly number[] | undefined;
  /** Content in the file; undefined for a computed tensor. */
  readonly data: ByteRange | undefined;
  /** Index of that content; tensors may share it. */
  readonly buffer: number;
  readonly quantization: QuantizationTable | undefined;
  readonly sparsity: TensorTable['sparsity'];
  readonly isVariable: boolean;
}

export interface TfliteOperator {
  /** CUSTOM for an operator outside the schema; then `custom` is its name. */
  readonly type: BuiltinOperator;
  readonly custom: string | undefined;
  readonly version: number;
  /** Tensor indices; -1 is an omitted optional input. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly options: BuiltinOptions | undefined;
  readonly options2: BuiltinOptions2 | undefined;
  readonly customOptions: ByteRange | undefined;
}

export interface TfliteSubgraph {
  readonly name: string;
  readonly tensors: readonly TfliteTensor[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly operators: readonly TfliteOperator[];
}

export interface TfliteSignature {
  readonly key: string;
  readonly subgraph: number;
  /** Tensor indices by name. */
  readonly inputs: ReadonlyMap<string, number>;
  readonly outputs: ReadonlyMap<string, number>;
}

export interface TfliteFile {
  readonly source: ByteSource;
  readonly version: number;
  readonly description: string;
  readonly subgraphs: readonly TfliteSubgraph[];
  readonly signatures: readonly TfliteSignature[];
  readonly metadata: ReadonlyMap<string, ByteRange | undefined>;
}

/** TensorType RESOURCE and VARIANT. */
const HANDLES: ReadonlySet<number> = new Set([13, 14]);

const dtypeOfTflite = new Map(dtypeNames.flatMap((name) => (dtypes[name].tflite === undefined ? [] : [[dtypes[name].tflite, name] as const])));

/**
 * Throws `E_TFLITE` for a malformed file (offsets outside of it, indices of tensors or buffers that are not there, content whose size is
 * not that of its tensor), `E_DTYPE` for an unknown element type and `E_LIMIT` for absurd counts.
 */
export async function openTflite(source: ByteSource, limits: TfliteLimits = tfliteLimits): Promise<TfliteFile> {
  const reader = new FlatBufferReader(source, limits);
  // Lists of tables are read one table at a time, so that no parse needs more than a few pages at once.
  const head = await reader.read(() => {
    const root = reader.root(FILE_IDENTIFIER);
    const { subgraphs: _, buffers: __, ...rest } = modelTable.fields;
    return {
      ...reader.value({ name: 'Model', fields: rest }, root.at),
      subgraphs: reader.tables(root, modelTable.fields.subgraphs.id) ?? [],
      buffers: reader.tables(root, modelTable.fields.buffers.id) ?? [],
    };
  });
  if (head.version !== SCHEMA_VERSION) throw reader.invalid(`its schema has version ${head.version}, not ${SCHEMA_VERSION}`);
  const buffers: (ByteRange | undefined)[] = [];
  for (const at of head.buffers) buffers.push(await reader.read(() => bufferRange(reader.value(bufferTable, at), reader)));

  const codes = (head.operatorCodes ?? []).map(({ deprecatedBuiltinCode, builtinCode, customCode, version }) => {
    const code = Math.max(deprecatedBuiltinCode, builtinCode);
    const type = builtinOperators[code];
    if (type === undefined) throw reader.invalid(`it uses the operator code ${code}, which is not known`);
    return { type, custom: type === 'CUSTOM' ? (customCode ?? '') : undefined, version };
  });

  const subgraphs: TfliteSubgraph[] = [];
  for (const at of head.subgraphs) subgraphs.push(await readSubgraph(reader, at, buffers, codes));
  const signatures = (head.signatureDefs ?? []).map((signature): TfliteSignature => {
    const subgraph = subgraphs[signature.subgraphIndex];
    if (!subgraph) throw reader.invalid(`signature ${signature.signatureKey} is of subgraph ${signature.subgraphIndex}, which is not there`);
    const names = (list: typeof signature.inputs): ReadonlyMap<string, number> => {
      checkIndices(reader, (list ?? []).map(({ tensorIndex }) => tensorIndex), subgraph.tensors.length, 0, 'a signature');
      return new Map((list ?? []).map(({ name, tensorIndex }) => [name ?? '', tensorIndex]));
    };
    return { key: signature.signatureKey ?? '', subgraph: signature.subgraphIndex, inputs: names(signature.inputs), outputs: names(signature.outputs) };
  });
  const metadata = new Map((head.metadata ?? []).map(({ name, buffer }) => [name ?? '', buffers[buffer]]));
  return { source, version: head.version, description: head.description ?? '', subgraphs, signatures, metadata };
}

/** A whole text of the metadata, without trailing zeros; undefined when it is absent or larger than 64 KiB. */
export async function tfliteMetadataText(file: TfliteFile, name: string): Promise<string | undefined> {
  const range = file.metadata.get(name);
  if (!range || range.length > 1 << 16) return undefined;
  return decodeText(await file.source.read(range.offset, range.length)).replace(/\0+$/, '');
}

function bufferRange({ data, offset, size }: { data: ByteRange | undefined; offset: number; size: number }, reader: FlatBufferReader): ByteRange | undefined {
  // Offsets 0 and 1 are placeholders in LiteRT's own writers.
  if (offset > 1) {
    if (offset + size > reader.source.size) throw reader.invalid(`a buffer of ${size} bytes at ${offset} lies outside its ${reader.source.size} bytes`);
    return { offset, length: size };
  }
  return data && data.length > 0 ? data : undefined;
}

type Code = Pick<TfliteOperator, 'type' | 'custom' | 'version'>;

async function readSubgraph(reader: FlatBufferReader, at: number, buffers: readonly (ByteRange | undefined)[], codes: readonly Code[]): Promise<TfliteSubgraph> {
  const head = await reader.read(() => {
    const { tensors: _, operators: __, ...rest } = subGraphTable.fields;
    const position = reader.table(at);
    return {
      ...reader.value({ name: 'SubGraph', fields: rest }, at),
      tensors: reader.tables(position, subGraphTable.fields.tensors.id) ?? [],
      operators: reader.tables(position, subGraphTable.fields.operators.id) ?? [],
    };
  });
  const tensors: TfliteTensor[] = [];
  for (const position of head.tensors) tensors.push(await reader.read(() => tensorOf(reader, reader.value(tensorTable, position), buffers)));
  const operators: TfliteOperator[] = [];
  for (const position of head.operators) operators.push(await reader.read(() => operatorOf(reader, reader.value(operatorTable, position), codes, tensors.length)));
  const inputs = head.inputs ?? [];
  const outputs = head.outputs ?? [];
  checkIndices(reader, inputs, tensors.length, 0, 'an input');
  checkIndices(reader, outputs, tensors.length, 0, 'an output');
  return { name: head.name ?? '', tensors, inputs, outputs, operators };
}

function tensorOf(reader: FlatBufferReader, table: TensorTable, buffers: readonly (ByteRange | undefined)[]): TfliteTensor {
  const name = table.name ?? '';
  const declared = table.shape ?? [];
  if (declared.length > reader.limits.rank) throw reader.limit(`${name} has ${declared.length} dimensions`);
  if (declared.some((size) => size < -1)) throw reader.invalid(`${name} has the shape [${declared.join(', ')}]`);
  // Files from before `shapeSignature` had -1 in the shape itself.
  const shape = declared.map((size) => (size === -1 ? 1 : size));
  const signature = table.shapeSignature ?? declared;
  const shapeSignature = signature.length === shape.length && signature.includes(-1) ? signature : undefined;
  // handles of variables and tables hold nothing that a graph could read
  const dtype = HANDLES.has(table.type) ? 'int32' : dtypeOfTflite.get(table.type);
  if (dtype === undefined) throw new PenjingError('E_DTYPE', `${name} in ${reader.source.uri} has the element type ${table.type}, which is not known`);
  if (table.buffer >= buffers.length && table.buffer > 0) throw reader.invalid(`${name} has its content in buffer ${table.buffer} of ${buffers.length}`);
  const data = buffers[table.buffer];
  // Strings and sparse tensors have sizes of their own.
  if (data && dtype !== 'string' && !table.sparsity && data.length !== byteSize(dtype, elementCount(shape))) {
    throw reader.invalid(`${name} is ${dtype} [${shape.join(', ')}] and takes ${byteSize(dtype, elementCount(shape))} bytes, its buffer has ${data.length}`);
  }
  return {
    name, dtype, shape, data, buffer: table.buffer, shapeSignature, quantization: table.quantization, sparsity: table.sparsity, isVariable: table.isVariable,
  };
}

function operatorOf(reader: FlatBufferReader, table: OperatorTable, codes: readonly Code[], tensorCount: number): TfliteOperator {
  const code = codes[table.opcodeIndex];
  if (!code) throw reader.invalid(`an operator has code index ${table.opcodeIndex} of ${codes.length}`);
  const inputs = table.inputs ?? [];
  const outputs = table.outputs ?? [];
  checkIndices(reader, inputs, tensorCount, -1, code.type);
  checkIndices(reader, outputs, tensorCount, 0, code.type);
  const large = table.largeCustomOptionsOffset > 1 ? { offset: table.largeCustomOptionsOffset, length: table.largeCustomOptionsSize } : undefined;
  if (large && large.offset + large.length > reader.source.size) throw reader.invalid(`the options of ${code.custom} lie outside the file`);
  return { ...code, inputs, outputs, options: table.options, options2: table.options2, customOptions: large ?? table.customOptions };
}

function checkIndices(reader: FlatBufferReader, indices: readonly number[], count: number, low: number, whose: string): void {
  const wrong = indices.find((index) => index < low || index >= count);
  if (wrong !== undefined) throw reader.invalid(`${whose} refers to tensor ${wrong} of ${count}`);
}
