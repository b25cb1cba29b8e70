/** The plan of a GGUF file of a decoder: metadata, tokenizer, and weights in F32, F16, BF16, Q8_0 or Q4_0. */
import { type Checkpoint, type DType, lazy, PenjingError, type Tensor } from '@penjing/core';
import { blockCodecs } from '@penjing/kernels';
import type { JsonObject } from '../hf/folder.js';
import { Fields } from '../hf/fields.js';
import { architectures } from '../hf/registry.js';
import { canonical } from '../hf/weights.js';
import type { FileLayout, LayoutPiece } from '../layout.js';
import type { GgufArchitecture, WrittenSizes } from './architecture.js';
import { findWrittenArchitecture } from './architectures.js';
import { ggufPlace } from './names.js';
import { toGguf } from './weights.js';
import { writtenConfig } from './write-config.js';
import { GgufBytes, type GgufPair } from './write-pairs.js';
import { ggufVocabulary, type TokenizerFiles } from './write-tokenizer.js';

export type GgufWeightType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0';

export interface GgufModel {
  /** config.json. */
  readonly config: JsonObject;
  /** Under the names of transformers. */
  readonly checkpoint: Checkpoint;
  readonly tokenizer?: TokenizerFiles | undefined;
}

export interface GgufLayoutOptions {
  /**
   * Of matrices; F16 when absent. Norms, biases, tables of positions and the routers of experts are F32 always, matrices
   * whose rows are no whole blocks F16, as llama.cpp's own quantizer has it; embeddings and head are of the type too.
   */
  readonly type?: GgufWeightType;
  /** File name, `model.gguf` when absent. */
  readonly name?: string;
  /** `general.name`. */
  readonly title?: string;
}

interface WeightType {
  /** Of the tensor. */
  readonly code: number;
  /** `general.file_type` of llama.cpp. */
  readonly fileType: number;
  /** Of plain elements. */
  readonly dtype?: DType;
}

const TYPES: Readonly<Record<GgufWeightType, WeightType>> = {
  F32: { code: 0, fileType: 0, dtype: 'float32' },
  F16: { code: 1, fileType: 1, dtype: 'float16' },
  BF16: { code: 30, fileType: 32, dtype: 'bfloat16' },
  Q8_0: { code: 8, fileType: 7 },
  Q4_0: { code: 2, fileType: 2 },
};

const ALIGNMENT = 32;

/**
 * One file. Throws `E_ARCHITECTURE` or `E_CONFIG` for what a GGUF file cannot say, `E_WEIGHTS` for a tensor without a
 * place, `E_TOKENIZER` for a tokenizer without one. Errors of quantization are measured on saving.
 */
export function ggufLayout(model: GgufModel, options: GgufLayoutOptions = {}): FileLayout[] {
  const { type = 'F16', name = 'model.gguf', title } = options;
  if (!Object.hasOwn(TYPES, type)) throw new PenjingError('E_OPTION', `weights of the type ${String(type)} are not written`, { hint: `Use one of ${Object.keys(TYPES).join(', ')}.` });
  const fields = new Fields(model.config, 'config.json');
  const architecture = findWrittenArchitecture(model.config);
  const config = writtenConfig(architecture, fields);
  const tensors = [
    ...config.factors.map(([own, tensor]) => written(own, tensor, 'F32')),
    ...[...weights(architecture, model, fields, config.sizes)].map(([own, tensor]) => written(own, tensor, type)),
  ];
  const rows = tensors.find((tensor) => tensor.name === 'token_embd.weight')?.tensor.shape[0] ?? 0;
  const pairs: GgufPair[] = [
    ['general.architecture', 'string', architecture.name],
    ['general.alignment', 'u32', ALIGNMENT],
    ...(title === undefined ? [] : [['general.name', 'string', title] as const]),
    ['general.file_type', 'u32', TYPES[type].fileType],
    ['general.quantization_version', 'u32', 2],
    ...config.pairs,
    [`${architecture.name}.vocab_size`, 'u32', rows],
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
    head.u32(TYPES[type].code);
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

/** By their names in the file. Throws `E_WEIGHTS` for what llama.cpp has no place for, or misses. */
function weights(row: GgufArchitecture, { checkpoint, config }: GgufModel, fields: Fields, sizes: WrittenSizes): Map<string, Tensor> {
  const { name, writing: { tiedOnly = false, biases = [], needed = [] } } = row;
  const own = architectures.find(({ modelType }) => modelType === config['model_type'])!;
  const named = canonical(checkpoint.tensors, own);
  const tied = own.tied !== undefined && fields.boolean('tie_word_embeddings', own.tied.byDefault);
  const kept = [...named].filter(([tensor]) => !(tied && tensor === own.tied?.head) && !own.ignoredWeights.some((pattern) => pattern.test(tensor)));
  const out = toGguf(row, kept, sizes);
  const stems = new Set([...out.keys()].map(ggufPlace).filter(({ suffix }) => suffix === '.bias').map(({ stem }) => stem));
  const odd = [...stems].find((stem) => !biases.includes(stem));
  if (odd !== undefined) throw new PenjingError('E_WEIGHTS', `${odd} has a bias, which llama.cpp has no place for in ${name}`);
  const missing = needed.find((stem) => !stems.has(stem));
  if (missing !== undefined) throw new PenjingError('E_WEIGHTS', `${missing} has no bias, which llama.cpp needs in ${name}`);
  if (tiedOnly && out.has('output.weight')) throw new PenjingError('E_WEIGHTS', `this model has a head of its own, which llama.cpp has no place for in ${name}`);
  return out;
}

/** Small, and read as floats whatever the rest is; so are norms, also those of (heads, width). */
const FLOATS: ReadonlySet<string> = new Set(['position_embd', 'ffn_gate_inp', 'ffn_gate_inp_shexp']);
const isFloat = (stem: string): boolean => FLOATS.has(stem) || stem.endsWith('_norm');

function written(name: string, tensor: Tensor, wanted: GgufWeightType): WrittenTensor {
  const { shape } = tensor;
  const type = shape.length < 2 || isFloat(ggufPlace(name).stem) ? 'F32' : fits(shape.at(-1)!, wanted) ? wanted : 'F16';
  const { dtype } = TYPES[type];
  return { name, shape, type, tensor: dtype ? lazy.cast(tensor, dtype) : lazy.encode(lazy.cast(tensor, 'float32'), type as EncodedType) };
}

type EncodedType = 'Q8_0' | 'Q4_0';

function fits(cols: number, type: GgufWeightType): boolean {
  return TYPES[type].dtype !== undefined || cols % blockCodecs[type as EncodedType].blockSize === 0;
}
