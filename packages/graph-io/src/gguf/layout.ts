/** The plan of a GGUF file of a decoder: metadata, tokenizer, and weights in F32, F16, Q8_0 or Q4_0. */
import { type Checkpoint, denseOf, lazy, PenjingError, type Tensor } from '@penjing/core';
import { blockCodecs } from '@penjing/kernels';
import type { JsonObject } from '../hf/folder.js';
import { Fields } from '../hf/fields.js';
import { readRope } from '../hf/rope.js';
import { ggufLimits } from '../limits.js';
import type { FileLayout, LayoutPiece } from '../layout.js';
import { type GgufArchitecture, ggufArchitectures } from './architectures.js';
import { gatherRows } from './folder.js';
import { ggufName, ggufPlaceOf } from './names.js';
import { rotaryRows } from './rows.js';
import { GgufBytes, type GgufPair } from './write-pairs.js';
import { ggufVocabulary, type TokenizerFiles } from './write-tokenizer.js';

export type GgufWeightType = 'F32' | 'F16' | 'Q8_0' | 'Q4_0';

export interface GgufModel {
  /** config.json. */
  readonly config: JsonObject;
  /** Under the names of transformers. */
  readonly checkpoint: Checkpoint;
  readonly tokenizer?: TokenizerFiles | undefined;
}

export interface GgufLayoutOptions {
  /** Of matrices; F16 when absent. Norms and biases are F32 always, matrices that blocks do not fit F16. */
  readonly type?: GgufWeightType;
  /** File name, `model.gguf` when absent. */
  readonly name?: string;
  /** `general.name`. */
  readonly title?: string;
}

/** `general.file_type` of llama.cpp. */
const FILE_TYPES: Readonly<Record<GgufWeightType, number>> = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 7 };
const TYPE_CODES: Readonly<Record<GgufWeightType, number>> = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 8 };
const ALIGNMENT = 32;

/** Config classes that are written; a Mistral is a Llama there. */
const WRITTEN: Readonly<Record<string, string>> = { llama: 'llama', mistral: 'llama', qwen2: 'qwen2', qwen3: 'qwen3' };

/**
 * One file. Throws `E_ARCHITECTURE` or `E_CONFIG` for what a GGUF file cannot say, `E_WEIGHTS` for a tensor without a
 * place, `E_TOKENIZER` for a tokenizer without one. Errors of quantization are measured on saving.
 */
export function ggufLayout(model: GgufModel, options: GgufLayoutOptions = {}): FileLayout[] {
  const { type = 'F16', name = 'model.gguf', title } = options;
  if (!Object.hasOwn(TYPE_CODES, type)) throw new PenjingError('E_OPTION', `weights of the type ${String(type)} are not written`, { hint: `Use one of ${Object.keys(TYPE_CODES).join(', ')}.` });
  const fields = new Fields(model.config, 'config.json');
  const architecture = findWritten(model.config);
  const tensors = ggufTensors(architecture, model, fields, type);
  const rows = tensors.find((tensor) => tensor.name === 'token_embd.weight')?.tensor.shape[0] ?? 0;
  const pairs: GgufPair[] = [
    ['general.architecture', 'string', architecture.name],
    ['general.alignment', 'u32', ALIGNMENT],
    ...(title === undefined ? [] : [['general.name', 'string', title] as const]),
    ['general.file_type', 'u32', FILE_TYPES[type]],
    ['general.quantization_version', 'u32', 2],
    ...modelPairs(architecture.name, fields, rows),
    ...(model.tokenizer ? ggufVocabulary(model.tokenizer, rows) : []),
  ];
  return [fileLayout(name, pairs, tensors)];
}

interface WrittenTensor {
  readonly name: string;
  readonly type: GgufWeightType;
  /** As numbers. */
  readonly shape: readonly number[];
  /** As bytes of the file. */
  readonly tensor: Tensor;
}

function fileLayout(name: string, pairs: readonly GgufPair[], tensors: readonly WrittenTensor[]): FileLayout {
  const head = new GgufBytes();
  head.bytes(new TextEncoder().encode('GGUF'));
  head.u32(3);
  head.u64(tensors.length);
  head.u64(pairs.length);
  for (const pair of pairs) head.pair(pair);
  let size = 0;
  const offsets = tensors.map(({ name, shape, type, tensor }) => {
    head.string(name);
    head.u32(shape.length);
    for (const dim of [...shape].reverse()) head.u64(dim);
    head.u32(TYPE_CODES[type]);
    head.u64(size);
    const offset = size;
    size += Math.ceil(tensor.byteLength / ALIGNMENT) * ALIGNMENT;
    return offset;
  });
  const bytes = head.padded(ALIGNMENT);
  const pieces: LayoutPiece[] = [
    { kind: 'bytes', offset: 0, bytes },
    ...tensors.map(({ name, tensor }, i): LayoutPiece => ({ kind: 'tensor', offset: bytes.byteLength + offsets[i]!, name, tensor })),
  ];
  return { name, size: bytes.byteLength + size, pieces };
}

function findWritten(config: JsonObject): GgufArchitecture {
  const type = String(config['model_type']);
  const name = Object.hasOwn(WRITTEN, type) ? WRITTEN[type] : undefined;
  const found = ggufArchitectures.find((architecture) => architecture.name === name);
  if (found) return found;
  throw new PenjingError('E_ARCHITECTURE', `models of the type ${JSON.stringify(type)} are not written as GGUF`, {
    hint: `Written: ${Object.keys(WRITTEN).join(', ')}.`,
    details: { modelType: type, supported: Object.keys(WRITTEN) },
  });
}

function ggufTensors(architecture: GgufArchitecture, { checkpoint }: GgufModel, fields: Fields, type: GgufWeightType): WrittenTensor[] {
  const { names, rotation } = architecture;
  const heads = fields.size('num_attention_heads');
  const headsOf: Readonly<Record<string, number>> = { attn_q: heads, attn_k: fields.size('num_key_value_heads', heads) };
  const tied = fields.boolean('tie_word_embeddings', false);
  const out = [...checkpoint.tensors].flatMap(([name, tensor]): WrittenTensor[] => {
    if (/\.rotary_emb\.inv_freq$/.test(name) || (tied && name === `${names.outer['output']!}.weight`)) return [];
    const place = ggufPlaceOf(names, name);
    if (!place) throw new PenjingError('E_WEIGHTS', `a ${architecture.name} model in a GGUF file has no place for ${name}`);
    const full = ggufName(place);
    if (full.length > ggufLimits.nameBytes) throw new PenjingError('E_LIMIT', `the name ${full.slice(0, 99)} is too long`);
    const permuted = rotation === 'pairs' && headsOf[place.stem] !== undefined;
    const weight = permuted ? gatherRows(tensor, rotaryRows(tensor.shape[0] ?? 0, headsOf[place.stem]!, 'pairs')) : tensor;
    return [written(full, weight, type)];
  });
  const divisors = ropeDivisors(fields);
  return divisors ? [written('rope_freqs.weight', divisors, 'F32'), ...out] : out;
}

function written(name: string, tensor: Tensor, type: GgufWeightType): WrittenTensor {
  const { shape } = tensor;
  const actual = shape.length < 2 ? 'F32' : type === 'F32' || type === 'F16' || shape.at(-1)! % blockCodecs[type].blockSize === 0 ? type : 'F16';
  if (actual === 'F32' || actual === 'F16') return { name, shape, type: actual, tensor: lazy.cast(tensor, actual === 'F32' ? 'float32' : 'float16') };
  return { name, shape, type: actual, tensor: lazy.encode(lazy.cast(tensor, 'float32'), actual) };
}

function modelPairs(name: string, fields: Fields, rows: number): GgufPair[] {
  const heads = fields.size('num_attention_heads');
  const headDim = fields.size('head_dim', Math.floor(fields.size('hidden_size') / heads));
  const key = (field: string): string => `${name}.${field}`;
  const theta = fields.inside('rope_parameters')?.get('rope_theta') ?? fields.get('rope_theta') ?? 10_000;
  if (typeof theta !== 'number') throw fields.wrong('rope_theta', 'a number');
  return [
    [key('context_length'), 'u32', fields.size('max_position_embeddings', 2048)],
    [key('embedding_length'), 'u32', fields.size('hidden_size')],
    [key('block_count'), 'u32', fields.size('num_hidden_layers')],
    [key('feed_forward_length'), 'u32', fields.size('intermediate_size')],
    [key('attention.head_count'), 'u32', heads],
    [key('attention.head_count_kv'), 'u32', fields.size('num_key_value_heads', heads)],
    [key('attention.key_length'), 'u32', headDim],
    [key('attention.value_length'), 'u32', headDim],
    [key('attention.layer_norm_rms_epsilon'), 'f32', fields.positive('rms_norm_eps', 1e-6)],
    [key('rope.dimension_count'), 'u32', headDim],
    [key('rope.freq_base'), 'f32', theta],
    [key('vocab_size'), 'u32', rows],
  ];
}

/** Scalings that divide every frequency by a number of its own, as llama.cpp keeps Llama 3's; undefined without scaling. */
function ropeDivisors(fields: Fields): Tensor | undefined {
  const settings = fields.inside('rope_scaling') ?? fields.inside('rope_parameters');
  const type = settings?.get('rope_type') ?? settings?.get('type') ?? 'default';
  if (type === 'default') return undefined;
  if (type !== 'llama3' && type !== 'linear') {
    throw new PenjingError('E_CONFIG', `config.json: rotary scaling ${JSON.stringify(type)} is not written as GGUF`, { hint: 'Written: llama3 and linear.' });
  }
  const dim = fields.size('head_dim', Math.floor(fields.size('hidden_size') / fields.size('num_attention_heads')));
  const shape = { dim, maxPositions: fields.size('max_position_embeddings', 2048) };
  const { rope_scaling: _, rope_parameters: parameters, ...plain } = fields.values as Record<string, JsonObject | undefined>;
  const base = readRope(new Fields({ ...plain, rope_theta: parameters?.['rope_theta'] ?? plain['rope_theta'] }, fields.where), shape);
  const scaled = readRope(fields, shape);
  const divisors = base.inverseFrequencies.map((frequency, i) => frequency / scaled.inverseFrequencies[i]!);
  return denseOf('float32', [divisors.length], divisors);
}
