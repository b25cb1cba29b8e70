/** A loaded session as core's `Executor`. */
import type { Executor, Feeds, Fetches, RunOptions, ValueInfo } from '@penjing/core';
import type { SessionHost } from '../session-host.js';
import { checkFeeds, checkOutputs } from './feeds.js';
import type { OpenedModel } from './open.js';
import { buffersOf, fromWire, toWire } from './wire.js';

export class OrtExecutor implements Executor {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #host: SessionHost;
  readonly #opened: OpenedModel;
  #disposed: Promise<void> | undefined;

  constructor(host: SessionHost, opened: OpenedModel) {
    this.inputs = opened.inputs;
    this.outputs = opened.outputs;
    this.#host = host;
    this.#opened = opened;
  }

  async run(feeds: Feeds, { outputs, signal, transfer = [] }: RunOptions = {}): Promise<Fetches> {
    const wanted = outputs ?? this.outputs.map(({ name }) => name);
    checkFeeds(this.inputs, feeds);
    checkOutputs(this.outputs, wanted);
    const tensors = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toWire(name, tensor, transfer.includes(name))]));
    const result = await this.#host.call(
      'run',
      { handle: this.#opened.handle, feeds: tensors, outputs: wanted },
      { transfer: buffersOf(tensors), ...(signal ? { signal } : {}) },
    );
    return Object.fromEntries(wanted.map((name) => [name, fromWire(result[name]!)]));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#host[Symbol.asyncDispose]().finally(() => this.#opened.cleanup());
    return this.#disposed;
  }
}
