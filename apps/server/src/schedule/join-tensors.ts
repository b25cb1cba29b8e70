/** Rows of several requests as one tensor, and its results as rows again: copies of whole rows along dimension 0. */
import { dtypes, PenjingError } from '@penjing/core';
import type { WireTensor } from '../host/protocol.js';

export type Tensors = Readonly<Record<string, WireTensor>>;

/** What a model takes and gives, as far as batching needs it. */
export interface BatchSignature {
  readonly inputs: readonly { readonly name: string; readonly shape: readonly (number | string | null)[] | undefined }[];
  readonly outputs: readonly { readonly name: string; readonly shape: readonly (number | string | null)[] | undefined }[];
}

/** What exporters and people call the batch; a sequence or a number of nodes may stand first under other names, and its rows are not independent. */
const BATCH_NAME = /^(n|b|bs|bsz|(\w+_)?batch(_?size|_?dim|_?axis)?(_\w+)?)$/i;

/** Whether dimension 0 of every input and output is one and the same size that is called as batches are: then it is the batch. */
export function hasBatchAxis({ inputs, outputs }: BatchSignature): boolean {
  const first = inputs[0]?.shape?.[0];
  return typeof first === 'string' && BATCH_NAME.test(first) && outputs.length > 0 && [...inputs, ...outputs].every(({ shape }) => shape?.[0] === first);
}

/** Rows of a request: dimension 0, which all its inputs share; undefined when they do not. */
export function rowsOf(inputs: Tensors): number | undefined {
  const sizes = Object.values(inputs).map(({ shape }) => shape[0]);
  const [first] = sizes;
  return first !== undefined && first > 0 && sizes.every((size) => size === first) ? first : undefined;
}

/** Requests of one bucket may be joined: the same inputs, datatypes and sizes beyond dimension 0, and the same outputs wanted. */
export function bucketOf(inputs: Tensors, outputs: readonly string[] | undefined): string {
  const parts = Object.keys(inputs).sort().map((name) => [name, inputs[name]!.dtype, ...inputs[name]!.shape.slice(1)]);
  return JSON.stringify([parts, outputs ? [...outputs].sort() : null]);
}

/** Tensors of one bucket as one, in order. */
export function joinTensors(requests: readonly Tensors[]): Tensors {
  const [first] = requests;
  if (requests.length === 1) return first!;
  return Object.fromEntries(Object.keys(first!).map((name) => [name, joinRows(requests.map((tensors) => tensors[name]!))]));
}

/** Results of a joined run for each of `rows`. Throws `E_ENGINE` when an output does not have a row for each of the input. */
export function splitTensors(outputs: Tensors, rows: readonly number[]): Tensors[] {
  if (rows.length === 1) return [outputs];
  const total = rows.reduce((sum, count) => sum + count, 0);
  const parts: Record<string, WireTensor>[] = rows.map(() => ({}));
  for (const [name, tensor] of Object.entries(outputs)) {
    if (tensor.shape[0] !== total) throw new PenjingError('E_ENGINE', `output ${name} has the shape [${tensor.shape.join(', ')}] for a batch of ${total} rows`, { hint: 'Its first dimension is no batch: serve the model with batching off.' });
    let at = 0;
    rows.forEach((count, i) => {
      parts[i]![name] = sliceRows(tensor, at, at + count);
      at += count;
    });
  }
  return parts;
}

function joinRows(tensors: readonly WireTensor[]): WireTensor {
  const { dtype, shape } = tensors[0]!;
  const joined = [tensors.reduce((sum, tensor) => sum + tensor.shape[0]!, 0), ...shape.slice(1)];
  if (!(tensors[0]!.data instanceof ArrayBuffer)) return { dtype, shape: joined, data: tensors.flatMap(({ data }) => data as readonly string[]) };
  const bytes = new Uint8Array(tensors.reduce((sum, { data }) => sum + (data as ArrayBuffer).byteLength, 0));
  let at = 0;
  for (const { data } of tensors) {
    bytes.set(new Uint8Array(data as ArrayBuffer), at);
    at += (data as ArrayBuffer).byteLength;
  }
  return { dtype, shape: joined, data: bytes.buffer };
}

function sliceRows({ dtype, shape, data }: WireTensor, start: number, end: number): WireTensor {
  const cells = shape.slice(1).reduce((product, size) => product * size, 1);
  const part = [end - start, ...shape.slice(1)];
  if (!(data instanceof ArrayBuffer)) return { dtype, shape: part, data: data.slice(start * cells, end * cells) };
  const rowBytes = (cells * dtypes[dtype].bits) / 8;
  if (!Number.isInteger(rowBytes)) throw new PenjingError('E_ENGINE', `rows of ${dtype} [${shape.join(', ')}] do not fall on bytes`);
  return { dtype, shape: part, data: data.slice(start * rowBytes, end * rowBytes) };
}
