/** How the states of tokens become one embedding: modules.json of sentence-transformers, or what the caller says. */
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { readPooling } from '@penjing/graph-io';
import { readJson } from '../tokenize/tokenizer-files.js';
import { readFile } from 'node:fs/promises';
import { type PoolingMode, poolingModes } from '../worker/reduce.js';
import { type JsonObject, oneOf } from './task-model.js';

export interface EmbeddingSteps {
  readonly modes: readonly PoolingMode[];
  readonly normalize: boolean;
  /** Tokens of a prompt count. */
  readonly includePrompt: boolean;
}

export interface EmbeddingConfig {
  /** Undefined when the folder does not say. */
  readonly steps: EmbeddingSteps | undefined;
  /** Modules between the states and the embedding that are more than pooling. */
  readonly others: readonly string[];
  readonly maxLength: number | undefined;
  readonly lowerCase: boolean;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
}

/** Modules that change nothing when a model is used. */
const IDLE: ReadonlySet<string> = new Set(['Dropout']);

export async function readEmbeddingConfig(folder: string): Promise<EmbeddingConfig> {
  const modules = await readModules(folder);
  const [sentence = {}, project = {}] = await Promise.all([readJson(join(folder, 'sentence_bert_config.json')), readJson(join(folder, 'config_sentence_transformers.json'))]);
  let steps: EmbeddingSteps | undefined;
  const others: string[] = [];
  for (const { type, path } of modules.slice(1)) {
    if (type === 'Pooling') {
      const config = (await readJson(join(folder, path, 'config.json'))) ?? {};
      const { modes, promptInput } = readPooling(config, `${path}/config.json`);
      steps = { modes, normalize: false, includePrompt: !promptInput };
    } else if (type === 'Normalize' && steps) steps = { ...steps, normalize: true };
    else if (!IDLE.has(type)) others.push(type);
  }
  const { max_seq_length: maxLength, do_lower_case: lowerCase } = sentence;
  const { prompts, default_prompt_name: defaultPrompt } = project;
  return {
    steps,
    others,
    maxLength: typeof maxLength === 'number' && Number.isInteger(maxLength) && maxLength > 0 ? maxLength : undefined,
    lowerCase: lowerCase === true,
    prompts: Object.fromEntries(Object.entries(typeof prompts === 'object' && prompts !== null ? prompts : {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
    defaultPrompt: typeof defaultPrompt === 'string' ? defaultPrompt : undefined,
  };
}

/** What the caller says goes before what the folder says. */
export function chosenSteps({ steps }: EmbeddingConfig, pooling: PoolingMode | readonly PoolingMode[] | undefined, normalize: boolean | undefined): EmbeddingSteps | undefined {
  const modes = pooling === undefined ? steps?.modes : (typeof pooling === 'string' ? [pooling] : pooling).map((mode) => oneOf('pooling', mode, poolingModes, 'mean'));
  if (!modes) return undefined;
  if (modes.length === 0) throw new PenjingError('E_OPTION', 'pooling is empty', { hint: `Give one or several of ${poolingModes.join(', ')}.` });
  return { modes, normalize: normalize ?? (pooling === undefined && (steps?.normalize ?? false)), includePrompt: steps?.includePrompt ?? true };
}

/** modules.json, which is a list; paths are kept inside the folder. */
async function readModules(folder: string): Promise<readonly { readonly type: string; readonly path: string }[]> {
  const text = await readFile(join(folder, 'modules.json'), 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '[]';
    throw error;
  });
  const wrong = (why: string, cause?: unknown): PenjingError => new PenjingError('E_CONFIG', `modules.json ${why}`, { cause });
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch (cause) {
    throw wrong('is not JSON', cause);
  }
  if (!Array.isArray(rows) || rows.length > 64) throw wrong('holds no list of at most 64 modules');
  return rows.map((row: unknown) => {
    const { type, path = '' } = (row ?? {}) as JsonObject;
    if (typeof type !== 'string' || typeof path !== 'string') throw wrong('has a module without a type or a path');
    if (/(^|[\\/])\.\.([\\/]|$)|^[\\/]|^[a-z]:/i.test(path)) throw wrong(`has a module outside of the folder: ${path}`);
    return { type: type.slice(type.lastIndexOf('.') + 1), path };
  });
}
