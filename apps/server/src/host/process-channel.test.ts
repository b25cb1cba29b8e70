/** A process that does not start ends its model, and not the server. */
import { ChildProcess } from 'node:child_process';
import { PenjingError } from '@penjing/core';
import { expect, test } from 'vitest';
import { modelOptionsSchema } from '../config/schema.js';
import { ServedModel } from '../models/served-model.js';
import type { Host } from './host.js';
import { hostOver } from './model-host.js';
import { processChannel } from './process-channel.js';

/** Without file descriptors `spawn` gives a process that has no streams, and tells its error in the next turn. */
function failing(): ChildProcess {
  const child = new ChildProcess();
  process.nextTick(() => child.emit('error', new Error('spawn node EMFILE')));
  return child;
}

const identity = { name: 'a', version: '1', path: 'a', options: modelOptionsSchema.parse({}) };
const processHost = (name: string): Host => hostOver(name, processChannel(name, failing));

test('without file descriptors a model is unavailable, and may be asked for again', async () => {
  expect(new ChildProcess().stdio).toBeUndefined();
  const model = new ServedModel(identity, { createHost: processHost, drainMs: 1 });
  for (let i = 0; i < 2; i++) {
    await expect(model.load()).rejects.toMatchObject({ code: 'E_MODEL_LOST', message: expect.stringContaining('EMFILE') as string });
    expect([model.state, model.reason]).toEqual(['UNAVAILABLE', expect.stringContaining('EMFILE')]);
  }
  const host = processHost('a');
  await host.close();
  expect(host.health()).toMatchObject({ state: 'ended', inFlight: 0, pid: undefined });
});

test('a place that cannot be made leaves no model loading', async () => {
  const failure = new PenjingError('E_OPTION', 'no place');
  const model = new ServedModel(identity, { createHost: () => { throw failure; }, drainMs: 1 });
  await expect(model.load()).rejects.toBe(failure);
  expect([model.state, model.reason]).toEqual(['UNAVAILABLE', 'no place']);
});
