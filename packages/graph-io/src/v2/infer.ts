/** The nouns of an inference: requests and responses with tensors in memory, whatever carried them, and their checks. */
import { type DenseTensor, encodeText, isPenjingError, type Shape, type StringTensor, elementCount } from '@penjing/core';
import { v2Limits } from '../limits.js';
import { notServed, refused, tooLarge } from './refused.js';

export type V2Parameter = string | number | bigint | boolean;
export type V2Parameters = Readonly<Record<string, V2Parameter>>;

export interface V2Tensor {
  readonly name: string;
  readonly tensor: DenseTensor | StringTensor;
  readonly parameters?: V2Parameters;
}

export interface RequestedOutput {
  readonly name: string;
  readonly parameters?: V2Parameters;
}

/** A request of `infer`; `outputs` absent means all of them. */
export interface InferRequest {
  readonly modelName?: string;
  readonly modelVersion?: string;
  readonly id?: string;
  readonly parameters?: V2Parameters;
  readonly inputs: readonly V2Tensor[];
  readonly outputs?: readonly RequestedOutput[];
}

export interface InferResponse {
  readonly modelName?: string;
  readonly modelVersion?: string;
  readonly id?: string;
  readonly parameters?: V2Parameters;
  readonly outputs: readonly V2Tensor[];
}

/** A text of at most `nameBytes`; names of tensors must not be empty. */
export function checkText(value: unknown, where: string, empty = false): string {
  if (typeof value !== 'string') throw refused(`${where} is ${value === undefined ? 'missing' : 'no text'}`);
  if (value === '' && !empty) throw refused(`${where} is empty`);
  // A UTF-16 unit takes three bytes at most.
  if (3 * value.length > v2Limits.nameBytes && encodeText(value).length > v2Limits.nameBytes) {
    throw tooLarge(`${where} takes more than ${v2Limits.nameBytes} bytes`, `Names and ids take 1 to ${v2Limits.nameBytes} bytes.`);
  }
  return value;
}

/** The number of elements of a shape, which must be a list of sizes; throws `E_REQUEST` when the product is none. */
export function checkShape(value: unknown, where: string): { readonly shape: Shape; readonly count: number } {
  if (!Array.isArray(value)) throw refused(`the shape of ${where} is ${value === undefined ? 'missing' : 'no list'}`);
  if (value.length > v2Limits.rank) throw tooLarge(`${where} has ${value.length} dimensions`, `A tensor has 0 to ${v2Limits.rank} dimensions.`);
  const shape = value as readonly unknown[];
  const bad = shape.findIndex((dim) => !Number.isSafeInteger(dim) || (dim as number) < 0);
  if (bad >= 0) throw refused(`dimension ${bad} of ${where} is no size`, 'Sizes are integers from 0 to 2^53 - 1.');
  try {
    return { shape: shape as Shape, count: elementCount(shape as Shape) };
  } catch (cause) {
    throw isPenjingError(cause) ? refused(`${where}: ${cause.message}`, 'A tensor has at most 2^53 - 1 elements.', cause) : cause;
  }
}

/** Parameters: texts, numbers and truth values. */
export function checkParameters(value: unknown, where: string): V2Parameters | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) throw refused(`the parameters of ${where} are no object`);
  const entries = Object.entries(value);
  if (entries.length > v2Limits.parameters) throw tooLarge(`${where} has ${entries.length} parameters`, `At most ${v2Limits.parameters} are read.`);
  for (const [name, parameter] of entries) {
    checkText(name, `a name among the parameters of ${where}`);
    const known = typeof parameter === 'string' || typeof parameter === 'boolean' || typeof parameter === 'bigint' || (typeof parameter === 'number' && Number.isFinite(parameter));
    if (!known) throw refused(`parameter ${JSON.stringify(name)} of ${where} is no text, number or truth value`);
    if (typeof parameter === 'string' && parameter.length > v2Limits.parameterBytes) throw tooLarge(`parameter ${JSON.stringify(name)} of ${where} is too long`, `A text has at most ${v2Limits.parameterBytes} characters.`);
    if (SHARED_MEMORY.test(name)) throw notServed(`${where} asks for shared memory`, 'Send the tensor itself: memory of this machine is never opened by a name that a client gives.');
  }
  return entries.length === 0 ? undefined : (Object.fromEntries(entries));
}

/** Clients that could name memory made CVE-2025-23319 of Triton. */
const SHARED_MEMORY = /^shared_memory_/;

export function checkCount(list: readonly unknown[], what: string): void {
  if (list.length > v2Limits.tensors) throw tooLarge(`the request names ${list.length} ${what}`, `At most ${v2Limits.tensors} are read.`);
}

/** Each tensor stands once; the second of a name would silently win. */
export function checkUnique(list: readonly { readonly name: string }[], what: string): void {
  const seen = new Set<string>();
  for (const { name } of list) {
    if (seen.has(name)) throw refused(`${what} ${JSON.stringify(name)} stands twice`);
    seen.add(name);
  }
}

/** Outputs asked for by name, from JSON or protobuf. */
export function checkRequestedOutputs(list: readonly { readonly name?: unknown; readonly parameters?: unknown }[]): readonly RequestedOutput[] | undefined {
  checkCount(list, 'outputs');
  const outputs = list.map((item, i): RequestedOutput => {
    const name = checkText(item.name, `the name of requested output ${i}`);
    const parameters = checkParameters(item.parameters, `requested output ${JSON.stringify(name)}`);
    if (Number(parameters?.['classification'] ?? 0) !== 0) throw notServed(`output ${JSON.stringify(name)} is asked for as classes`, 'Ask for the values; the classification extension is not served.');
    return { name, ...(parameters && { parameters }) };
  });
  checkUnique(outputs, 'requested output');
  return outputs.length === 0 ? undefined : outputs;
}
