/** `prune`, `cluster` and `lowrank` on the command line: what they write, what they refuse, and that `simplify` leaves what they made compressed. */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng, type DenseTensor, denseOf, GraphBuilder, memorySource, Model, tensorType, toDense } from '@penjing/core';
import { readOnnx, serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { ortEngine } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-verbs-'));
  const rng = createRng(4);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number) => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / Math.sqrt(rows))));
  const h = b.op('Relu', [b.op('MatMul', [b.input('x', tensorType('float32', ['n', 64])), weight('up', 64, 128)])]);
  b.output(b.op('Identity', [b.op('Add', [b.op('MatMul', [h, weight('down', 128, 64)]), b.initializer('bias', denseOf('float32', [64], Array.from({ length: 64 }, () => rng.normal())))])]), 'y', tensorType('float32', ['n', 64]));
  await saveFile(at('in.onnx'), serializeOnnx(model, { name: 'in.onnx' }));
  const plain = new Model();
  plain.opsetImports.set('', 21);
  const c = new GraphBuilder(plain.graph);
  c.output(c.op('Relu', [c.input('x', tensorType('float32', ['n', 64]))]), 'y', tensorType('float32', ['n', 64]));
  await saveFile(at('weightless.onnx'), serializeOnnx(plain, { name: 'weightless.onnx' }));
  await writeFile(at('data.jsonl'), Array.from({ length: 6 }, () => JSON.stringify({ x: [Array.from({ length: 64 }, () => rng.normal())] })).join('\n'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const open = async (path: string): Promise<Model> => readOnnx(memorySource(await readFile(path)));
const bytes = async (path: string): Promise<number> => (await stat(path)).size;

async function outputs(path: string): Promise<Float32Array> {
  await using executor = await ortEngine().load(await open(path));
  const rng = createRng(9);
  return ((await executor.run({ x: denseOf('float32', [3, 64], Array.from({ length: 192 }, () => rng.normal())) })).y as DenseTensor).data as Float32Array;
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

/** The run as --json tells it; throws when it failed. */
async function made(...argv: string[]): Promise<{ records: { name: string; method: string; sparsity?: number; rank?: number; paletteBits?: number; note?: string }[] }> {
  const { code, stdout } = await run(...argv, '--json', '--quiet');
  if (code !== 0) throw new Error(stdout);
  return JSON.parse(stdout) as never;
}

describe('refused, and nothing is left on disk', () => {
  test.each<[argv: string[], code: string]>([
    [['prune', '--sparsity', '0'], 'E_RECIPE'],
    [['prune', '--sparsity', '1'], 'E_RECIPE'],
    [['prune', '--sparsity', '-0.5'], 'E_RECIPE'],
    [['prune'], 'E_OPTION'],
    [['prune', '--sparsity', 'half'], 'E_USAGE'],
    [['prune', '--sparsity', '0.5', '--pattern', '2:4'], 'E_OPTION'],
    [['prune', '--pattern', '4:4'], 'E_OPTION'],
    [['prune', '--pattern', '5:4'], 'E_OPTION'],
    [['prune', '--pattern', '2/4'], 'E_OPTION'],
    [['prune', '--pattern', '2:4', '--scope', 'global'], 'E_OPTION'],
    [['prune', '--sparsity', '0.5', '--method', 'wanda'], 'E_DATA'],
    [['prune', '--sparsity', '0.5', '--data', 'data.jsonl'], 'E_OPTION'],
    [['prune', '--sparsity', '0.5', '--method', 'obs'], 'E_RECIPE'],
    [['prune', '--structure', 'ffn', '--ratio', '1'], 'E_RECIPE'],
    [['prune', '--structure', 'heads', '--ratio', '0.5'], 'E_NOTHING_TO_DO'],
    [['prune', '--structure', 'channels', '--ratio', '0.5'], 'E_NOTHING_TO_DO'],
    [['prune', '--sparsity', '0.5', '--exclude', '/./'], 'E_NOTHING_TO_DO'],
    [['cluster', '--bits', '9'], 'E_USAGE'],
    [['cluster', '--bits', '0'], 'E_USAGE'],
    [['cluster', '--outputs', '7'], 'E_NOTHING_TO_DO'],
    [['cluster', '--method', 'sensitivity'], 'E_DATA'],
    [['cluster', '--data', 'data.jsonl'], 'E_OPTION'],
    [['lowrank', '--rank', '0'], 'E_USAGE'],
    [['lowrank'], 'E_OPTION'],
    [['lowrank', '--rank', '4', '--energy', '0.9'], 'E_OPTION'],
    [['lowrank', '--rank', '4', '--method', 'svd-llm'], 'E_DATA'],
    [['lowrank', '--rank', '4', '--data', 'data.jsonl'], 'E_OPTION'],
  ])('%j', async ([verb, ...options], code) => {
    const { stdout, code: exit } = await run(verb!, at('in.onnx'), '-o', at('refused.onnx'), ...options.map((word) => (word.endsWith('.jsonl') ? at(word) : word)), '--json', '--quiet');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code } });
    expect(exit).toBe(code === 'E_USAGE' ? 2 : 1);
    expect(readdirSync(folder).filter((name) => name.startsWith('refused'))).toEqual([]);
  });

  test.each(['prune --sparsity 0.5', 'cluster', 'lowrank --rank 2'])('%s of a model without weights', async (words) => {
    const [verb, ...options] = words.split(' ');
    const { stdout } = await run(verb!, at('weightless.onnx'), '-o', at('refused.onnx'), ...options, '--json', '--quiet');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'E_NOTHING_TO_DO' } });
    expect(existsSync(at('refused.onnx'))).toBe(false);
  });
});

describe('written', () => {
  test.each([
    ['magnitude', '--sparsity 0.5 --scope global'], ['sparsegpt', '--pattern 2:4'],
  ])('prune by %s %s: half of the weights are 0', async (method, words) => {
    const output = at(`pruned-${method}-${words.replace(/\W+/g, '')}.onnx`);
    const { records } = await made('prune', at('in.onnx'), '-o', output, '--method', method, ...words.split(' '), ...(method === 'magnitude' ? [] : ['--data', at('data.jsonl')]));
    expect(records.map(({ name }) => name).sort()).toEqual(['down', 'up']);
    let [zeros, all] = [0, 0];
    for (const { tensor } of (await open(output)).graph.initializers.values()) {
      if (tensor!.shape.length !== 2) continue;
      const { data } = await toDense(tensor!);
      all += data.length;
      zeros += (data as Float32Array).filter((value) => value === 0).length;
    }
    expect(zeros / all).toBeCloseTo(0.5, 2);
  });

  test('pruning twice, clustering what is pruned, factors of what is clustered: each says what it did or that there is nothing', async () => {
    await made('prune', at('in.onnx'), '-o', at('once.onnx'), '--sparsity', '0.5');
    const { records } = await made('prune', at('once.onnx'), '-o', at('twice.onnx'), '--sparsity', '0.5');
    for (const { sparsity } of records) expect(sparsity).toBeCloseTo(0.5, 2);
    expect(largestDifference(await outputs(at('once.onnx')), await outputs(at('twice.onnx')))).toBe(0);
    await made('cluster', at('once.onnx'), '-o', at('both.onnx'), '--bits', '4');
    expect(await bytes(at('both.onnx'))).toBeLessThan((await bytes(at('once.onnx'))) / 4);
    for (const verb of [['lowrank', '--rank', '4'], ['cluster'], ['prune', '--sparsity', '0.5']]) {
      const { stdout } = await run(verb[0]!, at('both.onnx'), '-o', at('refused.onnx'), ...verb.slice(1), '--json', '--quiet');
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'E_NOTHING_TO_DO' } });
    }
  });
});

describe('simplify leaves it compressed', () => {
  test.each([
    ['cluster', ['--bits', '3']], ['cluster', ['--bits', '2', '--outputs', '1']], ['lowrank', ['--rank', '8']],
  ])('after %s %j', async (verb, options) => {
    const name = `${verb}${options.join('')}`.replace(/\W+/g, '');
    const { records } = await made(verb, at('in.onnx'), '-o', at(`${name}.onnx`), ...options);
    expect(records.every((record) => (verb === 'cluster' ? record.paletteBits === Number(options[1]) : record.rank! > 0))).toBe(true);
    await made('simplify', at(`${name}.onnx`), '-o', at(`${name}-simple.onnx`));
    const [before, after, whole] = [await bytes(at(`${name}.onnx`)), await bytes(at(`${name}-simple.onnx`)), await bytes(at('in.onnx'))];
    expect(after).toBeLessThanOrEqual(before);
    expect(before).toBeLessThan(0.7 * whole);
    expect(largestDifference(await outputs(at(`${name}.onnx`)), await outputs(at(`${name}-simple.onnx`)))).toBeLessThan(1e-5);
  });
});
