/** Recipes of one step, run by this machine and by two workers of a fleet in this process. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { createRng, denseOf, GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { memoryQueue } from '@penjing/parallel';
import { runRecipe } from '../../run-recipe.js';
import type { RecipeStep } from '../../steps/steps.js';
import type { Fleet } from '../fleet-jobs.js';
import { runWorker } from '../run-worker.js';
import { openRoots } from '../shared-roots.js';

const WIDTH = 32;
const CLASSES = 4;

export function network(layers: number, seed: number): Model {
  const rng = createRng(seed);
  const normal = (count: number): number[] => Array.from({ length: count }, () => rng.normal() / 6);
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  let x = b.input('x', tensorType('float32', ['n', WIDTH]));
  for (let i = 0; i < layers; i++) x = b.op('Relu', [b.op('MatMul', [x, b.initializer(`w${i}`, denseOf('float32', [WIDTH, WIDTH], normal(WIDTH ** 2)))])]);
  b.output(b.op('MatMul', [x, b.initializer('head', denseOf('float32', [WIDTH, CLASSES], normal(WIDTH * CLASSES)))], {}, { outputs: ['logits'] }), 'logits', tensorType('float32', ['n', CLASSES]));
  return model;
}

/** `model.onnx`, `teacher.onnx` and `data.jsonl`. */
export async function writeFleetFiles(folder: string): Promise<void> {
  await saveFile(join(folder, 'model.onnx'), serializeOnnx(network(3, 1)));
  await saveFile(join(folder, 'teacher.onnx'), serializeOnnx(network(4, 2)));
  const rng = createRng(5);
  const row = (): number[] => Array.from({ length: WIDTH }, () => rng.normal());
  writeFileSync(join(folder, 'data.jsonl'), Array.from({ length: 40 }, (_, i) => JSON.stringify({ x: [row()], label: i % CLASSES })).join('\n'));
}

export interface ComparedRun {
  readonly alone: Buffer;
  readonly together: Buffer;
  /** Jobs that workers were given, by name. */
  readonly jobs: readonly string[];
}

export interface TestFleet {
  run(name: string, step: RecipeStep): Promise<ComparedRun>;
  /** Ends the workers; how many jobs have failed. */
  end(): Promise<number>;
}

/** A fleet for the tests of a file, over a folder that has what `writeFleetFiles` writes; no job may fail. */
export function fleetOfFile(): { readonly folder: string; readonly run: TestFleet['run'] } {
  const folder = mkdtempSync(join(tmpdir(), 'penjing-fleet-'));
  let fleet: TestFleet;
  beforeAll(async () => {
    await writeFleetFiles(folder);
    fleet = await startFleet(folder);
  });
  afterAll(async () => {
    expect(await fleet.end()).toBe(0);
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, run: (name, step) => fleet.run(name, step) };
}

async function startFleet(folder: string): Promise<TestFleet> {
  const queue = memoryQueue();
  const roots = await openRoots([folder]);
  const stop = new AbortController();
  const workers = [1, 2].map(() => runWorker({ queue, roots, threads: 1, signal: stop.signal }));
  const bytesOf = async (output: string, step: RecipeStep, fleet?: Fleet): Promise<Buffer> => {
    await runRecipe({ input: join(folder, 'model.onnx'), output: join(folder, output), steps: [step] }, { check: false, threads: 1, seed: 3, fleet });
    return readFileSync(join(folder, output));
  };
  return {
    async run(name, step) {
      const jobs: string[] = [];
      const counted: Fleet = { roots, queue: { ...queue, publish: (run, job, until) => (jobs.push((job.spec as { job: string }).job), queue.publish(run, job, until)) } };
      const alone = await bytesOf(`${name}-alone.onnx`, step);
      return { alone, together: await bytesOf(`${name}-together.onnx`, step, counted), jobs };
    },
    async end() {
      stop.abort();
      const summaries = await Promise.all(workers);
      await queue[Symbol.asyncDispose]();
      return summaries.reduce((sum, { failed }) => sum + failed, 0);
    },
  };
}
