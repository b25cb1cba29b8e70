/** What every task begins with: a model folder opened in a session worker, and what its configuration says. */
import { join } from 'node:path';
import { type Feeds, type Fetches, PenjingError, type ValueInfo } from '@penjing/core';
import { OrtExecutor } from '../engine/executor.js';
import { checkFeeds } from '../engine/feeds.js';
import { openFile } from '../engine/open.js';
import type { SessionOptions } from '../engine/settings.js';
import { buffersOf, toWire } from '../engine/wire.js';
import { locateModel } from '../model-folder.js';
import { type SessionHost, sessionHostFor } from '../session-host.js';
import { readJson } from '../tokenize/tokenizer-files.js';
import type { Reduced, Reduction } from '../worker/reduce.js';

export interface LoadTaskOptions extends SessionOptions {
  /** Which file of the folder: 'fp32' (model.onnx), 'fp16', 'q8', 'q4', … or another suffix. */
  readonly variant?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type JsonObject = Readonly<Record<string, unknown>>;

export interface TaskModel extends AsyncDisposable {
  readonly folder: string;
  /** config.json; empty when there is none. */
  readonly config: JsonObject;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  run(feeds: Feeds, outputs: readonly string[], signal?: AbortSignal): Promise<Fetches>;
  /** Runs, and gives what the worker makes of one output. */
  reduce(feeds: Feeds, output: string, reduction: Reduction, signal?: AbortSignal): Promise<Reduced>;
  /** The worker of the session, and the session in it. */
  readonly host: SessionHost;
  readonly handle: number;
}

/** Opens a model folder, or an ONNX file in one. Throws `E_NOT_FOUND`, and what checking the file throws. */
export async function openTaskModel(path: string, { variant, signal, ...session }: LoadTaskOptions = {}): Promise<TaskModel> {
  const { path: file, folder } = await locateModel(path, variant);
  const config = (await readJson(join(folder, 'config.json'))) ?? {};
  const host = sessionHostFor(session);
  try {
    const opened = await openFile(host, file, { ...session, ...(signal && { signal }) });
    const executor = new OrtExecutor(host, opened);
    return {
      folder,
      config,
      inputs: executor.inputs,
      outputs: executor.outputs,
      run: (feeds, outputs, stop) => executor.run(feeds, { outputs, ...(stop && { signal: stop }) }),
      reduce(feeds, output, reduction, stop) {
        checkFeeds(executor.inputs, feeds);
        const tensors = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toWire(name, tensor)]));
        return host.call('reduce', { handle: opened.handle, feeds: tensors, output, reduction }, { transfer: buffersOf(tensors), ...(stop && { signal: stop }) });
      },
      host,
      handle: opened.handle,
      [Symbol.asyncDispose]: () => executor[Symbol.asyncDispose](),
    };
  } catch (error) {
    await host.release(signal);
    throw error;
  }
}

/** The first of `names` that the model gives. Throws `E_TASK` listing what it gives instead. */
export function outputNamed(model: Pick<TaskModel, 'outputs' | 'folder'>, names: readonly string[], task: string): string {
  const found = names.find((name) => model.outputs.some((output) => output.name === name));
  if (found !== undefined) return found;
  throw new PenjingError('E_TASK', `${model.folder} is not for ${task}: it gives ${model.outputs.map(({ name }) => name).join(', ') || 'nothing'}, not ${names.join(' or ')}`, {
    hint: 'Convert the checkpoint for the task (`penjing convert --task …`), or run it for what it was converted for (`penjing run --task …`).',
  });
}

export function isList(value: unknown): boolean {
  return Array.isArray(value);
}

/** An integer from `low` to `high`. Throws `E_OPTION` naming the option and its range. */
export function wholeNumber(name: string, value: number | undefined, usual: number, low: number, high: number): number {
  if (value === undefined) return usual;
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new PenjingError('E_OPTION', `${name} is ${value}; it must be a whole number from ${low} to ${high}`);
}

/** One of the names. Throws `E_OPTION` listing them. */
export function oneOf<Name extends string>(option: string, value: Name | undefined, names: readonly Name[], usual: Name): Name {
  if (value === undefined) return usual;
  if (names.includes(value)) return value;
  throw new PenjingError('E_OPTION', `${option} is ${String(value)}`, { hint: `It is one of ${names.join(', ')}.` });
}
