/** GPTQ of the embedded model from its checkpoint, against rounding to the nearest, on text that calibrated neither. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runRecipe } from '@penjing/recipe';
import { evaluateModel } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const model = join(import.meta.dirname, '../models/sapling');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-gptq-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.skipIf(!process.env['PENJING_FULL'])('GPTQ of the embedded model', () => {
  test.each([2] as const)('loses less than rounding to the nearest: %i bits', async (bits) => {
    const text = await readFile(join(model, 'heldout.txt'), 'utf8');
    const data = join(folder, 'calibration.txt');
    await writeFile(data, text.slice(text.length / 2));
    const perplexity = async (method: 'rtn' | 'gptq'): Promise<number> => {
      const output = join(folder, `${method}-${bits}`);
      const step = { bits, symmetric: false, accuracyLevel: 1, ...(method === 'gptq' && { method, data, samples: 32 }) } as const;
      const { records } = await runRecipe({ input: model, output, steps: [{ quantize: step }] }, { check: false });
      expect(records.filter((record) => record.method.startsWith(method)).length).toBeGreaterThan(20);
      return (await evaluateModel(output, { text, maxTokens: 6_000 })).perplexity!;
    };
    const nearest = await perplexity('rtn');
    const calibrated = await perplexity('gptq');
    console.log(`${bits} bits: nearest ${nearest.toFixed(3)}, gptq ${calibrated.toFixed(3)}`);
    expect(calibrated).toBeLessThan(nearest);
  }, 600_000);
});
