/** A TFLite graph as the plan of its file: indices given, contents placed, everything else fixed. */
import { type Dim, type DenseTensor, dtypes, encodeText, PenjingError, type Tensor } from '@penjing/core';
import type { FileLayout, LayoutPiece } from '../../layout.js';
import { encodeFlatBuffer, MAX_FLATBUFFER_BYTES } from '../flatbuffer-writer.js';
import { builtinCode } from '../operators-schema.js';
import { FILE_IDENTIFIER, type BufferInit, type BuiltinOptionsInit, type ModelInit, type OperatorInit, modelTable, SCHEMA_VERSION, type TensorInit } from '../schema.js';
import { operatorVersion } from './op-version.js';
import { allGraphs, type TfGraph, type TfOperator, type TfTensor } from './tf-graph.js';

export interface EncodeOptions {
  /** File name. */
  readonly name: string;
  readonly description: string;
  /** Weights stand behind the FlatBuffer, found by offset and size, when all would take more than this; LiteRT of 2024 and later reads that. */
  readonly appendAbove?: number;
}

/** Contents are placed behind the FlatBuffer on this. */
const ALIGNMENT = 16;

/** Where the FlatBuffer must stop growing: room for its own tables below 2 GiB. */
const APPEND_ABOVE_BYTES = MAX_FLATBUFFER_BYTES - 2 ** 26;

/** The oldest runtime that has every operator in its version here; LiteRT does not read it, tools show it. */
const MIN_RUNTIME_VERSION = '2.17.0';

export function encodeTflite(graph: TfGraph, options: EncodeOptions): FileLayout {
  const graphs = allGraphs(graph);
  const lists = graphs.map(listTensors);
  const tensors = [...new Set(lists.flat())];
  const contents = new Map<Tensor, number>();
  // Buffer 0 is empty: every computed tensor refers to it.
  const stored: Tensor[] = [];
  for (const { content } of tensors) {
    if (content && !contents.has(content)) contents.set(content, stored.push(content));
  }
  const codes = new Map<string, number>();
  const operatorCodes: { type: TfGraph['operators'][number]['type']; version: number }[] = [];
  const indices = lists.map((list) => new Map(list.map((tensor, i) => [tensor, i])));
  const operatorInit = (operator: TfOperator, index: ReadonlyMap<TfTensor, number>): OperatorInit => {
    const version = operatorVersion(operator);
    const key = `${operator.type} ${version}`;
    let code = codes.get(key);
    if (code === undefined) codes.set(key, (code = operatorCodes.push({ type: operator.type, version }) - 1));
    return {
      opcodeIndex: code,
      inputs: operator.inputs.map((tensor) => (tensor ? index.get(tensor)! : -1)),
      outputs: operator.outputs.map((tensor) => index.get(tensor)!),
      ...optionsOf(operator, graphs),
    };
  };
  const subgraphs = graphs.map((each, i) => ({
    name: i === 0 ? 'main' : `inner_${i}`,
    tensors: lists[i]!.map((tensor) => tensorInit(tensor, tensor.content ? contents.get(tensor.content)! : 0)),
    inputs: each.inputs.map(({ tensor }) => indices[i]!.get(tensor)!),
    outputs: each.outputs.map(({ tensor }) => indices[i]!.get(tensor)!),
    operators: each.operators.map((operator) => operatorInit(operator, indices[i]!)),
  }));
  const index = indices[0]!;
  const version = encodeText(MIN_RUNTIME_VERSION.padEnd(16, '\0'));
  const total = stored.reduce((sum, { byteLength }) => sum + byteLength + ALIGNMENT, 0);
  const model = (buffers: readonly BufferInit[]): ModelInit => ({
    version: SCHEMA_VERSION,
    description: options.description,
    operatorCodes: operatorCodes.map(({ type, version: needed }) => ({ deprecatedBuiltinCode: Math.min(127, builtinCode(type)), builtinCode: builtinCode(type), version: needed })),
    buffers: [{}, ...buffers, { data: version }],
    subgraphs,
    metadata: [{ name: 'min_runtime_version', buffer: buffers.length + 1 }],
    signatureDefs: [{
      signatureKey: 'serving_default',
      inputs: graph.inputs.map(({ name, tensor }) => ({ name, tensorIndex: index.get(tensor)! })),
      outputs: graph.outputs.map(({ name, tensor }) => ({ name, tensorIndex: index.get(tensor)! })),
    }],
  });
  if (total <= (options.appendAbove ?? APPEND_ABOVE_BYTES)) {
    const inside = encodeFlatBuffer(modelTable, model(stored.map((tensor) => ({ data: payloadOf(tensor) }))), FILE_IDENTIFIER);
    return { name: options.name, size: inside.size, pieces: named(inside.pieces, tensors) };
  }
  return appended(options.name, stored, tensors, model);
}

/** Options as they stand, or the numbers of the graphs inside. */
function optionsOf({ options, subgraphs }: TfOperator, graphs: readonly TfGraph[]): { options?: BuiltinOptionsInit } {
  if (!subgraphs) return options ? { options } : {};
  const [condition, body] = subgraphs.map((inner) => graphs.indexOf(inner));
  return { options: { type: 'WhileOptions', value: { condSubgraphIndex: condition!, bodySubgraphIndex: body! } } };
}

/** Weights behind the FlatBuffer. Its size does not depend on their places, so it is encoded once to learn it and once to keep. */
function appended(name: string, stored: readonly Tensor[], tensors: readonly TfTensor[], model: (buffers: readonly BufferInit[]) => ModelInit): FileLayout {
  const buffers = (start: number): { readonly offset: number; readonly size: number }[] => {
    let at = start;
    return stored.map(({ byteLength }) => {
      const offset = Math.ceil(at / ALIGNMENT) * ALIGNMENT;
      at = offset + byteLength;
      // An empty tensor needs no place; a size of 0 says that.
      return { offset, size: byteLength };
    });
  };
  const { size } = encodeFlatBuffer(modelTable, model(buffers(MAX_FLATBUFFER_BYTES)), FILE_IDENTIFIER);
  const places = buffers(size);
  const inside = encodeFlatBuffer(modelTable, model(places), FILE_IDENTIFIER);
  if (inside.size !== size) throw new PenjingError('E_TFLITE_SIZE', 'the header changed its size when its offsets were filled in');
  const pieces = stored.map((tensor, i): LayoutPiece => ({ kind: 'tensor', offset: places[i]!.offset, name: '', tensor }));
  const last = places.at(-1);
  return { name, size: last ? last.offset + last.size : size, pieces: named([...inside.pieces, ...pieces], tensors) };
}

/** Small dense tensors go into the bytes of the plan. */
function payloadOf(tensor: Tensor): Uint8Array | Tensor {
  return tensor.kind === 'dense' && tensor.byteLength <= 4096 ? (tensor as DenseTensor).bytes : tensor;
}

/** Pieces under the names of their tensors, for progress and errors. */
function named(pieces: readonly LayoutPiece[], tensors: readonly TfTensor[]): LayoutPiece[] {
  const names = new Map(tensors.map(({ content, name }) => [content, name]));
  return pieces.map((piece) => (piece.kind === 'tensor' ? { ...piece, name: names.get(piece.tensor) ?? '' } : piece));
}

/** Inputs first, then everything in the order of its first use. */
function listTensors(graph: TfGraph): TfTensor[] {
  const seen = new Set<TfTensor>(graph.inputs.map(({ tensor }) => tensor));
  for (const { inputs, outputs } of graph.operators) for (const tensor of [...inputs, ...outputs]) if (tensor) seen.add(tensor);
  for (const { tensor } of graph.outputs) seen.add(tensor);
  return [...seen];
}

function tensorInit(tensor: TfTensor, buffer: number): TensorInit {
  const { name, dtype, shape, quantization } = tensor;
  const type = dtypes[dtype].tflite;
  if (type === undefined) throw new PenjingError('E_DTYPE', `${name} is ${dtype}, which TFLite does not have`);
  const open = shape.some((dim) => typeof dim !== 'number');
  const sizes = (replacement: number) => shape.map((dim: Dim) => (typeof dim === 'number' ? dim : replacement));
  return {
    name, type, buffer, shape: sizes(1), hasRank: true,
    ...(open && { shapeSignature: sizes(-1) }),
    ...(quantization && { quantization: { scale: quantization.scale, zeroPoint: quantization.zeroPoint, quantizedDimension: quantization.axis } }),
  };
}
