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
  /** A decoder: what it computes for padding is not recorded. */
  readonly causal?: boolean;
}
const { cases } = JSON.parse(readFileSync(join(fixtures, 'cases.json'), 'utf8')) as { readonly cases: readonly Case[] };
interface Row {
  readonly name: string;
  readonly kind: string;
  readonly task: Task;
  /** What the class was trained for, so that nobody needs to say it. */
  readonly own: boolean;
  readonly causal: boolean;
}
const rows: readonly Row[] = cases.flatMap(({ name, class: kind, tasks, causal = false }) => tasks.map((task, i) => ({ name, kind, task, own: i === 0, causal })));

async function graphs(name: string, options: ConvertHuggingFaceOptions): Promise<ReadonlyMap<string, Model>> {
  return convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(join(fixtures, name))), options);
}

/** The graphs of a model, to be asked by the names of their inputs. */
class Sessions implements AsyncDisposable {
  readonly #sessions: readonly TestSession[];

  constructor(sessions: readonly TestSession[]) {
    this.#sessions = sessions;
  }

  /** The graph that takes exactly these inputs. */
  for({ inputs }: RecordedRun): TestSession {
    const wanted = Object.keys(inputs).sort(byPort).join(', ');
    const session = this.#sessions.find((each) => each.inputs.join(', ') === wanted);
    return session ?? expect.fail(`no graph takes ${wanted}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session[Symbol.asyncDispose]();
  }
}

async function load({ name, task, own }: Row, options: ConvertHuggingFaceOptions = {}): Promise<Sessions> {
  const models = [...(await graphs(name, { ...options, ...(own ? {} : { task }) })).values()];
  for (const model of models) assertSound(model);
  return new Sessions(await Promise.all(models.map((model) => TestSession.load(model))));
}

const recordedOf = ({ name, task }: Row): Promise<ReadonlyMap<string, RecordedRun>> => recordedRuns(join(fixtures, name, 'expected.safetensors'), task);

async function worst(session: TestSession, { inputs, outputs }: RecordedRun, { causal }: Row): Promise<number> {
  const mask = causal ? inputs['attention_mask'] : undefined;
  const actual = await session.run(inputs);
  const differences = Object.entries(outputs).map(([name, expected]) => {
    const got = actual[name]!;
    expect([name, ...got.shape]).toEqual([name, ...expected.shape]);
    // (batch, seq, …): a decoder may compute anything for padding
    const byToken = mask && expected.shape.slice(0, 2).join() === mask.shape.join();
    const wide = ({ data, shape }: DenseTensor) => ({ data: data as Float32Array, shape: byToken && shape.length === 2 ? [...shape, 1] : shape });
    return maxDifference(wide(got), wide(expected), byToken ? { data: mask.data as BigInt64Array, shape: mask.shape } : undefined);
  });
  return Math.max(...differences);
}

const floats = ({ data, shape }: DenseTensor): { data: Float32Array; shape: readonly number[] } => ({ data: data as Float32Array, shape });

describe('the outputs of transformers', () => {
  test.each(rows)('$name: $kind, $task', async (row) => {
    const runs = await recordedOf(row);
    await using sessions = await load(row);
    for (const [run, recorded] of runs) {
      const session = sessions.for(recorded);
      expect([...session.outputs].sort()).toEqual(Object.keys(recorded.outputs).sort());
      expect([run, await worst(session, recorded, row)]).toEqual([run, below(TOLERANCE)]);
    }
  });
});

const texts = rows.filter(({ name, task }) => task === 'feature-extraction' && !/^(clip|siglip)/.test(name));

test.each(texts)('$name: a row of nothing but padding stays finite and leaves the others alone', async (row) => {
  const recorded = (await recordedOf(row)).get('right')!;
  const { inputs, outputs } = recorded;
  await using sessions = await load(row);
  const mask = inputs['attention_mask']!;
  const [batch, width] = mask.shape as [number, number];
  const nothing = BigInt64Array.from(mask.data as BigInt64Array, (keep, i) => (i >= (batch - 1) * width ? 0n : keep));
  const actual = await sessions.for(recorded).run({ ...inputs, attention_mask: DenseTensor.of('int64', mask.shape, nothing) });
  const got = floats(actual['last_hidden_state']!);
  const want = floats(outputs['last_hidden_state']!);
  expect(got.data.every(Number.isFinite)).toBe(true);
  const others = (got.data.length / batch) * (batch - 1);
  const kept = row.causal ? { data: mask.data as BigInt64Array, shape: mask.shape } : undefined;
  expect(maxDifference({ ...got, data: got.data.subarray(0, others) }, { ...want, data: want.data.subarray(0, others) }, kept)).toBeLessThan(TOLERANCE);
});

describe('other forms', () => {
  // one case of every architecture, by its family's name
  const some = [...new Map([...rows].reverse().map((row) => [row.name.split('-')[0], row])).values()];

  test.each(some)('$name: in float16 stays close', async (row) => {
    await using sessions = await load(row, { dtype: 'float16' });
    for (const recorded of (await recordedOf(row)).values()) expect(await worst(sessions.for(recorded), recorded, row)).toBeLessThan(0.1);
  });

  test.each(rows.filter(({ causal }) => causal))('$name, $task: in operators of ai.onnx only', async (row) => {
    await using sessions = await load(row, { attention: 'standard' });
    for (const recorded of (await recordedOf(row)).values()) expect(await worst(sessions.for(recorded), recorded, row)).toBeLessThan(TOLERANCE);
  });

  test.each(some)('$name: in opset 18', async (row) => {
    await using sessions = await load(row, { opset: 18 });
    for (const recorded of (await recordedOf(row)).values()) expect(await worst(sessions.for(recorded), recorded, row)).toBeLessThan(TOLERANCE);
  });
});

/** Matches numbers below `limit`. */
function below(limit: number): number {
  return expect.toSatisfy((value: number) => value < limit, `below ${limit}`) as number;
}

/** As graphs order inputs. */
function byPort(a: string, b: string): number {
  const order = ['input_ids', 'attention_mask', 'token_type_ids', 'pixel_values'];
  return order.indexOf(a) - order.indexOf(b);
}
