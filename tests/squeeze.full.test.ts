/** `penjing squeeze`: models that are written all the same, every kind of candidate, and real models within their gates. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { memorySource, toDense } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { evaluateModel, loadTokenizer } from '@penjing/runtime';
import type { SqueezeResult } from '@penjing/recipe';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runCaptured } from '../apps/cli/src/testing/run-captured.js';
import { textWindows } from '../packages/recipe/src/feeds/text-feeds.js';
import { type SqueezeNetwork, squeezeNetwork } from './support/squeeze-network.js';
import { testData } from './tools/test-data.js';

// A minute or two, where the machine has nothing else to do.
vi.setConfig({ testTimeout: 1_800_000 });

let network: SqueezeNetwork;
const at = (...parts: string[]): string => network.at(...parts);
beforeAll(async () => {
  network = await squeezeNetwork();
});
afterAll(() => rm(network.folder, { recursive: true, force: true }));

/** Squeezed once: two tests look at it. */
let squeezed: ReturnType<SqueezeNetwork['squeeze']> | undefined;
const small = (): ReturnType<SqueezeNetwork['squeeze']> => (squeezed ??= network.squeeze('small.onnx', '--data', at('even.jsonl'), '--target-size', '22%'));

test('a size is reached, and the file has the figures that are reported', async () => {
  const { code, result } = await small();
  expect(code).toBe(0);
  const { size } = await stat(at('small.onnx'));
  expect(result).toMatchObject({ passed: true, metric: 'output', bytesAfter: size, counts: 'size', fallbacks: [], synthetic: false });
  expect(size).toBeLessThanOrEqual(0.22 * (await stat(at('model.onnx'))).size);
  expect(result.chosen.map(({ name }) => name)).toEqual(['first', 'second', 'third']);
  // what was predicted is near what was measured on the samples that chose
  const mixed = result.tried.findLast(({ name }) => name === 'mixed')!;
  expect(mixed.predicted! / 10 ** (-mixed.comparison.snrDb / 10)).toBeGreaterThan(0.5);
  expect(mixed.predicted! / 10 ** (-mixed.comparison.snrDb / 10)).toBeLessThan(2);

  const compared = JSON.parse((await runCaptured('eval', at('small.onnx'), '--reference', at('model.onnx'), '--data', at('held.jsonl'), '--json', '--quiet')).stdout) as { snrDb: number };
  expect(compared.snrDb).toBeCloseTo(result.heldOut.snrDb, 3);
});

test('a size that leaves no room to fall back is refused, and written when it is forced, with what it is written on it', async () => {
  const options = ['--data', at('missed.jsonl'), '--max-loss', '10%'];
  const { result } = await network.squeeze('missed.onnx', ...options);
  const size = Math.round((result.fallbacks[0]!.bytes / result.bytesBefore) * 10_000) / 100 + 0.1;
  const refused = await network.squeeze('refused.onnx', ...options, '--target-size', `${size}%`);
  expect(refused).toMatchObject({ code: 1, error: { code: 'E_GATE' } });
  expect(readdirSync(network.folder).filter((name) => name.startsWith('refused'))).toEqual([]);

  const forced = await network.squeeze('refused.onnx', ...options, '--target-size', `${size}%`, '--force');
  expect(forced).toMatchObject({ code: 0, result: { passed: false } });
  const written = await readOnnx(memorySource(await readFile(at('refused.onnx'))));
  expect(written.metadata.get('penjing.gate')).toMatch(/^FAILED: loses \d+\.\d\d % of output on held-out samples \(10\.00 % allowed\)$/);
});

test('a size that cannot be reached is an error, and the steps of one that can make the same model again', async () => {
  const nothing = await network.squeeze('nothing.onnx', '--data', at('even.jsonl'), '--target-size', '2%');
  expect(nothing).toMatchObject({ code: 1, error: { code: 'E_OPTION', message: expect.stringContaining('cannot become as small') as string } });
  expect(existsSync(at('nothing.onnx'))).toBe(false);

  const { code, result } = await small();
  expect(code).toBe(0);
  // the steps make the same file again
  const again = { input: at('model.onnx'), output: at('again.onnx'), steps: result.steps };
  writeFileSync(at('again.yaml'), JSON.stringify(again));
  expect((await runCaptured('apply', at('again.yaml'), '--quiet')).code).toBe(0);
  expect(await readFile(at('again.onnx'))).toEqual(await readFile(at('small.onnx')));
});

test('palettes are chosen where they may be', async () => {
  const { code, result } = await network.squeeze('palette.onnx', '--data', at('even.jsonl'), '--target-size', '13%', '--methods', 'palette');
  expect(code).toBe(0);
  expect(new Set(result.chosen.map(({ method }) => method.replace(/\d+/, 'N')))).toEqual(new Set(['palette of N']));
  expect((await stat(at('palette.onnx'))).size).toBe(result.bytesAfter);
});

test('zeros are shared out over the layers', async () => {
  const { code, result } = await network.squeeze('zeros.onnx', '--data', at('even.jsonl'), '--target-sparsity', '50%');
  expect(code).toBe(0);
  expect(result).toMatchObject({ counts: 'weights', passed: true });
  const written = await readOnnx(memorySource(await readFile(at('zeros.onnx'))));
  let [zeros, all] = [0, 0];
  for (const { tensor } of written.graph.initializers.values()) {
    for (const value of (await toDense(tensor as never)).data as Float32Array) [zeros, all] = [zeros + (value === 0 ? 1 : 0), all + 1];
  }
  expect(zeros / all).toBeGreaterThanOrEqual(0.499);
  const uniform = result.tried.find(({ name }) => name.startsWith('uniform'))!;
  const best = result.tried.filter(({ name }) => name === 'mixed').at(-1)!;
  expect(best.comparison.snrDb).toBeGreaterThan(uniform.comparison.snrDb - 0.1);
});


/** The command on a real model. */
async function squeezeReal(input: string, output: string, ...options: string[]): Promise<SqueezeResult> {
  const { code, stdout } = await runCaptured('squeeze', input, '-o', at(output), '--json', '--quiet', ...options);
  expect(code, stdout).toBe(0);
  return JSON.parse(stdout) as SqueezeResult;
}

test('the embedded model comes to a quarter of its size, and the folder predicts as well as is reported', async () => {
  const sapling = join(import.meta.dirname, '../models/sapling');
  const text = join(sapling, 'heldout.txt');
  const result = await squeezeReal(sapling, 'sapling', '--data', text, '--samples', '8', '--target-size', '25%', '--max-loss', '2%');
  expect(result).toMatchObject({ passed: true, metric: 'perplexity', counts: 'size' });
  const { size } = await stat(at('sapling/onnx/model_quantized.onnx'));
  expect(size).toBe(result.bytesAfter);
  expect(size).toBeLessThanOrEqual(0.25 * result.bytesBefore);
  // better than four bits everywhere, by a lot
  const uniform = result.tried.find(({ name }) => name === 'uniform int4')!;
  expect(result.tried.findLast(({ name }) => name === 'mixed')!.comparison.klDivergence!).toBeLessThan(uniform.comparison.klDivergence! / 4);
  // what single weights lose adds up to what the model loses
  const { predicted, comparison } = result.tried.findLast(({ name }) => name === 'mixed')!;
  expect(predicted! / comparison.klDivergence!).toBeGreaterThan(0.4);
  expect(predicted! / comparison.klDivergence!).toBeLessThan(2.5);

  const tokenizer = await loadTokenizer(sapling);
  const tokens = textWindows(tokenizer, await readFile(text, 'utf8'), 8, 512).filter((_, i) => i % 4 === 3).flat();
  const { perplexity } = await evaluateModel(at('sapling/onnx/model_quantized.onnx'), { tokens, windowTokens: 512 });
  expect(perplexity! / result.heldOut.b.perplexity!).toBeCloseTo(1, 3);
});

describe.skipIf(!testData)('digits', () => {
  test('a classifier comes to a tenth of its size and keeps its accuracy on others', async () => {
    const model = join(testData!, 'models/mnist/burn-mnist.onnx');
    const reading = ['--data', join(testData!, 'datasets/mnist/mnist-t10k-first6000-images-idx3-ubyte.gz'), '--mean', '0.1307', '--std', '0.3081'];
    const result = await squeezeReal(model, 'digits.onnx', ...reading, '--samples', '128', '--target-size', '10%', '--max-loss', '2%');
    expect(result).toMatchObject({ passed: true, metric: 'accuracy' });
    const { size } = await stat(at('digits.onnx'));
    expect(size).toBe(result.bytesAfter);
    expect(size).toBeLessThanOrEqual(0.1 * (await stat(model)).size);
    const others = JSON.parse((await runCaptured('eval', at('digits.onnx'), '--reference', model, ...reading, '--samples', '500', '--json', '--quiet')).stdout) as { accuracy: number; reference: { accuracy: number } };
    expect(others.reference.accuracy - others.accuracy).toBeLessThanOrEqual(0.02);
  });
});
