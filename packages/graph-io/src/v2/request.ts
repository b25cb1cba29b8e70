/** Inference requests on HTTP: JSON, JSON with binary data behind it, or nothing but the bytes of the one input. */
import { type Dim, type DType, dtypes, type Shape } from '@penjing/core';
import { v2DatatypeOf } from './datatypes.js';
import { checkParameters, checkRequestedOutputs, type InferRequest } from './infer.js';
import { decodeMessage, encodeMessage, optionalText, plain, type JsonFields, type V2Body } from './json-message.js';
import { refused } from './refused.js';
import { tensorFromBytes } from './tensor-bytes.js';

/**
 * `headerLength` is the value of `Inference-Header-Content-Length`, absent when the whole body is JSON; for 0 see
 * `decodeRawRequest`. Throws `E_REQUEST`, `E_LIMIT` or `E_UNSUPPORTED` (shared memory, classification).
 */
export function decodeInferRequest(body: Uint8Array, headerLength?: number): InferRequest {
  const { fields, tensors } = decodeMessage(body, headerLength, 'inputs');
  const wanted = fields['outputs'];
  if (wanted !== undefined && wanted !== null && !Array.isArray(wanted)) throw refused('"outputs" is no list');
  const outputs = Array.isArray(wanted) ? checkRequestedOutputs(wanted.map(outputFields)) : undefined;
  const id = optionalText(fields['id'], 'the id');
  const parameters = checkParameters(fields['parameters'], 'the request');
  return { ...(id !== undefined && { id }), ...(parameters && { parameters }), inputs: tensors, ...(outputs && { outputs }) };
}

const outputFields = (item: unknown, i: number): JsonFields => {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) throw refused(`requested output ${i} is no object`);
  return item as JsonFields;
};

/** What a request for an output asks: `binary_data` of it, or `binary_data_output` of the request. */
export function binaryOutputs(request: InferRequest): (name: string) => boolean {
  const whole = request.parameters?.['binary_data_output'] === true;
  const single = new Map(request.outputs?.map(({ name, parameters }) => [name, parameters?.['binary_data']]));
  return (name) => {
    const asked = single.get(name);
    return typeof asked === 'boolean' ? asked : whole;
  };
}

/** A request as clients send it, with all tensors binary (the default) or as JSON. */
export function encodeInferRequest(request: InferRequest, options: { readonly binary?: boolean } = {}): V2Body {
  const { id, parameters, inputs, outputs } = request;
  const binary = options.binary ?? true;
  return encodeMessage(
    { ...(id !== undefined && { id }), ...(parameters && { parameters: plain(parameters) }) }, 'inputs', inputs, () => binary,
    { ...(outputs && { outputs: outputs.map(({ name, parameters: own }) => ({ name, ...(own && { parameters: plain(own) }) })) }) },
  );
}

/** The one input of a model, as far as a raw request needs it. */
export interface RawInput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  /** Whether dimension 0 is the batch; it becomes 1. */
  readonly batched?: boolean;
}

/**
 * A body under `Inference-Header-Content-Length: 0`: the bytes of the only input, for a batch of one. One further unknown
 * dimension follows from the number of bytes; a byte string takes the body as its one element. Outputs come as binary data.
 */
export function decodeRawRequest(body: Uint8Array, inputs: readonly RawInput[]): InferRequest {
  const [input] = inputs;
  if (!input || inputs.length !== 1) throw refused(`a body without JSON fits models with one input, this one has ${inputs.length}`, 'Send the JSON of the request, and its length in Inference-Header-Content-Length.');
  const where = `input ${JSON.stringify(input.name)}`;
  const datatype = v2DatatypeOf(input.dtype);
  const shape = rawShape(input, datatype === 'BYTES' ? undefined : body.length / (dtypes[input.dtype].bits / 8), where);
  const count = shape.reduce((product, dim) => product * dim, 1);
  const bytes = datatype === 'BYTES' ? withLength(body) : body;
  return { inputs: [{ name: input.name, tensor: tensorFromBytes(datatype, shape, count, bytes, where) }], parameters: { binary_data_output: true } };
}

function rawShape({ shape, batched }: RawInput, elements: number | undefined, where: string): Shape {
  const dims = shape.map((dim, i) => (batched && i === 0 ? 1 : typeof dim === 'number' ? dim : undefined));
  const unknown = dims.filter((dim) => dim === undefined).length;
  if (unknown > 1) throw refused(`${where} has ${unknown} dimensions that a body without JSON cannot tell`, 'Send the JSON of the request, with the shape.');
  const known = dims.reduce<number>((product, dim) => product * (dim ?? 1), 1);
  const rest = elements === undefined ? 1 : known === 0 ? 0 : elements / known;
  if (unknown === 1 && !Number.isInteger(rest)) throw refused(`the body is no whole number of rows of ${where}`);
  return dims.map((dim) => dim ?? rest);
}

function withLength(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length, true);
  bytes.set(body, 4);
  return bytes;
}
