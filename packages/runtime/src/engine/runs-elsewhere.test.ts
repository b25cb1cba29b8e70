import { describe, expect, test } from 'vitest';
import { runsElsewhere } from './runs-elsewhere.js';

describe('where a model runs', () => {
  test('is elsewhere for a device that was named, there or not', async () => {
    expect(await runsElsewhere([['cuda']])).toBe(true);
    expect(await runsElsewhere([['coreml', 'cpu']])).toBe(true);
    expect(await runsElsewhere([['cpu']])).toBe(false);
  });

  test.runIf(process.platform === 'linux')('is the CPU where nothing else that may be taken is there', async () => {
    expect(await runsElsewhere([['coreml'], ['dml'], ['cpu']])).toBe(false);
  });

  test('is where the first of them is that is there', async () => {
    expect(await runsElsewhere([['cpu'], ['cuda'], ['webgpu']])).toBe(false);
    await expect(runsElsewhere([['coreml'], ['cpu']], AbortSignal.abort())).rejects.toThrow(/abort/i);
  });
});
