/** Writes model folders for tests: a tiny decoder with a tokenizer of single letters. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Model } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';

/** `<s>`, `</s>`, then letters, a space and a newline: 32 tokens, each one character. */
const alphabet = ['<s>', '</s>', ...'abcdefghijklmnopqrstuvwxyz', ' ', '\n', '.', ','];
const special = (id: number): object => ({ id, content: alphabet[id], special: true, single_word: false, lstrip: false, rstrip: false, normalized: false });

export const letterTokenizer = {
  version: '1.0',
  added_tokens: [special(0), special(1)],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } },
  },
  decoder: { type: 'Fuse' },
  model: { type: 'BPE', vocab: Object.fromEntries(alphabet.map((token, id) => [token, id])), merges: [], unk_token: ',' },
};

export interface ModelFolderOptions {
  readonly tokenizer?: object;
  readonly vocabSize?: number;
  readonly context?: number;
}

/** A folder as transformers.js lays it out; `models` by file name suffix (`''`, `'_q4'`). Returns its path. */
export async function writeModelFolder(models: Readonly<Record<string, Model>>, generation: object = { eos_token_id: 1 }, { tokenizer = letterTokenizer, vocabSize = alphabet.length, context = 64 }: ModelFolderOptions = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-test-'));
  const config = { architectures: ['LlamaForCausalLM'], vocab_size: vocabSize, max_position_embeddings: context, bos_token_id: 0 };
  const files: [string, string | Uint8Array][] = [
    ['config.json', JSON.stringify(config)],
    ['generation_config.json', JSON.stringify(generation)],
    ['tokenizer.json', JSON.stringify(tokenizer)],
    ['tokenizer_config.json', JSON.stringify({ bos_token: '<s>', eos_token: '</s>', chat_template: '{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}' })],
  ];
  for (const [suffix, model] of Object.entries(models)) files.push([`onnx/model${suffix}.onnx`, await modelBytes(model)]);
  for (const [name, content] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}

/** The model as one ONNX file. */
export async function modelBytes(model: Model): Promise<Uint8Array> {
  return layoutToBytes(serializeOnnx(model, { externalData: 'never' })[0]!);
}
