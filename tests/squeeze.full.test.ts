/** `penjing squeeze`: models that are written all the same, every kind of candidate, and real models within their gates. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import { memorySource, toDense } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured } from '../apps/cli/src/testing/run-captured.js';
import { type SqueezeNetwork, squeezeNetwork } from './support/squeeze-network.js';

let network: SqueezeNetwork;
const at = (...parts: string[]): string => network.at(...parts);
beforeAll(async () => {
  network = await squeezeNetwork();
});
afterAll(() => rm(network.folder, { recursive: true, force: true }));

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
  const small = await network.squeeze('nothing.onnx', '--data', at('even.jsonl'), '--target-size', '2%');
  expect(small).toMatchObject({ code: 1, error: { code: 'E_OPTION', message: expect.stringContaining('cannot become as small') as string } });
  expect(existsSync(at('nothing.onnx'))).toBe(false);

  const { result } = await network.squeeze('small.onnx', '--data', at('even.jsonl'), '--target-size', '22%');
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

