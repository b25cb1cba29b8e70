import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { writeModelFolder } from '../../../../packages/runtime/src/testing/model-folder.js';
import { packedDecoder } from '../../../../packages/runtime/src/testing/packed-decoder.js';
import { PrefixCache } from '../../../../packages/runtime/src/worker/prefix-cache.js';
import { modelOptionsSchema } from '../config/schema.js';
import { openModel } from './open-model.js';
import type { ModelSource } from './protocol.js';

let folder: string;
beforeAll(async () => void (folder = await writeModelFolder({ '': packedDecoder({ words: 32 }) })));
afterAll(() => rm(folder, { recursive: true }));

test.each([[undefined, 2], [0, 0]])('a model that may keep %s bytes looks %i times for what it read', async (prefixCacheBytes, times) => {
  const find = vi.spyOn(PrefixCache.prototype, 'find');
  const { handlers, close } = await openModel({ path: folder, threads: 1, prefixCacheBytes }, new AbortController().signal);
  const context = { signal: new AbortController().signal, emit: () => {} };
  const ask = () => handlers.write!({ prompt: { kind: 'text', text: 'again' }, choices: 1, options: { maxNewTokens: 3 } }, context);
  const texts = [await ask(), await ask()].map((answer) => answer.texts[0]!.text);
  expect(texts[0]).toBe(texts[1]);
  expect(find).toHaveBeenCalledTimes(times);
  await close();
  find.mockRestore();
});

test('the configuration of a model takes bytes within bounds', () => {
  expect(modelOptionsSchema.parse({ prefixCacheBytes: 0 }).prefixCacheBytes).toBe(0);
  expect(modelOptionsSchema.parse({}).prefixCacheBytes).toBeUndefined();
  for (const prefixCacheBytes of [-1, 0.5, 2 ** 41, '1']) expect(modelOptionsSchema.safeParse({ prefixCacheBytes }).success).toBe(false);
});

test('models that keep no keys and values refuse to keep them in bytes', async () => {
  const open = (source: Partial<ModelSource>) => openModel({ path: folder, threads: 1, kvCache: 'int8', ...source }, new AbortController().signal);
  const refused = { code: 'E_UNSUPPORTED', message: expect.stringContaining('int8') as string };
  await expect(open({ task: 'tensors' })).rejects.toMatchObject(refused);
  await expect(open({ task: 'embedding' })).rejects.toMatchObject({ ...refused, message: expect.stringContaining('is for embedding') as string });
  await expect(open({ stages: {} as ModelSource['stages'] })).rejects.toMatchObject(refused);
  const flow = join(folder, 'flow.json');
  await writeFile(flow, '{}');
  await expect(open({ path: flow })).rejects.toMatchObject({ ...refused, message: expect.stringContaining('is a flow') as string });
  await rm(flow);
  const { close } = await open({});
  await close();
});
