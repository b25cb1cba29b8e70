/** Converted encoders against what transformers computed with the same checkpoints. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertSound, DenseTensor, type Model } from '@penjing/core';
import { convertHuggingFaceGraphs, type ConvertHuggingFaceOptions, openHuggingFaceFolder, type Task } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { maxDifference } from './support/hf-decoder.js';
import { type RecordedRun, recordedRuns } from './support/hf-recorded.js';
import { TestSession } from './support/ort-session.js';

const fixtures = fileURLToPath(new URL('./fixtures/encoders', import.meta.url));
const TOLERANCE = 1e-4;

interface Case {
  readonly name: string;
  readonly class: string;
  /** The first is what the class was trained for. */
  readonly tasks: readonly Task[];
  readonly covers: readonly string[];
}
const { cases } = JSON.parse(readFileSync(join(fixtures, 'cases.json'), 'utf8')) as { readonly cases: readonly Case[] };
const rows = cases.flatMap(({ name, class: kind, tasks, covers }) => tasks.map((task, i) => ({ name, kind, task, own: i === 0, covers })));

async function graphs(name: string, options: ConvertHuggingFaceOptions): Promise<ReadonlyMap<string, Model>> {
  return convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(join(fixtures, name))), options);
}

async function load(name: string, options: ConvertHuggingFaceOptions = {}): Promise<TestSession> {
  const model = (await graphs(name, options)).get('model')!;
  assertSound(model);
  return TestSession.load(model);
}

async function worst(session: TestSession, { inputs, outputs }: RecordedRun): Promise<number> {
  const actual = await session.run(inputs);
  const differences = Object.entries(outputs).map(([name, expected]) => {
    const got = actual[name]!;
    expect([name, ...got.shape]).toEqual([name, ...expected.shape]);
    return maxDifference(floats(got), floats(expected));
  });
  return Math.max(...differences);
}

const floats = ({ data, shape }: DenseTensor): { data: Float32Array; shape: readonly number[] } => ({ data: data as Float32Array, shape });

describe('the outputs of transformers', () => {
  test.each(rows)('$name: $kind, $task', async ({ name, task, own }) => {
    const runs = await recordedRuns(join(fixtures, name, 'expected.safetensors'), task);
    await using encoder = await load(name, own ? {} : { task });
    const [first] = runs.values();
    expect(encoder.inputs).toEqual(Object.keys(first!.inputs).sort(byPort));
    expect([...encoder.outputs].sort()).toEqual(Object.keys(first!.outputs).sort());
    for (const [run, recorded] of runs) expect([run, await worst(encoder, recorded)]).toEqual([run, below(TOLERANCE)]);
  });
});

const texts = rows.filter(({ task }) => task === 'feature-extraction');

test.each(texts)('$name: a row of nothing but padding stays finite and leaves the others alone', async ({ name, task, own }) => {
  const runs = await recordedRuns(join(fixtures, name, 'expected.safetensors'), task);
  const { inputs, outputs } = runs.get('right')!;
  await using encoder = await load(name, own ? {} : { task });
  const mask = inputs['attention_mask']!;
  const [batch, width] = mask.shape as [number, number];
  const nothing = BigInt64Array.from(mask.data as BigInt64Array, (keep, i) => (i >= (batch - 1) * width ? 0n : keep));
  const actual = await encoder.run({ ...inputs, attention_mask: DenseTensor.of('int64', mask.shape, nothing) });
  const got = floats(actual['last_hidden_state']!);
  const want = floats(outputs['last_hidden_state']!);
  expect(got.data.every(Number.isFinite)).toBe(true);
  const others = (got.data.length / batch) * (batch - 1);
  expect(maxDifference({ ...got, data: got.data.subarray(0, others) }, { ...want, data: want.data.subarray(0, others) })).toBeLessThan(TOLERANCE);
});

describe('other forms', () => {
  // one case of every architecture, by its family's name
  const some = [...new Map(rows.map((row) => [row.name.split('-')[0], row])).values()];

  test.each(some)('$name: in float16 stays close', async ({ name, task, own }) => {
    const runs = await recordedRuns(join(fixtures, name, 'expected.safetensors'), task);
    await using encoder = await load(name, { dtype: 'float16', ...(own ? {} : { task }) });
    for (const recorded of runs.values()) expect(await worst(encoder, recorded)).toBeLessThan(0.1);
  });

  test.each(some)('$name: in opset 18', async ({ name, task, own }) => {
    const runs = await recordedRuns(join(fixtures, name, 'expected.safetensors'), task);
    await using encoder = await load(name, { opset: 18, ...(own ? {} : { task }) });
    for (const recorded of runs.values()) expect(await worst(encoder, recorded)).toBeLessThan(TOLERANCE);
  });
});

/** Matches numbers below `limit`. */
function below(limit: number): number {
  return expect.toSatisfy((value: number) => value < limit, `below ${limit}`) as number;
}

/** As Optimum orders inputs. */
function byPort(a: string, b: string): number {
  const order = ['input_ids', 'pixel_values', 'attention_mask', 'token_type_ids'];
  return order.indexOf(a) - order.indexOf(b);
}
