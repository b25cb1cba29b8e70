/** Models to run as layouts, with feeds of a batch, and the layouts; for what must not change a bit. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DenseTensor, type Engine, type Executor, type Feeds, type Fetches, inferShapes, type Model } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { fileSource, openExternalFile } from '@penjing/graph-io/node';
import { cutStages, type Layout } from '@penjing/parallel';
import { openLayout } from '@penjing/parallel/node';
import { runRecipe } from '@penjing/recipe';
import { randomFeeds } from '@penjing/runtime';
import { expect } from 'vitest';
import { fixturePath } from './task-folder.js';
import { testData } from '../tools/test-data.js';

export interface LayoutCase {
  readonly name: string;
  /** An .onnx file or what becomes one. */
  readonly input: string;
  readonly task?: string;
  /** Sizes by symbol, apart from the batch. */
  readonly sizes?: Readonly<Record<string, number>>;
  /** Batches to try; of 1, 3, 8 and 33 rows when absent. */
  readonly rows?: readonly number[];
}

const DECODING = { sequence_length: 1, past_sequence_length: 5, total_sequence_length: 6 };
const real = (...parts: string[]): string => join(testData ?? '', 'models', ...parts);

/** Of this repository. */
export const ownCases: readonly LayoutCase[] = [
  { name: 'sapling', input: fileURLToPath(new URL('../../models/sapling', import.meta.url)), sizes: DECODING },
  { name: 'mixtral', input: fixturePath('decoders', 'mixtral'), sizes: DECODING },
];

/** Models of others whose batch is not fixed in their file. */
const others: readonly LayoutCase[] = [
  { name: 'stories260k', input: real('stories260k', 'hf'), sizes: DECODING },
  { name: 'stories260k, whole texts', input: real('stories260k', 'hf'), task: 'feature-extraction', sizes: { sequence_length: 7 } },
  { name: 'tiny-t5', input: real('tiny-t5'), task: 'feature-extraction', sizes: { encoder_sequence_length: 7 } },
  { name: 'resnet20', input: real('resnet20-cifar10', 'resnet20.pt2') },
  { name: 'keyword spotting', input: real('tflite', 'kws_ref_model_float32.tflite') },
  { name: 'super resolution', input: real('super-resolution', 'pytorch_super_resolution.onnx'), rows: [1, 3] },
];
export const realCases = others.filter(({ input }) => testData !== undefined && existsSync(input));

export interface OpenCase {
  readonly path: string;
  readonly model: Model;
  readonly feeds: (rows: number) => Feeds;
}

export async function openCase({ input, task, sizes = {} }: LayoutCase, scratch: string): Promise<OpenCase> {
  const folder = existsSync(join(input, 'config.json'));
  const output = join(scratch, folder ? 'model' : 'model.onnx');
  const path = input.endsWith('.onnx') ? input : folder ? join(output, 'onnx', 'model.onnx') : output;
  if (!existsSync(path)) await runRecipe({ input, output, steps: folder ? [{ convert: task ? { task } : {} }] : [] }, { check: false });
  const model = await readOnnx(await fileSource(path), { externalSource: (location) => openExternalFile(join(path, '..'), location) });
  return { path, model, feeds: (rows) => feedsOf(model, rows, sizes) };
}

/** Random, but tokens and places that there are, and nothing masked. */
function feedsOf({ graph }: Model, rows: number, sizes: Readonly<Record<string, number>>): Feeds {
  const inputs = graph.inputs.filter((value) => !value.tensor).map(({ name, type }) => ({ name, type: type! }));
  const shapes = Object.fromEntries(inputs.map(({ name, type }) => [name, (type.kind === 'tensor' ? (type.shape ?? []) : []).map((dim) => (typeof dim === 'number' ? dim : /batch/.test(dim ?? '') ? rows : (sizes[dim ?? ''] ?? 1)))]));
  const feeds = randomFeeds(inputs, { shapes, seed: rows });
  const integers: Readonly<Record<string, (i: number) => number>> = { input_ids: (i) => (i * 7) % 90, attention_mask: () => 1, position_ids: () => sizes['past_sequence_length'] ?? 0 };
  for (const [name, valueAt] of Object.entries(integers)) {
    const tensor = feeds[name];
    if (tensor?.kind === 'dense') (tensor.data as BigInt64Array).forEach((_, i, data) => (data[i] = BigInt(valueAt(i))));
  }
  return feeds;
}

const device: Layout = { kind: 'device', device: 'cpu', threads: 1 };

export const replicas = (count: number, of: Layout = device): Layout => ({ kind: 'data', reduction: 'concat', replicas: Array.from({ length: count }, () => of) });

export function stages(model: Model, count: number, microBatches: number, of: Layout = device): Layout {
  return { kind: 'pipeline', microBatches, stages: cutStages(typed(model), { stages: count }).map((part) => ({ ...part, layout: of })) };
}

/** The parts of a pipeline as tasks: what one gives, others take. */
export function tasks(model: Model, count: number): Layout {
  return { kind: 'tasks', parts: cutStages(typed(model), { stages: count }).map((part) => ({ ...part, layout: device })) };
}

function typed(model: Model): Model {
  inferShapes(model);
  return model;
}

export async function expectSameBits(single: Executor, { model, feeds }: OpenCase, layout: Layout, engine: Engine, rows: readonly number[]): Promise<void> {
  await using executor = await openLayout(model, layout, { engine });
  for (const count of rows) {
    const given = feeds(count);
    const [expected, found] = [await single.run(given), await executor.run(given)];
    expect(Object.keys(found)).toEqual(Object.keys(expected));
    for (const name of Object.keys(expected)) expect(differences(found[name]!, expected[name]!), `${name} of ${count} rows`).toBe(0);
  }
}

type AnyTensor = Fetches[string];

function differences(a: AnyTensor, b: AnyTensor): number {
  expect(a.shape).toEqual(b.shape);
  const [x, y] = [(a as DenseTensor).bytes, (b as DenseTensor).bytes];
  let count = 0;
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) count++;
  return count;
}
