/** A session as a stage of a chain: values come in by one port and go on by another, past the calling thread. */
import type { MessagePort } from 'node:worker_threads';
import { type PlainError, toPlainError } from '@penjing/core';
import { buffersOf } from '../engine/wire.js';
import { freeBuffers } from './free-buffers.js';
import type { SessionTable } from './session-table.js';
import { allToOrt, fromOrt } from './tensors.js';
import type { WireTensors } from './wire-types.js';

export interface ChainLink {
  readonly handle: number;
  readonly reads: readonly string[];
  /** Outputs that a later stage or the caller reads. */
  readonly gives: readonly string[];
  /** Values from before this stage that go on behind it. */
  readonly passes: readonly string[];
  readonly input: MessagePort;
  readonly output: MessagePort;
}

/**
 * What goes along a chain: runs, whose numbers grow; those that failed and those that a stage skipped, which the stages behind pass on in their turn; and, ahead of all, the word that one was given up.
 * Of every run one message comes through every stage, so that none keeps what it heard of it.
 */
export type ChainMessage = { readonly id: number; readonly values: WireTensors } | { readonly id: number; readonly error: PlainError } | { readonly id: number; readonly skipped: true } | { readonly drop: number };

export interface JoinedChain {
  /** Runs that were given up and have not come yet. */
  readonly dropped: ReadonlySet<number>;
  /** What waits is not done any more. */
  readonly leave: () => void;
}

/** Runs are done in the order in which they come. */
export function joinChain(sessions: Pick<SessionTable, 'api' | 'run'>, { handle, reads, gives, passes, input, output }: ChainLink): JoinedChain {
  const dropped = new Set<number>();
  let last = 0;
  let left = false;
  let turn = Promise.resolve();

  async function run(values: WireTensors): Promise<WireTensors> {
    const fetched = await sessions.run(handle, allToOrt(sessions.api, pick(values, reads)), gives);
    const next = { ...pick(values, passes), ...Object.fromEntries(gives.map((name) => [name, fromOrt(name, fetched[name]!, [])])) };
    const going = new Set(buffersOf(next));
    freeBuffers(buffersOf(values).filter((buffer) => !going.has(buffer)));
    return next;
  }

  async function take(message: Exclude<ChainMessage, { drop: number }>): Promise<void> {
    // A run blocks this thread: what was said meanwhile, that the next one is given up or that all is over, is to be heard before that begins.
    await new Promise((resolve) => setImmediate(resolve));
    const { id } = message;
    last = id;
    const skip = dropped.delete(id) || left;
    if (!('values' in message)) return output.postMessage(message);
    if (skip) {
      freeBuffers(buffersOf(message.values));
      return output.postMessage({ id, skipped: true });
    }
    try {
      const values = await run(message.values);
      output.postMessage({ id, values }, buffersOf(values));
    } catch (error) {
      output.postMessage({ id, error: toPlainError(error, 'E_ENGINE') });
    }
  }

  input.on('message', (message: ChainMessage) => {
    if (!('drop' in message)) turn = turn.then(() => take(message));
    else {
      // One that has been here already is dropped further on.
      if (message.drop > last) dropped.add(message.drop);
      output.postMessage(message);
    }
  });
  // A worker lives until it is told to end, not until its neighbours do.
  input.unref();
  return {
    dropped,
    leave() {
      left = true;
      input.close();
      output.close();
    },
  };
}

const pick = (values: WireTensors, names: readonly string[]): WireTensors => Object.fromEntries(names.map((name) => [name, values[name]!]));
