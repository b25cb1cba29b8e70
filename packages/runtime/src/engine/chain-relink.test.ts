/** How a chain puts itself together again, with workers that die and open when they are told to. */
import { EventEmitter } from 'node:events';
import { type DenseTensor, denseOf, tensorType } from '@penjing/core';
import * as ort from 'onnxruntime-node';
import { afterEach, expect, test, vi } from 'vitest';
import { liveSessionHosts, SessionHost, type SessionThread } from '../session-host.js';
import { type JoinedChain, joinChain } from '../worker/chain-stage.js';
import type { Request } from '../worker/protocol.js';
import { OrtChain } from './chain.js';
import type { Started } from './ort-engine.js';

afterEach(() => expect(liveSessionHosts()).toBe(0));

/** A worker on this thread, whose session gives what it is given. */
class FakeThread extends EventEmitter implements SessionThread {
  readonly inline = true;
  #joined: JoinedChain | undefined;

  postMessage(request: Request): void {
    if ('shutdown' in request) setImmediate(() => void this.terminate());
    if (!('method' in request) || request.method !== 'chain') return;
    this.#joined?.leave();
    const { reads: [read], gives } = request.params;
    this.#joined = joinChain({ api: ort, run: async (_handle, feeds) => Object.fromEntries(gives.map((name) => [name, feeds[read!]!])) }, request.params);
    setImmediate(() => this.emit('message', { id: request.id, result: undefined }));
  }

  ref(): void {}
  unref(): void {}

  terminate(): Promise<number> {
    this.#joined?.leave();
    this.emit('exit', 1);
    return Promise.resolve(1);
  }
}

/** v0 → v1 → v2 → v3. Openings wait for `gate`; those of the stage `broken` fail. */
function workshop() {
  const state = { gate: Promise.resolve(), broken: -1, hosts: [[], [], []] as SessionHost[][], threads: [] as FakeThread[], tries: [0, 0, 0] };
  const info = (i: number) => ({ name: `v${i}`, type: tensorType('float32', ['n']) });
  const openers = state.hosts.map((hosts, i) => async (): Promise<Started> => {
    state.tries[i]!++;
    if (state.broken === i) throw new Error('no memory');
    await state.gate;
    const host = new SessionHost(() => (state.threads[i] = new FakeThread()));
    hosts.push(host);
    return { host, opened: { handle: 1, inputs: [info(i)], outputs: [info(i + 1)], session: { inputs: [], outputs: [] }, bytes: 0, cleanup: async () => {} } };
  });
  return { state, open: () => OrtChain.open(openers, ['v3']) };
}

const feeds = (): { v0: DenseTensor } => ({ v0: denseOf('float32', [1], [7]) });
const ran = { v3: denseOf('float32', [1], [7]) };
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

function newGate(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let open = (): void => {};
  const promise = new Promise<void>((resolve) => (open = resolve));
  return { promise, resolve: () => open() };
}

/** Two stages die; one cannot be opened, and the other one opens when the promise that this gives is resolved. */
async function halfOpen() {
  const { state, open } = workshop();
  const chain = await open();
  const gate = newGate();
  Object.assign(state, { gate: gate.promise, broken: 0 });
  await Promise.all([0, 2].map((i) => state.threads[i]!.terminate()));
  const first = chain.run(feeds());
  first.catch(() => {});
  await vi.waitFor(() => expect(state.tries).toEqual([2, 1, 2]), 20_000);
  await turns(10);
  return { state, chain, gate, first };
}

test('what loads when another cannot is neither loaded twice nor left', async () => {
  const { state, chain, gate, first } = await halfOpen();
  const second = chain.run(feeds());
  second.catch(() => {});
  await turns(10);
  gate.resolve();
  for (const run of [first, second]) await expect(run).rejects.toThrow('no memory');
  state.broken = -1;
  expect(await chain.run(feeds())).toEqual(ran);
  expect(state.hosts.map((hosts) => hosts.length)).toEqual([2, 1, 2]);
  await chain[Symbol.asyncDispose]();
});

test('what still loads when the chain is disposed of is closed', async () => {
  const { chain, gate, first } = await halfOpen();
  const disposing = chain[Symbol.asyncDispose]();
  await turns(10);
  gate.resolve();
  await expect(first).rejects.toThrow('no memory');
  await disposing;
  await turns(10);
  expect(liveSessionHosts()).toBe(0);
  await expect(chain.run(feeds())).rejects.toMatchObject({ code: 'E_DISPOSED', hint: 'Load the stages again.' });
});

test('a run that is given up does not wait until a dead stage has loaded', async () => {
  const { state, open } = workshop();
  await using chain = await open();
  const gate = newGate();
  state.gate = gate.promise;
  await state.threads[1]!.terminate();
  const controller = new AbortController();
  const [given, other] = [chain.run(feeds(), { signal: controller.signal }), chain.run(feeds())];
  await vi.waitFor(() => expect(state.tries).toEqual([1, 2, 1]), 20_000);
  controller.abort(new Error('never mind'));
  await expect(given).rejects.toThrow('never mind');
  gate.resolve();
  expect(await other).toEqual(ran);
});

test('a worker that lives on is watched once, and its end is noticed whatever it was linked to before', async () => {
  const { state, open } = workshop();
  await using chain = await open();
  const then = vi.spyOn(state.hosts[2]![0]!.lost, 'then');
  for (const dead of [0, 1, 0]) {
    await state.threads[dead]!.terminate();
    expect(await chain.run(feeds())).toEqual(ran);
  }
  expect(then).not.toHaveBeenCalled();
  const cut = chain.run(feeds());
  cut.catch(() => {});
  await state.threads[2]!.terminate();
  await expect(cut).rejects.toMatchObject({ code: 'E_WORKER' });
  expect(await chain.run(feeds())).toEqual(ran);
});
