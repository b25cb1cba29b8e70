/** Reads the metadata of a GGUF model with types; every error names the key. */
import { PenjingError } from '@penjing/core';
import type { GgufMetadata, GgufValue } from './metadata.js';

export class GgufFields {
  readonly metadata: GgufMetadata;
  /** `general.architecture`, in front of the keys of a model. */
  readonly architecture: string;

  /** Throws `E_GGUF` without an architecture. */
  constructor(metadata: GgufMetadata) {
    this.metadata = metadata;
    const name = metadata.get('general.architecture');
    if (typeof name !== 'string' || name === '') {
      throw new PenjingError('E_GGUF', 'this GGUF file names no general.architecture', { hint: 'It holds no language model, or is damaged.' });
    }
    this.architecture = name;
  }

  /** Full key of a field of the model: `llama.block_count`. */
  key(name: string): string {
    return `${this.architecture}.${name}`;
  }

  has(name: string): boolean {
    return this.metadata.has(this.key(name));
  }

  text(name: string): string | undefined {
    const value = this.metadata.get(this.key(name));
    if (value === undefined || typeof value === 'string') return value;
    throw this.#wrong(name, 'a text');
  }

  flag(name: string): boolean | undefined {
    const value = this.metadata.get(this.key(name));
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.#wrong(name, 'true or false');
  }

  /** A number; float32 values as the shortest decimal that they are the float32 of, as they were in config.json. */
  number(name: string): number | undefined {
    const value = this.metadata.get(this.key(name));
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isFinite(value)) return shortest(value);
    throw this.#wrong(name, 'a number');
  }

  required(name: string): number {
    const value = this.number(name);
    if (value === undefined) throw this.#wrong(name, 'there');
    return value;
  }

  /** A number that is given once, or for every layer the same. */
  everyLayer(name: string): number | undefined {
    const value = this.metadata.get(this.key(name));
    if (value === undefined || typeof value === 'number') return this.number(name);
    const list = isNumbers(value) ? Array.from(value as ArrayLike<number>, Number) : [];
    if (list.length > 0 && list.every((item) => item === list[0])) return list[0];
    throw this.#wrong(name, 'the same for all layers: layers of different sizes are not supported');
  }

  #wrong(name: string, wanted: string): PenjingError {
    const key = this.key(name);
    const given = this.metadata.has(key) ? 'is wrong' : 'is missing';
    return new PenjingError('E_CONFIG', `GGUF metadata: ${key} ${given}, it must be ${wanted}`, { details: { key } });
  }
}

function isNumbers(value: GgufValue): boolean {
  return ArrayBuffer.isView(value) || (Array.isArray(value) && value.every((item) => typeof item === 'number'));
}

/** 0.00001 for the float32 that is nearest to it. */
export function shortest(value: number): number {
  if (Math.fround(value) !== value) return value;
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
