/** What a model takes and gives in words of the V2 protocol, and whether a request fits it. */
import { PenjingError, type StringTensor } from '@penjing/core';
import { type InferRequest, type ModelConfigMessage, type ModelMetadataMessage, type RawInput, type TensorMetadataMessage, v2DatatypeOf, v2Types } from '@penjing/graph-io/v2';
import type { ModelDescription, TensorSignature, WireTensor } from '../host/protocol.js';
import type { BatchPolicy } from '../schedule/batch-scheduler.js';
import type { Tensors } from '../schedule/join-tensors.js';

/** As other servers name the format; clients look at it. */
const PLATFORM = 'onnx_onnxv1';

/** Metadata of a model; values that the protocol cannot carry (sequences, int4) are left out. */
export function metadataOf(name: string, versions: readonly string[], { inputs, outputs, platform }: ModelDescription): ModelMetadataMessage {
  return { name, versions: [...versions], platform: platform ?? PLATFORM, inputs: inputs.flatMap(tensorMetadata), outputs: outputs.flatMap(tensorMetadata) };
}

/** One row, or none for what the protocol cannot carry. */
export function tensorMetadata({ name, dtype, shape }: TensorSignature): TensorMetadataMessage[] {
  const datatype = datatypeOf(dtype);
  return datatype && shape ? [{ name, datatype, shape: shape.map(fixedOr) }] : [];
}

/** The configuration as Triton's clients ask for it; with batching the batch is not among the dimensions. */
export function configOf(name: string, { inputs, outputs }: ModelDescription, policy: BatchPolicy | undefined): ModelConfigMessage {
  const tensors = (list: readonly TensorSignature[]): { name: string; dataType: number; dims: number[] }[] => list.flatMap(({ name: own, dtype, shape }) => {
    const datatype = datatypeOf(dtype);
    return datatype && shape ? [{ name: own, dataType: v2Types[datatype].config, dims: (policy ? shape.slice(1) : shape).map(fixedOr) }] : [];
  });
  return {
    name, platform: 'onnxruntime_onnx', backend: 'onnxruntime', maxBatchSize: policy?.maxBatch ?? 0, input: tensors(inputs), output: tensors(outputs),
    ...(policy && { dynamicBatching: { preferredBatchSize: [...(policy.preferred ?? [])], maxQueueDelayMicroseconds: Math.round(policy.maxDelayMs * 1000), priorityLevels: policy.levels, defaultPriorityLevel: (policy.levels >> 1) + 1 } }),
  };
}

const fixedOr = (size: number | string | null): number => (typeof size === 'number' ? size : -1);

function datatypeOf(dtype: TensorSignature['dtype']): ReturnType<typeof v2DatatypeOf> | undefined {
  try {
    return dtype && v2DatatypeOf(dtype);
  } catch {
    return undefined;
  }
}

/** The inputs as far as a body without JSON needs them. */
export function rawInputs({ inputs }: ModelDescription, batched: boolean): readonly RawInput[] {
  return inputs.map(({ name, dtype, shape }) => {
    if (!dtype || !shape) throw new PenjingError('E_UNSUPPORTED', `input ${name} is no tensor`);
    return { name, dtype, shape, batched };
  });
}

/**
 * The tensors of a request on their way to the model. Throws `E_INPUT` naming what does not fit: an unknown, missing or doubled name, another datatype, rank or size, or two
 * sizes where the model has one. All of it here, so that a batch cannot be spoilt by one of its requests.
 */
export function feedsOf(request: InferRequest, { inputs, outputs }: ModelDescription): { readonly inputs: Tensors; readonly outputs: readonly string[] | undefined } {
  const known = new Map(inputs.map((signature) => [signature.name, signature]));
  const sizes = new Map<string, { readonly size: number; readonly where: string }>();
  const feeds = request.inputs.map(({ name, tensor }): readonly [string, WireTensor] => {
    const signature = known.get(name);
    if (!signature) throw new PenjingError('E_INPUT', `the model has no input ${quoted(name)}`, { hint: `Its inputs are ${inputs.map((input) => quoted(input.name)).join(', ')}.` });
    checkFit(name, tensor.dtype, tensor.shape, signature, sizes);
    known.delete(name);
    return [name, tensor.kind === 'string' ? { dtype: 'string', shape: tensor.shape, data: textsOf(tensor, name) } : { dtype: tensor.dtype, shape: tensor.shape, data: exactBuffer(tensor.bytes) }];
  });
  const [missing] = known.keys();
  if (missing !== undefined) throw new PenjingError('E_INPUT', `input ${quoted(missing)} is missing`);
  const unknown = request.outputs?.find(({ name }) => !outputs.some((output) => output.name === name));
  if (unknown) throw new PenjingError('E_INPUT', `the model has no output ${quoted(unknown.name)}`, { hint: `Its outputs are ${outputs.map((output) => quoted(output.name)).join(', ')}.` });
  return { inputs: Object.fromEntries(feeds), outputs: request.outputs?.map(({ name }) => name) };
}

const quoted = (name: string): string => JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name);

function checkFit(name: string, dtype: string, shape: readonly number[], signature: TensorSignature, sizes: Map<string, { readonly size: number; readonly where: string }>): void {
  const where = `input ${quoted(name)}`;
  if (!signature.dtype) throw new PenjingError('E_UNSUPPORTED', `${where} of the model is no tensor`);
  if (signature.dtype === 'bfloat16') throw new PenjingError('E_UNSUPPORTED', `${where} is BF16, which ONNX Runtime does not take from Node`, { hint: 'Convert the model with --dtype fp16 or fp32.' });
  if (dtype !== signature.dtype) throw new PenjingError('E_INPUT', `${where} is ${v2DatatypeOf(dtype as never)}, the model takes ${datatypeOf(signature.dtype) ?? signature.dtype}`);
  if (!signature.shape) return;
  const expected = `[${signature.shape.map((size) => size ?? '?').join(', ')}]`;
  if (shape.length !== signature.shape.length) throw new PenjingError('E_INPUT', `${where} has the shape [${shape.join(', ')}], the model takes ${expected}`);
  signature.shape.forEach((size, i) => {
    if (typeof size === 'number' && size !== shape[i]) throw new PenjingError('E_INPUT', `${where} has the shape [${shape.join(', ')}], the model takes ${expected}`);
    if (typeof size !== 'string') return;
    const before = sizes.get(size);
    if (before && before.size !== shape[i]) throw new PenjingError('E_INPUT', `${size} is ${before.size} in ${before.where} and ${shape[i]} in ${where}`);
    sizes.set(size, { size: shape[i]!, where });
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** ONNX Runtime takes texts from Node. */
function textsOf(tensor: StringTensor, name: string): string[] {
  return tensor.values.map((bytes, i) => {
    try {
      return utf8.decode(bytes);
    } catch (cause) {
      throw new PenjingError('E_INPUT', `element ${i} of input ${quoted(name)} is not UTF-8`, { cause });
    }
  });
}

/** What travels between processes is a whole buffer. */
function exactBuffer({ buffer, byteOffset, byteLength }: Uint8Array): ArrayBuffer {
  return (byteOffset === 0 && byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength)) as ArrayBuffer;
}
