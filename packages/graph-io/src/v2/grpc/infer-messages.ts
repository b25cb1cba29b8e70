/** ModelInfer messages to requests and responses and back, with raw contents (one copy, or none) or typed ones. */
import type { DenseTensor, StringTensor } from '@penjing/core';
import { checkDatatype, v2DatatypeOf, v2Types } from '../datatypes.js';
import { checkCount, checkRequestedOutputs, checkShape, checkText, checkUnique, type InferRequest, type InferResponse, type V2Tensor } from '../infer.js';
import { optionalText } from '../json-message.js';
import { refused } from '../refused.js';
import { tensorFromBytes, tensorToBytes } from '../tensor-bytes.js';
import { contentsOf, tensorFromContents } from './contents.js';
import { parameterEntries, parametersFrom } from './parameters.js';
import { modelInferRequestSchema, modelInferResponseSchema, type ModelInferRequestMessage, type ModelInferResponseMessage, modelStreamInferResponseSchema, type TensorMessage } from './schema.js';
import { decodeWire, encodeWire, payloadBytes, payloadOf } from './wire.js';

/** A request of ModelInfer; `raw` says whether its tensors stood in raw_input_contents. */
export interface GrpcInferRequest extends InferRequest {
  readonly raw: boolean;
}

/** Reads a ModelInferRequest. Raw tensors are views of `bytes`. Throws `E_REQUEST`, `E_LIMIT` or `E_UNSUPPORTED`. */
export function decodeGrpcInferRequest(bytes: Uint8Array): GrpcInferRequest {
  const message = decodeWire(modelInferRequestSchema, bytes);
  const inputs = readTensors(message.inputs ?? [], message.raw, bytes, 'input');
  const outputs = message.outputs && checkRequestedOutputs(message.outputs.map(({ name, parameters }, i) => ({ name, parameters: parametersFrom(parameters, `requested output ${i}`) })));
  return { raw: (message.raw?.length ?? 0) > 0, ...head(message, 'the request'), inputs, ...(outputs && { outputs }) };
}

export function encodeGrpcInferRequest(request: InferRequest, options: { readonly raw?: boolean } = {}): Uint8Array {
  const { outputs, inputs } = request;
  const { messages, raw } = writeTensors(inputs, options.raw ?? true);
  return encodeWire(modelInferRequestSchema, {
    ...headMessage(request), inputs: messages, ...(outputs && { outputs: outputs.map(({ name, parameters }) => ({ name, ...parameterEntries(parameters) })) }), ...raw,
  });
}

export function decodeGrpcInferResponse(bytes: Uint8Array): InferResponse {
  return responseFrom(decodeWire(modelInferResponseSchema, bytes), bytes);
}

/** Typed contents only when asked for and every output has a field for them: half floats have none. */
export function encodeGrpcInferResponse(response: InferResponse, options: { readonly raw?: boolean } = {}): Uint8Array {
  return encodeWire(modelInferResponseSchema, responseMessage(response, options.raw));
}

/** One message of ModelStreamInfer: a response, or what went wrong with a request. */
export function encodeGrpcStreamResponse(answer: { readonly response: InferResponse; readonly raw?: boolean } | { readonly error: string; readonly id?: string }): Uint8Array {
  if ('response' in answer) return encodeWire(modelStreamInferResponseSchema, { inferResponse: responseMessage(answer.response, answer.raw) });
  // The id of the request travels in an otherwise empty response, as Triton does it, so that clients can tell whose error it is.
  return encodeWire(modelStreamInferResponseSchema, { errorMessage: answer.error, ...(answer.id !== undefined && { inferResponse: { id: answer.id } }) });
}

export function decodeGrpcStreamResponse(bytes: Uint8Array): { readonly error?: string; readonly response?: InferResponse } {
  const { errorMessage, inferResponse } = decodeWire(modelStreamInferResponseSchema, bytes);
  return { ...(errorMessage && { error: errorMessage }), ...(inferResponse && { response: responseFrom(inferResponse, bytes) }) };
}

function responseFrom(message: ModelInferResponseMessage, bytes: Uint8Array): InferResponse {
  return { ...head(message, 'the response'), outputs: readTensors(message.outputs ?? [], message.raw, bytes, 'output') };
}

function responseMessage(response: InferResponse, wantRaw = true): ModelInferResponseMessage {
  const { messages, raw } = writeTensors(response.outputs, wantRaw || response.outputs.some(({ tensor }) => !v2Types[v2DatatypeOf(tensor.dtype)].contents));
  return { ...headMessage(response), outputs: messages, ...raw };
}

type Head = Pick<InferResponse, 'modelName' | 'modelVersion' | 'id' | 'parameters'>;

function head(message: ModelInferRequestMessage | ModelInferResponseMessage, where: string): Head {
  const modelName = optionalText(message.modelName, 'model_name');
  const modelVersion = optionalText(message.modelVersion, 'model_version');
  const id = optionalText(message.id, 'the id');
  const parameters = parametersFrom(message.parameters, where);
  return { ...(modelName !== undefined && { modelName }), ...(modelVersion !== undefined && { modelVersion }), ...(id !== undefined && { id }), ...(parameters && { parameters }) };
}

function headMessage({ modelName, modelVersion, id, parameters }: Head): ModelInferRequestMessage {
  return { ...(modelName !== undefined && { modelName }), ...(modelVersion !== undefined && { modelVersion }), ...(id !== undefined && { id }), ...parameterEntries(parameters) };
}

function readTensors(messages: readonly TensorMessage[], raw: ModelInferRequestMessage['raw'], whole: Uint8Array, kind: 'input' | 'output'): V2Tensor[] {
  checkCount(messages, `${kind}s`);
  if (raw?.length && raw.length !== messages.length) throw refused(`there are ${raw.length} raw contents for ${messages.length} ${kind}s`, `When one ${kind} is raw, all are, in the same order.`);
  const tensors = messages.map((message, i): V2Tensor => {
    const name = checkText(message.name, `the name of ${kind} ${i}`);
    const where = `${kind} ${JSON.stringify(name)}`;
    const parameters = parametersFrom(message.parameters, where);
    const datatype = checkDatatype(message.datatype ?? '', where);
    const { shape, count } = checkShape(message.shape ?? [], where);
    if (raw?.length && message.contents) throw refused(`${where} has both contents and raw contents`);
    const tensor: DenseTensor | StringTensor = raw?.length
      ? tensorFromBytes(datatype, shape, count, payloadBytes(whole, raw[i]!), where)
      : tensorFromContents(datatype, shape, count, message.contents ?? {}, whole, where);
    return { name, tensor, ...(parameters && { parameters }) };
  });
  checkUnique(tensors, kind);
  return tensors;
}

function writeTensors(tensors: readonly V2Tensor[], asRaw: boolean): { messages: TensorMessage[]; raw: Pick<ModelInferRequestMessage, 'raw'> } {
  const messages = tensors.map(({ name, tensor, parameters }): TensorMessage => ({
    name, datatype: v2DatatypeOf(tensor.dtype), shape: [...tensor.shape], ...parameterEntries(parameters), ...(!asRaw && { contents: contentsOf(tensor) }),
  }));
  return { messages, raw: asRaw ? { raw: tensors.map(({ tensor }) => payloadOf(tensorToBytes(tensor))) } : {} };
}
