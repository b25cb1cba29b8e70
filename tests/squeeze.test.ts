/** `penjing squeeze` end to end on a small network whose plan the held-out samples refuse; `squeeze.full.test.ts` has the rest. */
import { readdirSync } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import { squeezeMethods } from '@penjing/recipe';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runCaptured } from '../apps/cli/src/testing/run-captured.js';
import { type SqueezeNetwork, squeezeNetwork } from './support/squeeze-network.js';

// Seconds, where the machine has nothing else to do.
vi.setConfig({ testTimeout: 180_000 });

let network: SqueezeNetwork;
const at = (...parts: string[]): string => network.at(...parts);
beforeAll(async () => {
  network = await squeezeNetwork();
});
afterAll(() => rm(network.folder, { recursive: true, force: true }));

test('held-out samples that show more refuse the plan; weight by weight it gets better until they let it pass', async () => {
  const options = ['--data', at('missed.jsonl'), '--max-loss', '10%', '--report', at('page.html')];
  const { code, result } = await network.squeeze('missed.onnx', ...options);
  expect(code).toBe(0);
  expect(result.passed).toBe(true);
  expect(result.standard).toBeUndefined();
  expect(result.fallbacks.length).toBeGreaterThan(0);
  expect(result.fallbacks[0]!.weights).toContain('first');
  const losses = [...result.fallbacks.map(({ loss }) => loss), result.loss];
  expect(losses.slice(0, -1).every((loss) => loss > 0.1)).toBe(true);
  expect(result.loss).toBeLessThanOrEqual(0.1);
  expect((await stat(at('missed.onnx'))).size).toBe(result.bytesAfter);
  expect(await readFile(at('page.html'), 'utf8')).toContain('Refused by the held-out samples');
});

test('where nothing smaller loses as little, nothing is written', async () => {
  const { code, error } = await network.squeeze('nothing.onnx', '--data', at('even.jsonl'), '--max-loss', '0.000001%');
  expect([code, error.code]).toEqual([1, 'E_GATE']);
  expect(readdirSync(network.folder).filter((name) => name.startsWith('nothing'))).toEqual([]);
});

test('the command offers every kind', async () => {
  const { code, stderr } = await runCaptured('squeeze', at('model.onnx'), '-o', at('x.onnx'), '--data', at('even.jsonl'), '--methods', 'none');
  expect(code).toBe(2);
  for (const name of squeezeMethods) expect(stderr).toContain(name);
});
