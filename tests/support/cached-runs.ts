/** Recipes of one calibrated step on a small chain of layers, run twice with one calibration cache. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRng, denseOf, GraphBuilder, Model, type Rng, tensorType } from '@penjing/core';
import { type RecipeStep, runRecipe } from '@penjing/recipe';
import { expect } from 'vitest';

export const WIDTH = 32;

export function normal(rng: Rng, count: number): number[] {
  return Array.from({ length: count }, () => rng.normal());
}

export function chain(seed = 3): Model {
  const rng = createRng(seed);
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  let x = b.input('x', tensorType('float32', ['n', WIDTH]));
  for (let i = 0; i < 3; i++) x = b.op('Relu', [b.op('MatMul', [x, b.initializer(`w${i}`, denseOf('float32', [WIDTH, WIDTH], normal(rng, WIDTH ** 2)))])]);
  b.output(x, 'y', tensorType('float32', ['n', WIDTH]));
  return model;
}

export async function writeSamples(path: string, seed: number): Promise<void> {
  const rng = createRng(seed);
  await writeFile(path, Array.from({ length: 40 }, () => JSON.stringify({ x: [normal(rng, WIDTH)] })).join('\n'));
}

type Run = (step: RecipeStep, output: string, data?: string) => Promise<{ readonly bytes: Buffer; readonly notes: readonly string[] }>;

/** Runs a step on `model.onnx` of a folder with `data.jsonl` and `recipes.cache` there. */
export function cachedRuns(folder: string): Run {
  return async (step, output, data = 'data.jsonl') => {
    const notes: string[] = [];
    const [[name, options]] = Object.entries(step) as [[string, object]];
    const calibrated = { [name]: { ...options, data: join(folder, data), cache: join(folder, 'recipes.cache') } } as unknown as RecipeStep;
    await runRecipe({ input: join(folder, 'model.onnx'), output: join(folder, output), steps: [calibrated] }, { check: false, force: true, onNote: (note) => notes.push(note) });
    expect(existsSync(join(folder, `${output}.penjing`))).toBe(false);
    return { bytes: await readFile(join(folder, output)), notes };
  };
}

/** The second run of every step takes all statistics from the cache and writes the same bytes. */
export async function expectCached(run: Run, steps: Readonly<Record<string, RecipeStep>>): Promise<void> {
  for (const [name, step] of Object.entries(steps)) {
    const first = await run(step, `${name}-1.onnx`);
    const second = await run(step, `${name}-2.onnx`);
    expect([name, second.notes.join()]).toEqual([name, expect.stringMatching(/: all \d+ statistics came from .*recipes\.cache$/)]);
    expect([name, Buffer.compare(first.bytes, second.bytes)]).toEqual([name, 0]);
  }
}
