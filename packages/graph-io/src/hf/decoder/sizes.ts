/** The sizes of a decoder, under whatever names its configs have them. */
import { type Fields, MAX_HEAD_DIM, MAX_LAYERS } from '../fields.js';
import type { JsonObject } from '../folder.js';

export interface DecoderSizes {
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly layers: number;
  readonly vocabulary: number;
  readonly maxPositions: number;
}

/** The name of a field, or two of which the first that a config has counts; null where configs have none. */
type FieldName = string | readonly [own: string, common: string] | null;
export type SizeFields = Readonly<Record<keyof DecoderSizes, FieldName>>;

/** As Llama calls them. */
const LLAMA_FIELDS: SizeFields = {
  hidden: 'hidden_size',
  heads: 'num_attention_heads',
  kvHeads: 'num_key_value_heads',
  headDim: 'head_dim',
  layers: 'num_hidden_layers',
  vocabulary: 'vocab_size',
  maxPositions: 'max_position_embeddings',
};

export interface SizeRow {
  readonly fields?: Partial<SizeFields>;
  /** What transformers takes when a config leaves a size out; without it, it must be there. */
  readonly usual?: Partial<DecoderSizes>;
  /** Where the number of heads of keys does not simply stand in the config. */
  readonly kvHeads?: (config: Fields, heads: number) => number;
}

/** Throws `E_CONFIG` naming the field. */
export function readSizes(config: Fields, row: SizeRow): DecoderSizes {
  const { usual = {} } = row;
  const fields = { ...LLAMA_FIELDS, ...row.fields };
  const nameOf = (size: keyof DecoderSizes): string | undefined => fieldOf(config, fields[size]);
  const read = (size: keyof DecoderSizes, fallback = usual[size], most?: number): number => {
    const name = nameOf(size);
    return name === undefined && fallback !== undefined ? fallback : config.size(name ?? size, fallback, most);
  };
  const hidden = read('hidden');
  const heads = read('heads');
  const kvHeads = row.kvHeads?.(config, heads) ?? read('kvHeads', usual.kvHeads ?? heads);
  const stated = usual.headDim ?? (config.has(nameOf('headDim') ?? '') ? 0 : undefined);
  const headDim = read('headDim', usual.headDim ?? Math.max(1, Math.floor(hidden / heads)), MAX_HEAD_DIM);
  if (heads % kvHeads !== 0) throw config.wrong(nameOf('kvHeads') ?? 'num_key_value_heads', `a divisor of ${nameOf('heads')} ${heads}`);
  if (stated === undefined && hidden % heads !== 0) throw config.wrong(nameOf('hidden')!, `a multiple of ${nameOf('heads')} ${heads}`);
  if (headDim > MAX_HEAD_DIM) throw config.wrong(nameOf('hidden')!, `at most ${MAX_HEAD_DIM} for each of ${heads} heads`);
  return {
    hidden, heads, kvHeads, headDim,
    layers: read('layers', usual.layers, MAX_LAYERS), vocabulary: read('vocabulary'), maxPositions: read('maxPositions', usual.maxPositions ?? 2048),
  };
}

/** The sizes that clients read from config.json to make an empty cache, under the row's own names. */
export function sizesForClients(config: Fields, row: SizeRow): JsonObject {
  const { hidden, heads, kvHeads, headDim, layers } = readSizes(config, row);
  const fields = { ...LLAMA_FIELDS, ...row.fields };
  const sizes = { hidden, heads, layers, kvHeads, ...((headDim !== hidden / heads || row.usual?.headDim !== undefined) && { headDim }) };
  return Object.fromEntries(Object.entries(sizes).flatMap(([size, value]) => {
    const names = fields[size as keyof DecoderSizes];
    return names === null ? [] : [[typeof names === 'string' ? names : names[0], value]];
  }));
}

function fieldOf(config: Fields, names: FieldName): string | undefined {
  if (names === null) return undefined;
  if (typeof names === 'string') return names;
  return names.find((name) => config.has(name)) ?? names[0];
}
