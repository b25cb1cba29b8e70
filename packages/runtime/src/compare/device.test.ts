import { describe, expect, test } from 'vitest';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { compareModels } from './compare-models.js';
import { evaluateModel } from './evaluate-model.js';

const tokens = Array.from({ length: 12 }, (_, i) => i % 7);

describe('the device of a measurement', () => {
  test.runIf(process.platform === 'linux')('that is not there is told by both', async () => {
    for (const measure of [() => evaluateModel(tinyDecoder(), { device: 'coreml', tokens }), () => compareModels(tinyDecoder(), tinyDecoder(), { device: 'coreml', tokens })]) {
      await expect(measure()).rejects.toMatchObject({ code: 'E_PROVIDER', hint: expect.stringMatching(/macOS/) as string });
    }
  });

  test('is not ignored layer by layer', async () => {
    await expect(evaluateModel(tinyDecoder(), { device: 'cuda', byLayer: true, tokens })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('on the CPU alone') as string });
    expect((await evaluateModel(tinyDecoder(), { device: 'cpu', byLayer: true, tokens, threads: 1 })).blocks).toBeGreaterThan(1);
  });
});
