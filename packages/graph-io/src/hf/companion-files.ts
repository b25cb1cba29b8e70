/** Files that travel beside the graphs, whatever the layout: tokenizer, generation settings, processors, licences. */
import { lazy } from '@penjing/core';
import type { FileLayout } from '../layout.js';
import type { JsonObject } from './folder.js';
import type { HuggingFaceConfig } from './open.js';

/** Copied byte for byte when they are there; licences travel with the weights. */
const COPIED = [
  'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json',
  'tokenizer.model', 'spiece.model', 'sentencepiece.bpe.model', 'vocab.txt', 'vocab.json', 'merges.txt', 'normalizer.json',
  'preprocessor_config.json', 'processor_config.json',
  'chat_template.jinja', 'chat_template.json', 'LICENSE', 'LICENSE.txt', 'LICENSE.md', 'NOTICE',
];

/** Those of the folder, and others by name. */
export async function companionFiles(folder: HuggingFaceConfig, others: readonly string[] = []): Promise<FileLayout[]> {
  return Promise.all([...others, ...COPIED].filter((name) => folder.files.includes(name)).map((name) => copiedFile(folder, name)));
}

export async function copiedFile({ folder }: HuggingFaceConfig, name: string): Promise<FileLayout> {
  const source = await folder.open(name);
  const tensor = lazy.source(source, 0, 'uint8', [source.size]);
  return { name, size: source.size, pieces: [{ kind: 'tensor', offset: 0, name, tensor }] };
}

export function jsonFile(name: string, value: JsonObject): FileLayout {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
  return { name, size: bytes.byteLength, pieces: [{ kind: 'bytes', offset: 0, bytes }] };
}
