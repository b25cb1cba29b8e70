/** Where the deviation of random weights comes from. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scratchDeviation } from './scratch-deviation.js';

test.each([['{"initializer_range": 0.05}', 0.05], ['{"initializer_range": "wide"}', 0.02], ['{"initializer_range": 7}', 0.02], ['null', 0.02], ['no JSON', 0.02], [undefined, 0.02]])('%s → %f', async (text, wanted) => {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-scratch-'));
  try {
    if (text !== undefined) await writeFile(join(folder, 'config.json'), text);
    await writeFile(join(folder, 'model.onnx'), '');
    expect(await scratchDeviation(folder)).toBe(wanted);
    expect(await scratchDeviation(join(folder, 'model.onnx'))).toBe(wanted);
  } finally {
    await rm(folder, { recursive: true });
  }
});
