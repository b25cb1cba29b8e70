/** Outputs of jobs in the work folder of a run, each under a hash of its job and input: a run that goes on takes them from there. */
import { createHash, type Hash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { byteSize, elementCount, type TensorReference } from '@penjing/core';
import { makeInside, placeFile } from '@penjing/graph-io/node';
import type { StoredTensor } from '../jobs/stored-tensor.js';

export interface KeptResult {
  /** Undefined when there is none, or what it needs is no longer there. */
  read(): Promise<unknown>;
  /** Throws `E_NOT_FOUND` when the folder of the run is gone. */
  write(output: unknown): Promise<void>;
}

const HASH_BYTES = 32;

/** What an output follows from besides the input of its job: with other threads or versions its last bits may differ. */
export interface KeptJob {
  readonly name: string;
  readonly seed: number | undefined;
  /** Of ONNX Runtime. */
  readonly threads: number | undefined;
  /** Of all that computes. */
  readonly versions: readonly string[];
}

/** Undefined for an input that does not say all that the output follows from. */
export function keptResult(folder: string, { name, seed, threads, versions }: KeptJob, input: unknown): KeptResult | undefined {
  const hash = contentHash([name, seed, threads, versions, input]);
  if (hash === undefined) return undefined;
  const path = join(folder, hash);
  return {
    async read() {
      const file = await readFile(path).catch(() => undefined);
      const content = file?.subarray(HASH_BYTES);
      // The process, or the machine, may have ended while it was written.
      if (!file || !content || Buffer.compare(file.subarray(0, HASH_BYTES), hashOf(content)) !== 0) return undefined;
      const output: unknown = deserialize(content);
      return (await spillsAreThere(output)) ? output : undefined;
    },
    async write(output) {
      const content = serialize(output);
      // Inside of a work folder that is there: a worker that is late must not bring it back.
      await makeInside(folder);
      await placeFile(path, [hashOf(content), content]);
    },
  };
}

function hashOf(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** Plain data with typed arrays, by content. Undefined for what is on a shelf or in a session: names say nothing of content there. */
function contentHash(value: unknown): string | undefined {
  const hash = createHash('sha256');
  // Sources in memory are named anew in every run; their bytes are in the input too.
  const memory = new Map<string, number>();
  const stable = (text: string): string => {
    if (!text.startsWith('memory:')) return text;
    if (!memory.has(text)) memory.set(text, memory.size);
    return `memory ${memory.get(text)}`;
  };
  return update(hash, value, stable) ? hash.digest('hex') : undefined;
}

function update(hash: Hash, value: unknown, stable: (text: string) => string): boolean {
  if (ArrayBuffer.isView(value)) {
    hash.update(`${value.constructor.name} ${value.byteLength}:`).update(value as Uint8Array);
    return true;
  }
  if (value instanceof SharedArrayBuffer) return update(hash, new Uint8Array(value), stable);
  if (value instanceof Map) return update(hash, [...value], stable);
  if (typeof value !== 'object' || value === null) {
    const text = typeof value === 'string' ? stable(value) : String(value);
    hash.update(`${typeof value} ${text.length} ${text};`);
    return true;
  }
  const { kind, identity, shape, reference } = value as Partial<Omit<TensorReference, 'kind'>> & { readonly kind?: unknown };
  if (kind === 'shelf' || kind === 'model') return false;
  if (kind === 'tensor') {
    if (identity !== undefined) return update(hash, ['made', identity, shape], stable);
    if ((reference as StoredTensor).kind === 'shelved') return false;
  }
  const entries = Object.entries(value);
  hash.update(`${Array.isArray(value) ? 'list' : 'object'} ${entries.length}:`);
  return entries.every(([field, inner]) => update(hash, field, stable) && update(hash, inner, stable));
}

/** Every tensor that an output refers to has the bytes that it should have. */
async function spillsAreThere(value: unknown): Promise<boolean> {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return true;
  const { kind, path, dtype, shape } = value as Partial<Extract<StoredTensor, { kind: 'spill' }>>;
  if (kind === 'spill') return stat(path!).then(({ size }) => size === byteSize(dtype!, elementCount(shape!)), () => false);
  for (const inner of Object.values(value)) if (!(await spillsAreThere(inner))) return false;
  return true;
}
