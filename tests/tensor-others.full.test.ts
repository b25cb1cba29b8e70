/** Models of others cut into shards against the same models whole. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { denseOf, memorySource, type Model } from '@penjing/core';
import { convertHuggingFace, openHuggingFaceFolder, readOnnx } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { runRecipe } from '@penjing/recipe';
import { randomFeeds } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decoderFeeds } from './support/decoder-feeds.js';
import { shardedCases } from './support/sharded-case.js';
import { testData } from './tools/test-data.js';

const convert = async (folder: string): Promise<Model> => convertHuggingFace(await openHuggingFaceFolder(openFolder(folder)));
const on = (...shards: number[]) => shards.map((count) => ({ shards: count }));

describe.skipIf(!testData)('models of others', () => {
  const of = (...parts: string[]): string => join(testData!, 'models', ...parts);
  let scratch = '';
  beforeAll(async () => void (scratch = await mkdtemp(join(tmpdir(), 'penjing-shards-'))));
  afterAll(() => rm(scratch, { recursive: true, force: true }));

  const open = async (path: string): Promise<Model> => readOnnx(memorySource(readFileSync(path)));
  const converted = async (...parts: string[]): Promise<Model> => {
    const output = join(scratch, `${parts.at(-1)!}.onnx`);
    await runRecipe({ input: of(...parts), output, steps: [] }, { check: false });
    return open(output);
  };
  const agree = async (model: Model, shards = [2, 3, 4, 8], shapes: Readonly<Record<string, readonly number[]>> = {}): Promise<void> => {
    const feeds = randomFeeds(model.graph.inputs.filter(({ tensor }) => !tensor).map(({ name, type }) => ({ name, type: type! })), { shapes });
    for (const { sharded, difference } of await shardedCases(model, feeds, on(...shards))) expect([sharded.shards, difference < 1e-5, difference]).toEqual([sharded.shards, true, difference]);
  };

  test.each([
    ['dtln', 'model_1.onnx'], ['magika', 'model.onnx'], ['mnist', 'burn-mnist.onnx'], ['mnist', 'mnist-cntk.onnx'], ['super-resolution', 'pytorch_super_resolution.onnx'],
    ['ultraface', 'version-RFB-320.onnx'],
  ] as const)('%s/%s', async (folder, file) => agree(await open(of(folder, file)), folder === 'super-resolution' ? [2, 3] : [2, 3, 4, 8]));

  test.each([['resnet20-cifar10', 'resnet20.pt2'], ['tflite', 'pretrainedResnet.tflite'], ['tflite', 'kws_ref_model.tflite']] as const)('%s/%s', async (folder, file) => agree(await converted(folder, file)));

  test('silero-vad: what is in branches runs whole', async () => {
    const model = await open(of('silero-vad', 'silero_vad.onnx'));
    const feeds = { ...randomFeeds(model.graph.inputs.map(({ name, type }) => ({ name, type: type! })), { shapes: { input: [1, 576], state: [2, 1, 128] } }), sr: denseOf('int64', [], [16_000]) };
    for (const { sharded, difference } of await shardedCases(model, feeds, on(2))) expect([sharded.layers, difference]).toEqual([[], 0]);
  });

  test('stories260K', async () => {
    const model = await convert(of('stories260k', 'hf'));
    for (const { difference } of await shardedCases(model, decoderFeeds(model, { vocab: 500 }), on(2, 3, 4, 8))) expect(difference).toBeLessThan(1e-5);
  });

  test('tiny-t5', async () => {
    const output = join(scratch, 'tiny-t5');
    await runRecipe({ input: of('tiny-t5'), output, steps: [{ convert: {} }] }, { check: false });
    for (const file of readdirSync(join(output, 'onnx')).filter((name) => name.endsWith('.onnx'))) await agree(await open(join(output, 'onnx', file)), [2, 3, 4]);
  });
});
