/** Graphs are simplified in the worker: here, on the calling thread, the function that does it throws. */
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { liveSessionHosts } from '../session-host.js';
import { writeModelFolder } from '../testing/model-folder.js';
import { packedDecoder } from '../testing/packed-decoder.js';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { generationForm } from './generation-form.js';
import { loadGenerator } from './generator.js';

vi.mock('./generation-form.js', () => ({ generationForm: vi.fn(() => { throw new Error('on the calling thread'); }) }));

let folder: string;
beforeAll(async () => void (folder = await writeModelFolder({ '': packedDecoder({ words: 32 }), _plain: tinyDecoder() })));
afterAll(() => rm(folder, { recursive: true }));

test('a decoder gets its form in the worker, and writes what it writes as it is stored', async () => {
  await using generator = await loadGenerator(folder, { threads: 1 });
  const options = { maxNewTokens: 12, ignoreEndToken: true };
  // guesses are for models in the form alone
  const { tokens, speculation } = await generator.generate('forms', { ...options, speculate: { ngram: 2 } });
  expect(speculation).toBeDefined();
  await using stored = await loadGenerator(folder, { threads: 1, asStored: true });
  expect(tokens).toEqual((await stored.generate('forms', options)).tokens);
  expect(generationForm).not.toHaveBeenCalled();
});

test('a decoder without the form is run as it is', async () => {
  await using generator = await loadGenerator(folder, { threads: 1, variant: 'plain' });
  expect((await generator.generate('forms', { maxNewTokens: 4, ignoreEndToken: true })).tokens).toHaveLength(4);
  await expect(generator.generate('forms', { speculate: { ngram: 2 } })).rejects.toMatchObject({ code: 'E_UNSUPPORTED' });
});

test('opening ends with its signal, and leaves no thread', async () => {
  const stop = new AbortController();
  const loading = loadGenerator(folder, { threads: 1, signal: stop.signal });
  setImmediate(() => stop.abort(new Error('enough')));
  await expect(loading).rejects.toThrow('enough');
  await vi.waitFor(() => expect(liveSessionHosts()).toBe(0), 10_000);
});
