/** A decoder with its cache, fed as transformers.js feeds it, and comparison with recorded tensors. */
import { readFileSync } from 'node:fs';
import { bytesOf, DenseTensor, type DType, type Executor, memorySource, toDense, typedView } from '@penjing/core';
import { openSafetensors } from '@penjing/graph-io';

/** int64 (batch, length). */
export interface Ids {
  readonly data: BigInt64Array;
  readonly shape: readonly number[];
}

/** (batch, seq, vocabulary), or fewer dimensions. */
export interface Floats {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export interface Padding {
  /** (batch, past + length). */
  readonly mask: Ids;
  /** (batch, length). */
  readonly positions: Ids;
}

/** What a decoder runs on. */
export type DecoderRunner = Pick<Executor, 'inputs' | 'run'> & AsyncDisposable;

export class CachedDecoder implements AsyncDisposable {
  readonly #executor: DecoderRunner;
  #past: Record<string, DenseTensor> = {};
  #length = 0;

  constructor(executor: DecoderRunner) {
    this.#executor = executor;
  }

  /** Forgets the sequence. */
  reset(): void {
    this.#past = {};
    this.#length = 0;
  }

  /** Logits of all given tokens; without `padding`, they follow each other from where the cache ends. */
  async forward(ids: Ids, padding?: Padding): Promise<Floats> {
    const [batch, length] = ids.shape as [number, number];
    const end = this.#length + length;
    const { mask, positions } = padding ?? {
      mask: ints([batch, end], () => 1),
      positions: ints([batch, length], (i) => this.#length + (i % length)),
    };
    const out = await this.#executor.run({
      input_ids: tensorOf(ids),
      attention_mask: tensorOf(mask),
      position_ids: tensorOf(positions),
      ...(this.#length === 0 ? this.#empty(batch) : this.#past),
    });
    for (const { name } of this.#executor.inputs) {
      if (name.startsWith('past_key_values')) this.#past[name] = out[name.replace('past_key_values', 'present')] as DenseTensor;
    }
    this.#length = end;
    const logits = out['logits'] as DenseTensor;
    return { data: logits.data as Float32Array, shape: logits.shape };
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#executor[Symbol.asyncDispose]();
  }

  #empty(batch: number): Record<string, DenseTensor> {
    const caches = this.#executor.inputs.flatMap(({ name, type }) => {
      if (!name.startsWith('past_key_values') || type.kind !== 'tensor') return [];
      const [, heads, , width] = type.shape as [unknown, number, unknown, number];
      return [[name, new DenseTensor(type.dtype as DType, [batch, heads, 0, width], new Uint8Array(0))] as const];
    });
    return Object.fromEntries(caches);
  }
}

export interface Recorded {
  readonly floats: (name: string) => Floats;
  readonly ids: (name: string) => Ids;
}

/** The tensors of a safetensors file of expectations, by name. */
export async function recorded(path: string): Promise<Recorded> {
  const { tensors } = await openSafetensors(memorySource(new Uint8Array(readFileSync(path))));
  const loaded = new Map<string, DenseTensor>();
  for (const [name, tensor] of tensors) loaded.set(name, await toDense(tensor));
  const get = (name: string): DenseTensor => {
    const tensor = loaded.get(name);
    if (!tensor) throw new Error(`${path} has no ${name}`);
    return tensor;
  };
  return {
    floats: (name) => ({ data: typedView('float32', get(name).bytes) as Float32Array, shape: get(name).shape }),
    ids: (name) => ({ data: typedView('int64', get(name).bytes) as BigInt64Array, shape: get(name).shape }),
  };
}

/** Tokens [start, end) of every row. */
export function idsOf({ data, shape }: Ids, start: number, end: number): Ids {
  const [batch, length] = shape as [number, number];
  return ints([batch, end - start], (i) => Number(data[Math.floor(i / (end - start)) * length + start + (i % (end - start))]));
}

/** One token of a single row at a time. */
export function steps(ids: Ids): Ids[] {
  return Array.from(ids.data, (_, i) => idsOf(ids, i, i + 1));
}

/** Positions [start, end) of every row. */
export function rowsOf({ data, shape }: Floats, start: number, end: number): Floats {
  const [batch, length, width] = shape as [number, number, number];
  const rows = Array.from({ length: batch }, (_, b) => [...data.subarray((b * length + start) * width, (b * length + end) * width)]);
  return { data: Float32Array.from(rows.flat()), shape: [batch, end - start, width] };
}

/** The token of the highest logit at the last position of a single row. */
export function argmax({ data, shape }: Floats): number {
  const last = data.subarray(data.length - shape.at(-1)!);
  return last.indexOf(last.reduce((a, b) => Math.max(a, b)));
}

/** The largest difference where `mask` (batch, length) is 1; infinite when something is not a number or missing. */
export function maxDifference(actual: Floats, expected: Floats, mask?: Ids): number {
  if (actual.data.length !== expected.data.length) return Infinity;
  const width = actual.shape.at(-1)!;
  let worst = 0;
  for (let i = 0; i < actual.data.length; i++) {
    if (mask?.data[Math.floor(i / width)] === 0n) continue;
    const difference = Math.abs(actual.data[i]! - expected.data[i]!);
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Infinity : difference;
  }
  return worst;
}

function ints(shape: readonly number[], at: (i: number) => number): Ids {
  const count = shape.reduce((a, b) => a * b, 1);
  return { data: BigInt64Array.from({ length: count }, (_, i) => BigInt(at(i))), shape };
}

function tensorOf({ data, shape }: Ids): DenseTensor {
  return new DenseTensor('int64', shape, bytesOf(data));
}

/** The tokens of highest logit, one after the other. */
export async function greedy(decoder: CachedDecoder, prompt: Ids, count: number): Promise<number[]> {
  const tokens: number[] = [];
  let logits = await decoder.forward(prompt);
  for (;;) {
    tokens.push(argmax(logits));
    if (tokens.length === count) return tokens;
    logits = await decoder.forward({ data: BigInt64Array.of(BigInt(tokens.at(-1)!)), shape: [1, 1] });
  }
}
