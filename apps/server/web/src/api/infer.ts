/** The Open Inference Protocol: what a model takes and gives, and one run of it with raw bytes both ways. */
import type { TensorSpec } from '../tensors/parse-values.js';
import type { TensorData } from '../tensors/tensor-data.js';
import { isDatatype } from '../tensors/datatypes.js';
import { ApiError } from './api-error.js';
import { request, requestJson } from './client.js';

export interface ModelSignature {
  readonly name: string;
  readonly versions?: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

export interface NamedTensor extends TensorData {
  readonly name: string;
}

export interface InferResult {
  readonly outputs: readonly NamedTensor[];
  readonly ms: number;
  /** Timings of the server, as its `server-timing` header says. */
  readonly timings: readonly (readonly [name: string, ms: number])[];
}

const HEADER = 'inference-header-content-length';

export function readSignature(model: string, signal?: AbortSignal): Promise<ModelSignature> {
  return requestJson<ModelSignature>(`v2/models/${encodeURIComponent(model)}`, { signal });
}

/** Runs a model with the binary tensor extension: JSON, then the bytes of every input in order. */
export async function infer(model: string, inputs: readonly NamedTensor[], signal?: AbortSignal): Promise<InferResult> {
  const { body, headerLength } = encodeInfer(inputs);
  const started = performance.now();
  const response = await request(`v2/models/${encodeURIComponent(model)}/infer`, {
    body,
    headers: { 'content-type': 'application/octet-stream', [HEADER]: String(headerLength) },
    signal,
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const ms = performance.now() - started;
  const length = response.headers.get(HEADER);
  return { outputs: decodeInfer(bytes, length === null ? bytes.length : Number(length)), ms, timings: serverTimings(response.headers.get('server-timing')) };
}

export function encodeInfer(inputs: readonly NamedTensor[]): { readonly body: Uint8Array<ArrayBuffer>; readonly headerLength: number } {
  const json = {
    inputs: inputs.map(({ name, datatype, shape, bytes }) => ({ name, datatype, shape, parameters: { binary_data_size: bytes.length } })),
    parameters: { binary_data_output: true },
  };
  const header = new TextEncoder().encode(JSON.stringify(json));
  const body = new Uint8Array(inputs.reduce((sum, { bytes }) => sum + bytes.length, header.length));
  body.set(header);
  let at = header.length;
  for (const { bytes } of inputs) {
    body.set(bytes, at);
    at += bytes.length;
  }
  return { body, headerLength: header.length };
}

interface OutputHeader {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly parameters?: { readonly binary_data_size?: number };
}

/** Throws {@link ApiError} when the answer is not what the protocol says. */
export function decodeInfer(bytes: Uint8Array<ArrayBuffer>, headerLength: number): NamedTensor[] {
  const { outputs } = JSON.parse(new TextDecoder().decode(bytes.subarray(0, headerLength))) as { readonly outputs: readonly OutputHeader[] };
  let at = headerLength;
  return outputs.map(({ name, datatype, shape, parameters }) => {
    const size = parameters?.binary_data_size;
    if (size === undefined || at + size > bytes.length || (datatype !== 'BYTES' && !isDatatype(datatype))) {
      throw new ApiError(`output ${name} came in a form that the page does not read`, { status: 200 });
    }
    at += size;
    return { name, datatype, shape, bytes: bytes.slice(at - size, at) };
  });
}

/** `queue;dur=0.4, compute;dur=12` */
export function serverTimings(header: string | null): [string, number][] {
  return (header ?? '').split(',').flatMap((part): [string, number][] => {
    const [, name, duration] = /^\s*([\w-]+)\s*;.*?dur=([\d.]+)/.exec(part) ?? [];
    return name !== undefined && Number.isFinite(Number(duration)) ? [[name, Number(duration)]] : [];
  });
}
