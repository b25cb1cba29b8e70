/** Finds the model file in a folder laid out as transformers.js lays it out, and the configuration beside it. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { transformersJsModels } from '@penjing/graph-io';
import { readJson } from './tokenize/tokenizer-files.js';

/** What follows `model` in the file name of a variant: the dtypes of transformers.js, spelled out once in graph-io. */
const suffixOf = new Map<string, string>(
  Object.entries(transformersJsModels).map(([dtype, name]) => [dtype, basename(name, '.onnx').slice('model'.length)]),
);

export interface ModelLocation {
  /** The ONNX file. */
  readonly path: string;
  /** The folder with config.json and the tokenizer; the file's own when it lies alone. */
  readonly folder: string;
}

/**
 * A folder or an ONNX file to the file itself; `stem` is what a graph is called that is one of several. Of a file that is one of a folder's variants another one
 * can be asked for. Throws `E_NOT_FOUND` listing the variants that are there.
 */
export async function locateModel(path: string, variant?: string, stem?: string): Promise<ModelLocation> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `${path} does not exist`, { cause });
  });
  if (!info.isDirectory()) {
    const parent = dirname(path);
    const folder = basename(parent) === 'onnx' ? dirname(parent) : parent;
    if (stem !== undefined) return locateModel(folder, variant, stem);
    if (variant === undefined) return { path, folder };
    if (VARIANT_FILE.test(basename(path))) return locateModel(folder, variant);
    throw new PenjingError('E_NOT_FOUND', `${path} is one file and has no variant ${variant}`, { hint: 'Variants lie together in one folder, as model.onnx and model_q4.onnx; name the folder, or the file that is meant.' });
  }
  const files = await variantFiles(path, stem);
  if (variant === undefined) {
    const plain = files.get('') ?? (files.size === 1 ? [...files.values()][0] : undefined);
    if (plain) return { path: plain, folder: path };
  } else {
    const found = files.get(suffixOf.get(variant) ?? `_${variant}`);
    if (found) return { path: found, folder: path };
  }
  throw new PenjingError('E_NOT_FOUND', `${path} has no ${variant === undefined ? `${stem ?? 'model'}.onnx` : `variant ${variant}${stem === undefined ? '' : ` of ${stem}`}`}`, {
    hint: files.size === 0 ? 'Convert the checkpoint first: `penjing convert`.' : `It has ${[...files.keys()].map(variantName).join(', ')}.`,
  });
}

const STEMS = 'model|decoder_model_merged';
const VARIANT_FILE = new RegExp(`^(?:${STEMS})(_[a-z0-9]+)?\\.onnx$`, 'i');

/** Model files by suffix; those in `onnx/` come before those beside the configuration. */
async function variantFiles(folder: string, stem = STEMS): Promise<Map<string, string>> {
  const pattern = new RegExp(`^(?:${stem})(_[a-z0-9]+)?\\.onnx$`, 'i');
  const files = new Map<string, string>();
  for (const place of [join(folder, 'onnx'), folder]) {
    for (const name of await readdir(place).catch(() => [])) {
      const match = pattern.exec(name);
      const suffix = match?.[1] ?? '';
      if (match && !files.has(suffix)) files.set(suffix, join(place, name));
    }
  }
  return files;
}

function variantName(suffix: string): string {
  return [...suffixOf].find(([, known]) => known === suffix)?.[0] ?? suffix.slice(1);
}

/** What the configuration files of a language model say, as far as generation needs it. */
export interface LanguageConfig {
  readonly contextLength: number | undefined;
  readonly vocabSize: number | undefined;
  readonly bosToken: number | undefined;
  /** Tokens that end a text. */
  readonly endTokens: readonly number[];
  /** The configuration names a causal language model. */
  readonly causal: boolean;
}

export async function readLanguageConfig(folder: string): Promise<LanguageConfig> {
  const [config = {}, generation = {}] = await Promise.all([
    readJson(join(folder, 'config.json')),
    readJson(join(folder, 'generation_config.json')),
  ]);
  const text = { ...config, ...(typeof config['text_config'] === 'object' ? (config['text_config'] as Record<string, unknown>) : {}) };
  const first = (...names: readonly string[]): number | undefined => {
    for (const name of names) if (typeof text[name] === 'number') return text[name];
    return undefined;
  };
  const end = generation['eos_token_id'] ?? text['eos_token_id'];
  const architectures = Array.isArray(config['architectures']) ? (config['architectures'] as unknown[]) : [];
  return {
    contextLength: first('max_position_embeddings', 'n_positions', 'n_ctx', 'seq_length', 'max_seq_len'),
    vocabSize: first('vocab_size'),
    bosToken: typeof generation['bos_token_id'] === 'number' ? generation['bos_token_id'] : first('bos_token_id'),
    endTokens: (Array.isArray(end) ? end : [end]).filter((token): token is number => typeof token === 'number'),
    causal: architectures.some((name) => /(CausalLM|LMHeadModel)$/.test(String(name))),
  };
}
