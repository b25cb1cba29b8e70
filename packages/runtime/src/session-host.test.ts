import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { SessionHost, liveSessionHosts } from './session-host.js';

afterEach(() => expect(liveSessionHosts()).toBe(0));

/** A worker with the message protocol but a body of its own: the host must survive whatever a thread does. */
function worker(body: string): () => Worker {
  return () => new Worker(`const { parentPort } = require('node:worker_threads'); parentPort.on('message', (m) => { if (m.shutdown) return parentPort.close(); ${body} });`, { eval: true });
}
const close = { handle: 1 };

describe('a session host', () => {
  test('rejects what is pending, and everything after, when the thread throws', async () => {
    const host = new SessionHost(worker(`setTimeout(() => { throw new Error('boom'); }, 5);`));
    const calls = [host.call('close', close), host.call('close', close)];
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'E_WORKER', message: expect.stringContaining('boom') as string });
    await expect(host.call('close', close)).rejects.toMatchObject({ code: 'E_WORKER' });
    await host[Symbol.asyncDispose]();
  });

  test('rejects what is pending when the thread exits', async () => {
    const host = new SessionHost(worker('process.exit(7);'));
    await expect(host.call('close', close)).rejects.toMatchObject({ code: 'E_WORKER', message: expect.stringContaining('7') as string });
    await host[Symbol.asyncDispose]();
  });

  test('says what to do when ONNX Runtime is missing', async () => {
    const host = new SessionHost(worker(`throw new Error("Cannot find package 'onnxruntime-node'");`));
    await expect(host.call('close', close)).rejects.toMatchObject({ code: 'E_WORKER', hint: expect.stringContaining('onnxruntime-node') as string });
    await host[Symbol.asyncDispose]();
  });

  test('passes events, results and typed errors on', async () => {
    const host = new SessionHost(worker(`
      if (m.cancel) return;
      if (m.params.handle === 2) return parentPort.postMessage({ id: m.id, error: { code: 'E_TEST', message: 'told', hint: 'ask' } });
      parentPort.postMessage({ id: m.id, event: 'one' }); parentPort.postMessage({ id: m.id, event: 'two' }); parentPort.postMessage({ id: m.id, result: m.params.handle });`));
    const events: unknown[] = [];
    expect(await host.call('close', close, { onEvent: (event: unknown) => events.push(event) })).toBe(1);
    expect(events).toEqual(['one', 'two']);
    await expect(host.call('close', { handle: 2 })).rejects.toMatchObject({ code: 'E_TEST', message: 'told', hint: 'ask' });
    await host[Symbol.asyncDispose]();
  });

  test('abort rejects at once and tells the worker; stop only tells it', async () => {
    const host = new SessionHost(worker(`if (m.cancel) parentPort.postMessage({ id: m.cancel, result: 'ended early' });`));
    const abort = new AbortController();
    const aborted = host.call('close', close, { signal: abort.signal });
    abort.abort(new Error('why'));
    await expect(aborted).rejects.toThrow('why');
    const stop = new AbortController();
    const stopped = host.call('close', close, { stop: stop.signal });
    stop.abort();
    expect(await stopped).toBe('ended early');
    await host[Symbol.asyncDispose]();
  });

  test('dispose rejects what is running and ends the thread', async () => {
    const host = new SessionHost(worker(''));
    const running = expect(host.call('close', close)).rejects.toMatchObject({ code: 'E_DISPOSED' });
    await Promise.all([host[Symbol.asyncDispose](), host[Symbol.asyncDispose]()]);
    await running;
    await expect(host.call('close', close)).rejects.toMatchObject({ code: 'E_DISPOSED' });
  });
});
