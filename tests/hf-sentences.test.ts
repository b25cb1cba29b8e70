/** Converted sentence embedders against what sentence-transformers computed with the same folders. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertSound, DenseTensor, type PenjingError } from '@penjing/core';
import { convertHuggingFace, type ConvertHuggingFaceOptions, type HuggingFaceFolder, openHuggingFaceFolder, type Task } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { maxDifference } from './support/hf-decoder.js';
import { type RecordedRun, recordedRuns } from './support/hf-recorded.js';
import { TestSession } from './support/ort-session.js';

const fixtures = fileURLToPath(new URL('./fixtures', import.meta.url));
const TOLERANCE = 1e-4;

interface Case {
  readonly name: string;
  readonly class: string;
  readonly causal?: boolean;
}
const { cases } = JSON.parse(readFileSync(join(fixtures, 'sentences', 'cases.json'), 'utf8')) as { readonly cases: readonly Case[] };

const open = (name: string): Promise<HuggingFaceFolder> => openHuggingFaceFolder(openFolder(join(fixtures, name)));

async function load({ name }: Case, options: ConvertHuggingFaceOptions = {}): Promise<TestSession> {
  const model = await convertHuggingFace(await open(`sentences/${name}`), options);
  assertSound(model);
  // ONNX Runtime for Node passes no optional inputs on: it must be one that has to be given
  model.graph.initializers.delete('prompt_length');
  return TestSession.load(model);
}

async function recorded({ name }: Case): Promise<ReadonlyMap<string, RecordedRun>> {
  const runs = await recordedRuns(join(fixtures, 'sentences', name, 'expected.safetensors'), 'sentence-similarity');
  if (name !== 'bert-prompt') return runs;
  return new Map([...runs].map(([run, { inputs, outputs }]) => [run, { inputs: { prompt_length: DenseTensor.of('int64', [1], BigInt64Array.of(0n)), ...inputs }, outputs }]));
}

const floats = ({ data, shape }: DenseTensor): { data: Float32Array; shape: readonly number[] } => ({ data: data as Float32Array, shape });

async function worst(session: TestSession, { inputs, outputs }: RecordedRun, { causal }: Case): Promise<number> {
  const actual = await session.run(inputs);
  const mask = inputs['attention_mask']!;
  const kept = causal ? { data: mask.data as BigInt64Array, shape: mask.shape } : undefined;
  return Math.max(
    ...Object.entries(outputs).map(([name, expected]) => {
      expect([name, ...actual[name]!.shape]).toEqual([name, ...expected.shape]);
      return maxDifference(floats(actual[name]!), floats(expected), expected.shape.length === 3 ? kept : undefined);
    }),
  );
}

describe('the embeddings of sentence-transformers', () => {
  test.each(cases)('$name: $class', async (row) => {
    await using session = await load(row);
    expect(session.outputs).toEqual(['token_embeddings', 'sentence_embedding']);
    for (const [run, each] of await recorded(row)) {
      const difference = await worst(session, each, row);
      expect([run, difference]).toEqual([run, expect.toSatisfy((value: number) => value < TOLERANCE, `below ${TOLERANCE}`)]);
    }
  });

  test.each(cases)('$name: in float16 stays close', async (row) => {
    await using session = await load(row, { dtype: 'float16' });
    for (const each of (await recorded(row)).values()) expect(await worst(session, each, row)).toBeLessThan(0.1);
  });

  test.each(cases)('$name: in opset 18 and operators of ai.onnx only', async (row) => {
    await using session = await load(row, { opset: 18, attention: 'standard' });
    for (const each of (await recorded(row)).values()) expect(await worst(session, each, row)).toBeLessThan(TOLERANCE);
  });

  test.each(cases)('$name: a row of nothing but padding stays finite and leaves the others alone', async (row) => {
    const { inputs, outputs } = (await recorded(row)).get('right')!;
    const mask = inputs['attention_mask']!;
    const [batch, width] = mask.shape as [number, number];
    const nothing = BigInt64Array.from(mask.data as BigInt64Array, (keep, i) => (i >= (batch - 1) * width ? 0n : keep));
    await using session = await load(row);
    const actual = floats((await session.run({ ...inputs, attention_mask: DenseTensor.of('int64', mask.shape, nothing) }))['sentence_embedding']!);
    const wanted = floats(outputs['sentence_embedding']!);
    expect(actual.data.every(Number.isFinite)).toBe(true);
    const others = (actual.data.length / batch) * (batch - 1);
    expect(maxDifference({ ...actual, data: actual.data.subarray(0, others) }, { ...wanted, data: wanted.data.subarray(0, others) })).toBeLessThan(TOLERANCE);
  });
});

test('clients that know nothing of prompts need not mention them', async () => {
  const model = await convertHuggingFace(await open('sentences/bert-prompt'));
  expect(model.graph.inputs.map(({ name }) => name)).toEqual(['input_ids', 'attention_mask', 'token_type_ids', 'prompt_length']);
  await using session = await TestSession.load(model);
  expect(session.inputs).not.toContain('prompt_length');
  const { inputs, outputs } = (await recordedRuns(join(fixtures, 'sentences/bert-prompt/expected.safetensors'), 'sentence-similarity')).get('left')!;
  const { sentence_embedding: got } = await session.run(inputs);
  expect(maxDifference(floats(got!), floats(outputs['sentence_embedding']!))).toBeLessThan(TOLERANCE);
});

describe('what is said is done', () => {
  const failure = (folder: HuggingFaceFolder, options: ConvertHuggingFaceOptions): Promise<PenjingError> =>
    convertHuggingFace(folder, options).then(() => expect.fail('it did not throw'), (error: PenjingError) => error);
  const embeds: Task = 'sentence-similarity';

  test('a pooling that the options name makes an embedder of any network of text', async () => {
    const plain = { ...(await open('sentences/bert-mean')), modules: undefined } as unknown as HuggingFaceFolder;
    const row = cases.find(({ name }) => name === 'bert-mean')!;
    await using session = await TestSession.load(await convertHuggingFace(plain, { pooling: 'mean', normalize: true }));
    for (const each of (await recorded(row)).values()) expect(await worst(session, each, row)).toBeLessThan(TOLERANCE);
  });

  test('another task of the folder is still to be had', async () => {
    const model = await convertHuggingFace(await open('sentences/bert-flags'), { task: 'fill-mask' });
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(['logits']);
  });

  test.each<[string, ConvertHuggingFaceOptions, string, RegExp]>([
    ['encoders/bert-bare', { task: embeds }, 'E_TASK', /bert-bare has no modules\.json/],
    ['encoders/bert-bare', { task: embeds, normalize: true }, 'E_OPTION', /normalize/],
    ['encoders/bert-bare', { pooling: 'middle' as 'mean' }, 'E_OPTION', /pooling middle/],
    ['encoders/bert-bare', { task: 'feature-extraction', pooling: 'mean' }, 'E_OPTION', /sentence-similarity/],
    ['encoders/vit-bare', { task: embeds }, 'E_TASK', /ViTModel/],
    ['encoders/clip', { pooling: 'mean' }, 'E_TASK', /CLIPModel/],
  ])('%s with %o: %s', async (name, options, code, message) => {
    expect(await failure(await open(name), options)).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });
});
