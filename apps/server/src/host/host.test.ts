/** One contract for both places of a model: a process and a thread. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphBuilder, Model, tensorType } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { tinyDecoder } from '../../../../packages/runtime/src/testing/tiny-decoder.js';
import { writeModelFolder } from '../../../../packages/runtime/src/testing/model-folder.js';
import type { Host } from './host.js';
import { processHost, threadHost } from './model-host.js';

let folder: string;
let decoder: string;
let adder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-host-'));
  decoder = await writeModelFolder({ '': tinyDecoder({ context: 4096 }) }, {}, { context: 4096 });
  adder = join(folder, 'adder.onnx');
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['n', 2]));
  b.output(b.op('Add', [x, x]), 'y', tensorType('float32', ['n', 2]));
  await writeFile(adder, await layoutToBytes(serializeOnnx(model, { externalData: 'never' })[0]!));
});
afterAll(async () => {
  await Promise.all([folder, decoder].map((path) => rm(path, { recursive: true, force: true })));
});

describe.each([
  ['process', processHost],
  ['thread', threadHost],
] as const)('a host in a %s', (kind, create) => {
  let host: Host;
  beforeAll(async () => {
    host = create('decoder');
    expect(await host.load({ path: decoder, threads: 1 })).toMatchObject({ task: 'text-generation', contextLength: 4096, hasChatTemplate: true });
  }, 120_000);
  afterAll(() => host.close());

  const write = (maxNewTokens: number, more: { readonly signal?: AbortSignal; readonly onText?: (text: string, choice: number) => void } = {}) =>
    host.call('write', { prompt: { kind: 'text', text: 'abc' }, choices: 2, options: { maxNewTokens, temperature: 1, seed: 9 } }, { signal: more.signal, onEvent: ({ text, choice }) => more.onText?.(text, choice) });

  test('runs tensors, says what the model is and what is wrong, and ends when it is closed', { timeout: 120_000 }, async () => {
    const other = create('adder');
    await expect(other.load({ path: join(folder, 'nothing') })).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    const description = await other.load({ path: adder, threads: 1 });
    expect(description).toMatchObject({ task: 'tensors', inputs: [{ name: 'x', dtype: 'float32', shape: ['n', 2] }], outputs: [{ name: 'y' }] });
    const data = Float32Array.of(1, 2, 3, 4).buffer;
    const { outputs, computeMs } = await other.call('infer', { inputs: { x: { dtype: 'float32', shape: [2, 2], data } } });
    expect([...new Float32Array(outputs['y']!.data as ArrayBuffer)]).toEqual([2, 4, 6, 8]);
    expect(computeMs).toBeGreaterThan(0);
    await expect(other.call('infer', { inputs: { x: { dtype: 'int32', shape: [1, 2], data: new ArrayBuffer(8) } } })).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(other.call('infer', { inputs: { x: { dtype: 'float32', shape: [3, 2], data } } })).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(other.call('write', { prompt: { kind: 'text', text: 'a' }, choices: 1, options: {} })).rejects.toMatchObject({ code: 'E_TASK' });
    expect(other.health()).toMatchObject({ state: 'ready', inFlight: 0 });
    expect(other.health().memory!.rss).toBeGreaterThan(0);
    await other.close();
    expect(other.health().state).toBe('ended');
    expect(await other.ended).toBeUndefined();
    await expect(other.call('infer', { inputs: {} })).rejects.toMatchObject({ code: 'E_DISPOSED' });
    await other.close();
  });

  test('writes in pieces', async () => {
    const seen = ['', ''];
    const { texts, promptTokens } = await write(20, { onText: (text, choice) => (seen[choice] += text) });
    expect(promptTokens).toBe(4);
    expect(texts.map(({ text }) => text)).toEqual(seen);
    expect(texts).toMatchObject([{ tokens: 20, finishReason: 'length' }, { tokens: 20, finishReason: 'length' }]);
    expect(seen[0]).not.toBe(seen[1]);
    await expect(write(5000)).rejects.toMatchObject({ code: 'E_CONTEXT' });
    await expect(host.call('write', { prompt: { kind: 'text', text: 'a' }, choices: 1, options: { temperature: -1 } })).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  test('a call that cannot be sent fails, and leaves nothing behind', async () => {
    const { signal } = new AbortController();
    const listened = vi.spyOn(signal, 'removeEventListener');
    await expect(host.call('embed', { texts: [(() => {}) as unknown as string] }, { signal })).rejects.toThrow(/could not be cloned/);
    expect(host.health().inFlight).toBe(0);
    expect(listened).toHaveBeenCalledTimes(1);
    await write(5);
  });

  test('a call that is cancelled ends at the next token, and the engine is free for others', async () => {
    const stop = new AbortController();
    const reason = new Error('the client left');
    let pieces = 0;
    await expect(write(3000, { signal: stop.signal, onText: () => (pieces++, stop.abort(reason)) })).rejects.toBe(reason);
    await write(5);
    expect(pieces).toBe(1);
    expect(host.health().inFlight).toBe(0);
  });

  test('what is in flight fails at once when the place ends', async () => {
    const started = performance.now();
    let ended = 0;
    const call = write(3000, {
      onText: () => {
        if (ended !== 0) return;
        ended = performance.now();
        if (kind === 'process') process.kill(host.health().pid!, 'SIGKILL');
        else void host.close();
      },
    });
    await expect(call).rejects.toMatchObject(kind === 'process' ? { code: 'E_MODEL_LOST', message: expect.stringContaining('SIGKILL') as string } : { code: 'E_DISPOSED' });
    expect(performance.now() - ended).toBeLessThan(1000);
    expect(ended).toBeGreaterThan(started);
    expect(await host.ended).toEqual(kind === 'process' ? expect.objectContaining({ code: 'E_MODEL_LOST' }) : undefined);
  });
});
