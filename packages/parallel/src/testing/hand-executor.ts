/** For tests: an executor that ends its runs when it is told to, and notes what it was given. */
import { DenseTensor, type Executor, type Feeds, type Fetches, type RunOptions, tensorType, type ValueInfo } from '@penjing/core';

export interface HandRun {
  readonly feeds: Feeds;
  readonly options: RunOptions;
  /** Gives every output as a tensor of this number, with as many rows as the first feed. */
  end(number: number): void;
  fail(error: Error): void;
}

export interface HandExecutor extends Executor {
  /** Runs in the order in which they began. */
  readonly runs: HandRun[];
  disposed: boolean;
}

/** Inputs and outputs are float32 with a batch in front. */
export function handExecutor(inputs: readonly string[], outputs: readonly string[]): HandExecutor {
  const info = (name: string): ValueInfo => ({ name, type: tensorType('float32', ['batch']) });
  const executor: HandExecutor = {
    inputs: inputs.map(info),
    outputs: outputs.map(info),
    runs: [],
    disposed: false,
    run: (feeds, options = {}) =>
      new Promise<Fetches>((resolve, reject) => {
        const rows = Object.values(feeds)[0]?.shape[0] ?? 1;
        const end = (number: number): void => resolve(Object.fromEntries((options.outputs ?? outputs).map((name) => [name, DenseTensor.of('float32', [rows], new Float32Array(rows).fill(number))])));
        options.signal?.addEventListener('abort', () => reject(options.signal!.reason as Error), { once: true });
        executor.runs.push({ feeds, options, end, fail: reject });
      }),
    [Symbol.asyncDispose]: () => {
      executor.disposed = true;
      return Promise.resolve();
    },
  };
  return executor;
}

/** A batch of float32. */
export const numbers = (...values: number[]): DenseTensor => DenseTensor.of('float32', [values.length], Float32Array.from(values));

export const valuesOf = (tensor: Fetches[string] | undefined): number[] => (tensor?.kind === 'dense' ? [...(tensor.data as Float32Array)] : []);
