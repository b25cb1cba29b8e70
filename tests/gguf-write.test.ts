/** GGUF files that we write, read back: the same model, its weights in the wanted types, and its tokenizer. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memorySource } from '@penjing/core';
import {
  convertHuggingFace, ggufLayout, type GgufModel, ggufToHuggingFace, type GgufWeightType, type HuggingFaceFolder, layoutToBytes, openGguf, openHuggingFaceFolder,
} from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { testEngine } from './support/ort-session.js';
import { describe, expect, test } from 'vitest';
import { CachedDecoder, type Floats, type Ids, maxDifference } from './support/hf-decoder.js';
import { testData } from './tools/test-data.js';

const fixtures = fileURLToPath(new URL('./fixtures', import.meta.url));
const json = async (path: string): Promise<Readonly<Record<string, unknown>>> => JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
const prompt: Ids = { data: BigInt64Array.of(1n, 5n, 30n, 2n, 9n, 17n), shape: [1, 6] };

async function logits(folder: HuggingFaceFolder): Promise<Floats> {
  await using llama = new CachedDecoder(await testEngine().load(await convertHuggingFace(folder)));
  return await llama.forward(prompt);
}

async function throughGguf(model: GgufModel, type: GgufWeightType): Promise<HuggingFaceFolder> {
  const [layout] = ggufLayout(model, { type });
  return ggufToHuggingFace(await openGguf(memorySource(await layoutToBytes(layout!))), type);
}

const cases = ['llama/gqa', 'llama/llama3', 'decoders/qwen2', 'decoders/qwen3', 'decoders/mistral', 'decoders/granite', 'decoders/starcoder2', 'decoders/stablelm', 'decoders/phi', 'decoders/cohere2', 'decoders/falcon', 'decoders/gpt-bigcode'].filter((name) => existsSync(join(fixtures, name, 'config.json')));

test('there is something to test', () => {
  expect(cases.length).toBeGreaterThan(0);
});

test.each(cases)('%s gives the same logits after a GGUF file', async (name) => {
  const folder = await openHuggingFaceFolder(openFolder(join(fixtures, name)));
  expect(maxDifference(await logits(await throughGguf(folder, 'F32')), await logits(folder))).toBeLessThan(1e-5);
});

describe.skipIf(!testData)('stories260K (needs PENJING_TESTDATA)', () => {
  test.each(['F32', 'F16', 'Q8_0', 'Q4_0'] as const)('as %s has the bytes of the file that gguf-py wrote', async (type) => {
    const root = join(testData!, 'models/stories260k');
    const folder = await openHuggingFaceFolder(openFolder(join(root, 'hf')));
    const tokenizer = { tokenizerJson: await json(join(root, 'hf/tokenizer.json')), tokenizerConfig: await json(join(root, 'hf/tokenizer_config.json')) };
    const [layout] = ggufLayout({ ...folder, tokenizer }, { type, title: 'stories260K' });
    const ours = await openGguf(memorySource(await layoutToBytes(layout!)));
    expect(ours.metadata.get('tokenizer.ggml.bos_token_id')).toBe(1);
    if (type === 'F16') return;
    const theirs = await openGguf(memorySource(new Uint8Array(await readFile(join(root, `gguf/stories260K-${type}.gguf`)))));
    expect([...ours.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
    for (const [name, { source, offset, byteLength, type: kind }] of theirs.tensors) {
      const own = ours.tensors.get(name)!;
      expect(own.type.name, name).toBe(kind.name);
      expect(Buffer.from(await own.source.read(own.offset, byteLength)).equals(await source.read(offset, byteLength)), name).toBe(true);
    }
    for (const key of ['tokens', 'token_type']) expect(ours.metadata.get(`tokenizer.ggml.${key}`)).toEqual(theirs.metadata.get(`tokenizer.ggml.${key}`));
  });
});

describe('what cannot be written', () => {
  test.each([
    [{ model_type: 'bert' }, 'E_ARCHITECTURE'],
    [{ rope_scaling: { rope_type: 'dynamic', factor: 4 } }, 'E_CONFIG'],
    [{ rope_scaling: { rope_type: 'yarn', factor: 4, truncate: false } }, 'E_CONFIG'],
    [{ hidden_act: 'relu' }, 'E_CONFIG'],
  ])('%j is named', async (change, code) => {
    const folder = await openHuggingFaceFolder(openFolder(join(fixtures, 'llama/gqa')));
    expect(() => ggufLayout({ ...folder, config: { ...folder.config, rope_parameters: null, ...change } })).toThrow(expect.objectContaining({ code }) as Error);
  });

  test('a tokenizer of another kind', async () => {
    const folder = await openHuggingFaceFolder(openFolder(join(fixtures, 'llama/gqa')));
    expect(() => ggufLayout({ ...folder, tokenizer: { tokenizerJson: { model: { type: 'Unigram' } } } })).toThrow(/Unigram/);
  });
});

describe('the name of a pre-tokenizer', () => {
  const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
  const split = (Regex: string): object => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });
  const gpt4 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

  test.each([
    ['gpt-2', { ...bytes, use_regex: true }, false],
    ['starcoder', { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, { ...bytes, use_regex: true }] }, false],
    ['llama-bpe', { type: 'Sequence', pretokenizers: [split(gpt4), bytes] }, true],
    ['dbrx', { type: 'Sequence', pretokenizers: [split(gpt4), bytes] }, false],
  ] as const)('%s', async (name, pre, ignore) => {
    const folder = await openHuggingFaceFolder(openFolder(join(fixtures, 'llama/gqa')));
    const tokenizerJson = { added_tokens: [], pre_tokenizer: pre, model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: [['a', 'b']], ignore_merges: ignore } };
    const [layout] = ggufLayout({ ...folder, tokenizer: { tokenizerJson } }, {});
    expect((await openGguf(memorySource(await layoutToBytes(layout!)))).metadata.get('tokenizer.ggml.pre')).toBe(name);
  });

  test('none is named', async () => {
    const folder = await openHuggingFaceFolder(openFolder(join(fixtures, 'llama/gqa')));
    const tokenizerJson = { pre_tokenizer: { type: 'Sequence', pretokenizers: [split('x+'), bytes] }, model: { type: 'BPE', vocab: { a: 0 }, merges: [] } };
    expect(() => ggufLayout({ ...folder, tokenizer: { tokenizerJson } })).toThrow(/pre-tokenizer/);
  });
});

test('BF16 matrices', async () => {
  const folder = await openHuggingFaceFolder(openFolder(join(fixtures, 'llama/llama3-bfloat')));
  expect(maxDifference(await logits(await throughGguf(folder, 'BF16')), await logits(folder))).toBeLessThan(1e-5);
});
