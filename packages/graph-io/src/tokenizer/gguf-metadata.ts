/** Typed reading of the vocabulary's keys in the metadata of a GGUF file; every error names the key. */
import { PenjingError } from '@penjing/core';

const PREFIX = 'tokenizer.ggml.';

export class VocabularyFields {
  readonly #metadata: ReadonlyMap<string, unknown>;

  constructor(metadata: ReadonlyMap<string, unknown>) {
    this.#metadata = metadata;
  }

  /** A text; undefined when there is no such key. */
  text(name: string): string | undefined {
    const value = this.#metadata.get(PREFIX + name);
    if (value === undefined || typeof value === 'string') return value;
    throw wrong(name, 'a text');
  }

  boolean(name: string): boolean | undefined {
    const value = this.#metadata.get(PREFIX + name);
    if (value === undefined || typeof value === 'boolean') return value;
    throw wrong(name, 'true or false');
  }

  /** An id below `count`; undefined when there is none, or the file says -1 for none. */
  id(name: string, count: number): number | undefined {
    const value = this.#metadata.get(PREFIX + name);
    if (value === undefined) return undefined;
    const id = typeof value === 'number' || typeof value === 'bigint' ? Number(value) : NaN;
    if (!Number.isInteger(id)) throw wrong(name, 'an id');
    return id >= 0 && id < count ? id : undefined;
  }

  texts(name: string): readonly string[] | undefined {
    const list = this.#list(name);
    if (list === undefined) return undefined;
    if (list.every((item): item is string => typeof item === 'string')) return list;
    throw wrong(name, 'a list of texts');
  }

  /** At least `count` numbers when given. */
  numbers(name: string, count = 0): readonly number[] | undefined {
    const list = this.#list(name);
    if (list === undefined) return undefined;
    const numbers = list.map((item) => (typeof item === 'number' || typeof item === 'bigint' ? Number(item) : NaN));
    if (numbers.length >= count && numbers.every(Number.isFinite)) return numbers;
    throw wrong(name, `a list of ${count > 0 ? `at least ${count} ` : ''}numbers`);
  }

  #list(name: string): readonly unknown[] | undefined {
    const value = this.#metadata.get(PREFIX + name);
    if (value === undefined) return undefined;
    if (Array.isArray(value)) return value as readonly unknown[];
    if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(value as unknown as ArrayLike<unknown>);
    throw wrong(name, 'a list');
  }
}

function wrong(name: string, wanted: string): PenjingError {
  return new PenjingError('E_TOKENIZER', `${PREFIX}${name} is not ${wanted}`, { details: { key: PREFIX + name } });
}
