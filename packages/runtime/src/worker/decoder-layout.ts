/** Recognises the decoder layout of transformers.js and Optimum from the names and types of a model's values. */
import { type DType, PenjingError } from '@penjing/core';
import type { SessionValue } from './wire-types.js';

/** One cached tensor: its input, its output, and the part of its shape that does not change. */
export interface CacheSlot {
  readonly past: string;
  readonly present: string;
  readonly dtype: DType;
  readonly heads: number;
  readonly headDim: number;
}

export interface DecoderLayout {
  /** In the order of the layers; empty for a model without a cache. */
  readonly cache: readonly CacheSlot[];
  /** Which of the inputs that some decoders have and some have not are there. */
  readonly optional: ReadonlySet<string>;
  readonly fetches: readonly string[];
  /** Width of the logits, when the model declares it. */
  readonly vocabSize: number | undefined;
}

const pastName = /^past_key_values\.(\d+)\.(key|value)$/;
const optionalInputs = ['attention_mask', 'position_ids', 'token_type_ids', 'num_logits_to_keep', 'use_cache_branch'];

/** True when the model takes token ids and gives logits from a cache: a decoder for certain. */
export function looksLikeDecoder(inputs: readonly SessionValue[], outputs: readonly SessionValue[]): boolean {
  return hasLogits(inputs, outputs) && inputs.some(({ name }) => pastName.test(name));
}

export function hasLogits(inputs: readonly SessionValue[], outputs: readonly SessionValue[]): boolean {
  return inputs.some(({ name }) => name === 'input_ids') && outputs.some(({ name }) => name === 'logits');
}

/** Throws `E_LAYOUT` naming the value that does not fit. */
export function decoderLayout(inputs: readonly SessionValue[], outputs: readonly SessionValue[]): DecoderLayout {
  if (!hasLogits(inputs, outputs)) {
    throw notDecoder(`it has inputs ${names(inputs)} and outputs ${names(outputs)}, not input_ids and logits`);
  }
  const given = new Set(outputs.map(({ name }) => name));
  const cache: CacheSlot[] = [];
  const optional = new Set<string>();
  for (const { name, dtype, shape } of inputs) {
    const match = pastName.exec(name);
    if (match) {
      const present = `present.${match[1]}.${match[2]}`;
      const [heads, headDim] = [shape?.[1], shape?.[3]];
      if (!given.has(present)) throw notDecoder(`${name} has no output ${present}`);
      if (shape?.length !== 4 || typeof heads !== 'number' || typeof headDim !== 'number') {
        throw notDecoder(`${name} is [${shape?.join(', ') ?? '?'}], not (batch, heads, length, width) with fixed heads and width`);
      }
      if (dtype !== 'float32' && dtype !== 'float16') throw notDecoder(`${name} is ${dtype ?? 'not a tensor'}`);
      cache.push({ past: name, present, dtype, heads, headDim });
    } else if (optionalInputs.includes(name)) optional.add(name);
    else if (name !== 'input_ids') throw notDecoder(`its input ${name} is not known`);
  }
  const width = outputs.find(({ name }) => name === 'logits')?.shape?.at(-1);
  return {
    cache,
    optional,
    fetches: ['logits', ...cache.map(({ present }) => present)],
    vocabSize: typeof width === 'number' ? width : undefined,
  };
}

function notDecoder(why: string): PenjingError {
  return new PenjingError('E_LAYOUT', `this model cannot generate text: ${why}`, {
    hint: 'Convert the checkpoint with `penjing convert`, which writes the layout that transformers.js and Penjing read.',
  });
}

function names(values: readonly SessionValue[]): string {
  return values.slice(0, 6).map(({ name }) => name).join(', ') + (values.length > 6 ? ', …' : '');
}
