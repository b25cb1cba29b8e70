import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { evaluateInput } from './index.js';

const sapling = join(import.meta.dirname, '..', '..', '..', 'models', 'sapling');
const data = join(sapling, 'heldout.txt');

test('a checkpoint is measured without a file of its graph, alone and against a reference', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-evaluate-'));
  const report = join(folder, 'page.html');
  const alone = await evaluateInput({ model: { path: sapling }, data, maxTokens: 200, report });
  expect(await readFile(report, 'utf8')).toContain('By length of context');
  await rm(folder, { recursive: true });
  expect(alone).toMatchObject({ count: 199 });
  expect(alone.perplexity).toBeGreaterThan(10);
  expect(alone.perplexity).toBeLessThan(60);
  const compared = await evaluateInput({ model: { path: sapling }, reference: { path: sapling }, data, maxTokens: 200 });
  expect(compared).toMatchObject({ perplexity: alone.perplexity, klDivergence: 0, topTokenAgreement: 1, snrDb: Infinity, maxError: 0, count: 199 });
  expect(compared.reference?.perplexity).toBe(alone.perplexity);
});

test.runIf(process.platform === 'linux')('a device that is not there is told, alone and against a reference', async () => {
  const given = { model: { path: sapling }, data, maxTokens: 20, device: 'coreml' as const };
  for (const options of [given, { ...given, reference: { path: sapling } }]) await expect(evaluateInput(options)).rejects.toMatchObject({ code: 'E_PROVIDER' });
});

test('what cannot be measured is said', async () => {
  await expect(evaluateInput({ model: { path: sapling }, data: 'nothing.txt' })).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  await expect(evaluateInput({ model: { path: sapling }, reference: { path: sapling }, data, maxTokens: 20, kvCache: 'int8' })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('compared') as string });
});
