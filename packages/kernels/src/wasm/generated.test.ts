/** The compiled module must come from the sources beside it. */
import { expect, it } from 'vitest';

it('is up to date: run `pnpm --filter @penjing/kernels generate`', async () => {
  const url = new URL('../../scripts/generate.mjs', import.meta.url).href;
  const { stamp, currentStamp } = (await import(url)) as Record<'stamp' | 'currentStamp', () => string>;
  expect(currentStamp()).toBe(stamp());
});
