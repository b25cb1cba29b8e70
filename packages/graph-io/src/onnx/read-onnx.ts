/** Reads an ONNX model from a source; everything a file says is checked here, before anything else sees it. */
import { type ByteSource, Model, type ModelFunction, PenjingError, type Tensor } from '@penjing/core';
import { onnxLimits, type OnnxLimits } from '../limits.js';
import { limit } from './decode.js';
import { joinExtra, readEntries, readFunctionBody, readGraph, readOuterAttribute, type ReadTensors } from './read-graph.js';
import { readSparseTensor, readTensor, type TensorReader } from './read-tensor.js';
import {
  type FunctionProto, type ModelProto, modelSchema, type OperatorSetProto, type SparseTensorProto, type TensorProto,
} from './schema.js';
import { storedProtos } from './stored-protos.js';
import { walkMessage } from './walk.js';

export interface ReadOnnxOptions {
  /** Opens an external data file by its checked location, relative to the folder of the model. */
  readonly externalSource?: (location: string) => Promise<ByteSource>;
  readonly signal?: AbortSignal;
  readonly limits?: Partial<OnnxLimits>;
}

/**
 * The model that a source holds; large weights stay in it. Throws a typed error (`E_ONNX_…`, `E_TRUNCATED`,
 * `E_SHAPE`, `E_DTYPE`, `E_EXTERNAL_DATA`, `E_LIMIT`) for anything that is no sound model.
 */
export async function readOnnx(source: ByteSource, options: ReadOnnxOptions = {}): Promise<Model> {
  const limits = { ...onnxLimits, ...options.limits };
  const proto = await walkMessage(modelSchema, source, { limits, signal: options.signal });
  if (!proto.graph) {
    throw new PenjingError('E_ONNX_MODEL', `${source.uri} holds no graph, so it is no ONNX model`, {
      hint: 'Check that the path names an .onnx file and that its download is complete.',
    });
  }
  const tensors = await readTensors(proto, {
    source, limits, external: externalFiles(options.externalSource, limits),
  }, options.signal);
  const model = buildModel(proto, tensors);
  const { descriptor } = source;
  model.origin = { format: 'onnx', ...(descriptor.kind === 'file' && { path: descriptor.path }) };
  return model;
}

async function readTensors(model: ModelProto, reader: TensorReader, signal: AbortSignal | undefined): Promise<ReadTensors> {
  const tensors = new Map<TensorProto | SparseTensorProto, Tensor>();
  for (const { where, dense, sparse } of storedProtos(model)) {
    signal?.throwIfAborted();
    if (dense) tensors.set(dense, await readTensor(dense, where, reader));
    else tensors.set(sparse, await readSparseTensor(sparse, where, reader));
  }
  return tensors;
}

/** Each file is opened once. */
function externalFiles(open: ReadOnnxOptions['externalSource'], limits: OnnxLimits): (location: string) => Promise<ByteSource> {
  const files = new Map<string, Promise<ByteSource>>();
  return (location) => {
    if (!open) {
      throw new PenjingError('E_EXTERNAL_DATA', `the weights are in ${JSON.stringify(location)}, which cannot be opened from here`, {
        hint: 'Open the model by its path, or pass `externalSource`.',
        details: { location },
      });
    }
    let file = files.get(location);
    if (!file) {
      if (files.size >= limits.externalFiles) throw limit(`the model names more than ${limits.externalFiles} external data files`);
      file = open(location);
      files.set(location, file);
    }
    return file;
  };
}

function buildModel(proto: ModelProto, tensors: ReadTensors): Model {
  const model = new Model(readGraph(proto.graph!, tensors));
  model.irVersion = proto.irVersion ?? 0;
  model.producerName = proto.producerName ?? '';
  model.producerVersion = proto.producerVersion ?? '';
  model.domain = proto.domain ?? '';
  model.modelVersion = proto.modelVersion ?? 0n;
  model.doc = proto.doc ?? '';
  model.extra = joinExtra(proto.extra);
  readEntries(proto.metadata, model.metadata);
  for (const [domain, version] of opsets(proto.opsetImport)) model.opsetImports.set(domain, version);
  for (const fn of proto.functions ?? []) model.functions.push(readFunction(fn, tensors));
  return model;
}

function opsets(imports: readonly OperatorSetProto[] = []): Map<string, number> {
  return new Map(imports.map(({ domain = '', version = 0 }) => [domain === 'ai.onnx' ? '' : domain, version]));
}

function readFunction(proto: FunctionProto, tensors: ReadTensors): ModelFunction {
  const where = `function ${proto.name ?? ''}`;
  return {
    domain: proto.domain ?? '',
    name: proto.name ?? '',
    overload: proto.overload ?? '',
    body: readFunctionBody(proto, tensors),
    attributes: proto.attribute ?? [],
    attributeDefaults: new Map((proto.attributeProto ?? []).map((attr) => [attr.name ?? '', readOuterAttribute(attr, where, tensors)])),
    opsetImports: opsets(proto.opsetImport),
    extra: joinExtra(proto.extra),
  };
}
