import { rm } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { writeModelFolder } from '../testing/model-folder.js';
import { packedDecoder } from '../testing/packed-decoder.js';
import { PrefixCache } from '../worker/prefix-cache.js';
import { loadGenerator } from './generator.js';

let folder: string;
beforeAll(async () => void (folder = await writeModelFolder({ '': packedDecoder({ words: 32 }) })));
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());

test.each([[undefined, 'kept'], [2 ** 20, 'kept'], [0, 'not kept'], [100, 'not kept']] as const)('with room for %s bytes a prompt is %s', async (prefixCacheBytes, kept) => {
  const find = vi.spyOn(PrefixCache.prototype, 'find');
  // on this thread, where the cache can be looked at
  await using generator = await loadGenerator(folder, { thread: 'calling', threads: 1, prefixCacheBytes });
  const options = { maxNewTokens: 4, ignoreEndToken: true };
  const first = await generator.generate('the same words', options);
  expect(await generator.generate('the same words', options)).toMatchObject({ text: first.text, tokens: first.tokens });
  expect(find.mock.results.at(-1)?.value !== undefined).toBe(kept === 'kept');
});

test.each([-1, 0.5, NaN, 2 ** 41])('%s bytes are out of range', async (prefixCacheBytes) => {
  await expect(loadGenerator(folder, { prefixCacheBytes })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('prefixCacheBytes') as string });
});
