/** Finds and parses the tokenizer files of a model folder. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { type Tokenizer, createTokenizer } from './tokenizer.js';

/** Loads the tokenizer of a model folder. Throws `E_NOT_FOUND` without a tokenizer.json. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const tokenizer = await readJson(join(folder, 'tokenizer.json'));
  if (!tokenizer) {
    throw new PenjingError('E_NOT_FOUND', `${folder} has no tokenizer.json`, {
      hint: 'Save the fast tokenizer beside the model (`AutoTokenizer.from_pretrained(…).save_pretrained(folder)`).',
    });
  }
  const [special, config, templateJson, templateText] = await Promise.all([
    readJson(join(folder, 'special_tokens_map.json')),
    readJson(join(folder, 'tokenizer_config.json')),
    readJson(join(folder, 'chat_template.json')),
    readText(join(folder, 'chat_template.jinja')),
  ]);
  const template = templateText ?? templateJson?.['chat_template'];
  return createTokenizer({
    tokenizer,
    config: { ...special, ...config },
    ...(typeof template === 'string' ? { template } : {}),
  });
}

/** A JSON object from a file; undefined when there is no such file. Throws `E_FORMAT` when it holds anything else. */
export async function readJson(path: string): Promise<Record<string, unknown> | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PenjingError('E_FORMAT', `${path} is not JSON: ${String(cause)}`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new PenjingError('E_FORMAT', `${path} does not hold a JSON object`);
  return value as Record<string, unknown>;
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
