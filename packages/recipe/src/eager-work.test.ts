/** Runs whose steps compute before the save: resumed to the same bytes, nothing left behind, refused before any work is done. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng, denseOf, GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runRecipe, type RunRecipeOptions } from './run-recipe.js';

const WIDTH = 32;
let folder: string;
let input: string;
let data: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-eager-'));
  input = join(folder, 'model.onnx');
  const rng = createRng(3);
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  let x = b.input('x', tensorType('float32', ['n', WIDTH]));
  for (let i = 0; i < 3; i++) x = b.op('Relu', [b.op('MatMul', [x, b.initializer(`w${i}`, denseOf('float32', [WIDTH, WIDTH], Array.from({ length: WIDTH ** 2 }, () => rng.normal())))])]);
  b.output(x, 'y', tensorType('float32', ['n', WIDTH]));
  await saveFile(input, serializeOnnx(model));
  data = await samples('data.jsonl', Array.from({ length: 40 }, () => ({ x: [Array.from({ length: WIDTH }, () => rng.normal())] })));
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

async function samples(name: string, lines: readonly object[]): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, lines.map((line) => JSON.stringify(line)).join('\n'));
  return path;
}

function gptq(output: string, from: string, options: RunRecipeOptions = {}): ReturnType<typeof runRecipe> {
  return runRecipe({ input, output: join(folder, output), steps: [{ quantize: { method: 'gptq', blockSize: 16, data: from } }] }, { check: false, ...options });
}

describe('eager steps', () => {
  test('are resumed to the same bytes after a run that was cut off, and leave nothing behind', async () => {
    const { records } = await gptq('whole.onnx', data);
    expect(records.map(({ method }) => method.split(' ')[0])).toEqual(['gptq', 'gptq', 'gptq']);
    expect(existsSync(join(folder, 'whole.onnx.penjing'))).toBe(false);
    const controller = new AbortController();
    const cut = gptq('cut.onnx', data, { signal: controller.signal, onProgress: ({ phase, done }) => phase === 'calibrate' && done > 0 && controller.abort(new Error('cut off')) });
    await expect(cut).rejects.toThrow('cut off');
    expect(existsSync(join(folder, 'cut.onnx'))).toBe(false);
    expect((await readdir(join(folder, 'cut.onnx.penjing/spills'))).length).toBeGreaterThan(0);
    await gptq('cut.onnx', data, { resume: true });
    expect(Buffer.compare(await readFile(join(folder, 'cut.onnx')), await readFile(join(folder, 'whole.onnx')))).toBe(0);
    expect(existsSync(join(folder, 'cut.onnx.penjing'))).toBe(false);
  });

  test('go on behind the last layer that was finished', async () => {
    const results = join(folder, 'killed.onnx.penjing/results');
    const times = async (): Promise<Map<string, number>> => new Map(await Promise.all((await readdir(results)).map(async (name) => [name, (await stat(join(results, name))).mtimeMs] as const)));
    const controller = new AbortController();
    const cut = gptq('killed.onnx', data, { signal: controller.signal, onProgress: ({ phase, done, unit }) => phase === 'calibrate' && unit === 'blocks' && done === 2 && controller.abort(new Error('cut off')) });
    await expect(cut).rejects.toThrow('cut off');
    const before = await times();
    expect(before.size).toBe(2);
    // Another run of another recipe takes nothing from it; here the same one goes on.
    let after = new Map<string, number>();
    await gptq('killed.onnx', data, { resume: true, verify: async () => void (after = await times()) });
    expect(after.size).toBe(3);
    for (const [name, time] of before) expect(after.get(name)).toBe(time);
    expect(Buffer.compare(await readFile(join(folder, 'killed.onnx')), await readFile(join(folder, 'whole.onnx')))).toBe(0);
  });

  test('gather again what another recipe needs, resumed in the same folder', async () => {
    const controller = new AbortController();
    const cut = gptq('other.onnx', data, { signal: controller.signal, onProgress: ({ phase, done, unit }) => phase === 'calibrate' && unit === 'blocks' && done === 2 && controller.abort(new Error('cut off')) });
    await expect(cut).rejects.toThrow('cut off');
    const step = (path: string, options: RunRecipeOptions) => runRecipe({ input, output: join(folder, path), steps: [{ quantize: { method: 'gptq', bits: 2, blockSize: 16, data } }] }, { check: false, ...options });
    await step('other.onnx', { resume: true });
    await step('whole2.onnx', {});
    expect(Buffer.compare(await readFile(join(folder, 'other.onnx')), await readFile(join(folder, 'whole2.onnx')))).toBe(0);
  });

  test('refuse an output that exists before they start', async () => {
    await writeFile(join(folder, 'there.onnx'), 'x');
    const phases = new Set<string>();
    await expect(gptq('there.onnx', data, { onProgress: ({ phase }) => phases.add(phase) })).rejects.toMatchObject({ code: 'E_EXISTS' });
    expect([...phases]).toEqual([]);
  });

  test('name data that does not fit, and write nothing', async () => {
    const cases: [object[], RegExp][] = [
      [[{ z: [1] }], /misses the input x: it has z/],
      [[{ x: [[1, 2, 3]] }], /has x as \[1, 3\], the model reads \[n, 32\]/],
      [[], /is empty/],
    ];
    for (const [i, [lines, message]] of cases.entries()) {
      await expect(gptq(`bad${i}.onnx`, await samples(`bad${i}.jsonl`, lines))).rejects.toThrow(message);
      expect((await readdir(folder)).filter((name) => name.startsWith(`bad${i}.onnx`))).toEqual([]);
    }
  });

  test('go on with one sample, and with activations that are no numbers, and say so', async () => {
    const one = await gptq('one.onnx', await samples('one.jsonl', [{ x: [Array.from({ length: WIDTH }, (_, i) => i - 16)] }]));
    expect(one.records.every(({ objective }) => Number.isFinite(objective))).toBe(true);
    const huge = await gptq('huge.onnx', await samples('huge.jsonl', [{ x: [Array.from({ length: WIDTH }, () => 3e38)] }]));
    expect(huge.records.some(({ note }) => /rounded to the nearest: .*not finite/.test(note ?? ''))).toBe(true);
  });

  test('name random numbers in records and warnings', async () => {
    const { records, warnings } = await gptq('random.onnx', 'random:4');
    expect(records.every(({ note }) => note?.includes('random numbers'))).toBe(true);
    expect(warnings.join()).toMatch(/random numbers/);
  });
});
