/** Sessions in a row as one `Executor`: each hands what it gives to the next one's port, and the last to the calling thread. */
import { setMaxListeners } from 'node:events';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { type Executor, type Feeds, type Fetches, fromPlainError, PenjingError, type RunOptions, type ValueInfo, untilAborted } from '@penjing/core';
import type { ChainMessage } from '../worker/chain-stage.js';
import type { WireTensors } from '../worker/wire-types.js';
import { checkFeeds, checkOutputs } from './feeds.js';
import type { Started } from './ort-engine.js';
import { buffersOf, fromWire, toWire } from './wire.js';

type Open = (signal?: AbortSignal) => Promise<Started>;

/** Opens its own workers again: neighbours of a dead one get new ports, and keep their sessions. */
export class OrtChain implements Executor {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #openers: readonly Open[];
  readonly #stages: Started[];
  #line: Promise<Line> | undefined;
  /** The line that the workers feed now: what is to end when one of them is lost. */
  #current: Line | undefined;
  #disposed: Promise<void> | undefined;

  /** `signal` ends the first opening only. */
  static async open(openers: readonly Open[], outputs: readonly string[], signal?: AbortSignal): Promise<OrtChain> {
    const settled = await Promise.allSettled(openers.map((open) => open(signal)));
    const stages = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    try {
      for (const one of settled) if (one.status === 'rejected') throw one.reason;
      const chain = new OrtChain(openers, stages, outputs);
      await chain.#linked();
      return chain;
    } catch (error) {
      await Promise.all(stages.map((stage) => close(stage, signal)));
      throw error;
    }
  }

  private constructor(openers: readonly Open[], stages: Started[], outputs: readonly string[]) {
    this.#openers = openers;
    this.#stages = stages;
    for (const stage of stages) this.#watch(stage);
    const given = stages.flatMap(({ opened }) => opened.outputs);
    const byName = new Map(stages.flatMap(({ opened }) => opened.inputs).map((info) => [info.name, info]));
    this.inputs = [...byName.values()].filter(({ name }) => !given.some((info) => info.name === name));
    this.outputs = outputs.map((name) => {
      const found = given.find((info) => info.name === name) ?? byName.get(name);
      if (!found) throw new PenjingError('E_GRAPH', `no stage of the chain gives ${name}`, { hint: `The stages give ${given.map((info) => info.name).join(', ') || '(nothing)'}.` });
      return found;
    });
  }

  async run(feeds: Feeds, { outputs, signal, transfer = [] }: RunOptions = {}): Promise<Fetches> {
    const wanted = outputs ?? this.outputs.map(({ name }) => name);
    checkFeeds(this.inputs, feeds);
    checkOutputs(this.outputs, wanted);
    // A dead stage may load for seconds; the others of this line wait for it, not who has given up.
    // A server gives one signal to many calls; Node would warn of a leak from the eleventh on.
    if (signal) setMaxListeners(0, signal);
    const line = await untilAborted(this.#linked(), signal);
    signal?.throwIfAborted();
    const result = await line.run(Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toWire(name, tensor, transfer.includes(name))])), signal);
    return Object.fromEntries(wanted.map((name) => [name, fromWire(result[name]!)]));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    const line = await this.#line?.catch(() => undefined);
    line?.end(disposed('the session was disposed during the call'));
    await Promise.all(this.#stages.map((stage) => close(stage)));
  }

  #linked(): Promise<Line> {
    if (this.#disposed) return Promise.reject(disposed('run was called on a disposed session'));
    if (this.#line) return this.#line;
    const forget = (): void => void (this.#line === line && (this.#line = undefined));
    const line = this.#link(forget).catch((error: unknown) => {
      forget();
      throw error;
    });
    this.#line = line;
    return line;
  }

  async #link(onEnd: () => void): Promise<Line> {
    await this.#reopen();
    const channels = Array.from({ length: this.#stages.length + 1 }, () => new MessageChannel());
    const line = new Line(channels[0]!.port1, channels.at(-1)!.port2, () => {
      if (this.#current === line) this.#current = undefined;
      onEnd();
    });
    this.#current = line;
    try {
      await Promise.all(this.#stages.map(({ host, opened }, i) => {
        const [input, output] = [channels[i]!.port2, channels[i + 1]!.port1];
        return host.call('chain', { handle: opened.handle, ...this.#roleOf(i), input, output }, { transfer: [input, output] });
      }));
    } catch (error) {
      line.end(error as Error);
      throw error;
    }
    return line;
  }

  /** Waits for all, also when one fails: what still loads would belong to nobody, and the next run would load it beside. */
  async #reopen(): Promise<void> {
    const settled = await Promise.allSettled(this.#stages.map(async (stage, i) => {
      if (!stage.host.failed) return;
      await close(stage).catch(() => {});
      this.#stages[i] = await this.#openers[i]!();
      this.#watch(this.#stages[i]);
    }));
    for (const one of settled) if (one.status === 'rejected') throw one.reason;
    // Who disposes waits for this, and closes what is there then.
    if (this.#disposed) throw disposed('the session was disposed during the call');
  }

  /** Once for a worker: it sees many lines end with its neighbours, and keeps none of them. */
  #watch({ host }: Started): void {
    void host.lost.then((error) => this.#current?.end(error));
  }

  #roleOf(i: number): { readonly reads: string[]; readonly gives: string[]; readonly passes: string[] } {
    const namesOf = (side: 'inputs' | 'outputs', stages: readonly Started[]): string[] => stages.flatMap(({ opened }) => opened[side].map(({ name }) => name));
    const [before, own, after] = [this.#stages.slice(0, i), [this.#stages[i]!], this.#stages.slice(i + 1)];
    const later = new Set([...namesOf('inputs', after), ...this.outputs.map(({ name }) => name)]);
    const known = new Set([...this.inputs.map(({ name }) => name), ...namesOf('outputs', before)]);
    return { reads: namesOf('inputs', own), gives: namesOf('outputs', own).filter((name) => later.has(name)), passes: [...known].filter((name) => later.has(name)) };
  }
}

interface Pending {
  resolve(values: WireTensors): void;
  reject(error: Error): void;
}

/** The two ends of a chain, and the runs between them. */
class Line {
  readonly #entry: MessagePort;
  readonly #exit: MessagePort;
  readonly #pending = new Map<number, Pending>();
  readonly #onEnd: () => void;
  #failure: Error | undefined;
  #next = 1;

  /** `onEnd` is called before the runs hear of it, so that they find another line when they are done again. */
  constructor(entry: MessagePort, exit: MessagePort, onEnd: () => void) {
    this.#onEnd = onEnd;
    this.#entry = entry;
    this.#exit = exit;
    exit.on('message', (message: ChainMessage) => {
      if ('drop' in message || 'skipped' in message) return;
      const pending = this.#pending.get(message.id);
      if ('error' in message) pending?.reject(fromPlainError(message.error));
      else pending?.resolve(message.values);
    });
    // What runs holds a program open, an idle chain does not.
    exit.unref();
    entry.unref();
  }

  run(values: WireTensors, signal: AbortSignal | undefined): Promise<WireTensors> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#entry.postMessage({ drop: id });
        settle(() => reject(signal!.reason as Error));
      };
      const settle = (then: () => void): void => {
        signal?.removeEventListener('abort', abort);
        this.#pending.delete(id);
        if (this.#pending.size === 0) this.#exit.unref();
        then();
      };
      signal?.addEventListener('abort', abort, { once: true });
      if (this.#pending.size === 0) this.#exit.ref();
      this.#pending.set(id, { resolve: (result) => settle(() => resolve(result)), reject: (error) => settle(() => reject(error)) });
      try {
        this.#entry.postMessage({ id, values }, buffersOf(values));
      } catch (cause) {
        settle(() => reject(new PenjingError('E_INPUT', `the feeds could not be sent to the session worker: ${String(cause)}`, { cause, hint: 'Give tensors whose memory is still theirs: a buffer that was given away before is empty.' })));
      }
    });
  }

  end(why: Error): void {
    if (this.#failure) return;
    this.#failure = why;
    this.#onEnd();
    for (const pending of [...this.#pending.values()]) pending.reject(why);
    this.#entry.close();
    this.#exit.close();
  }
}

const disposed = (message: string): PenjingError => new PenjingError('E_DISPOSED', message, { hint: 'Load the stages again.' });

function close({ host, opened }: Started, signal?: AbortSignal): Promise<void> {
  return host.release(signal, opened.cleanup);
}
