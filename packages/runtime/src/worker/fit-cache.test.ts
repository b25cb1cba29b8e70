/** What the steps of a cache of bytes are found on. */
import * as ort from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { generationForm } from '../generate/generation-form.js';
import { packedDecoder } from '../testing/packed-decoder.js';
import { fitCache } from './fit-cache.js';
import { SessionTable } from './session-table.js';

test.each([[[]], [[12, 900]]])('no token of the model in the text %j', async (tokens) => {
  const { form } = await generationForm(packedDecoder({ words: 12 }), { int8Cache: true });
  const sessions = new SessionTable(ort, { pass: (call) => call() });
  await expect(fitCache(sessions, { handle: 1, form, tokens }, { signal: new AbortController().signal, emit: () => {}, transfer: [] })).rejects.toMatchObject({ code: 'E_VALUE', message: expect.stringContaining(`none of the ${tokens.length} tokens`) as string });
});
