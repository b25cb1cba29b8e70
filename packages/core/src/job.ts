/** Work that must not run on the calling thread: a function of a module, run beside an engine. */
import type { Kernels } from '@penjing/kernels';
import type { Engine } from './engine.js';
import type { TaskOptions } from './task.js';

/** What a job works with: an engine that runs in the same thread, so that tensors are used where they lie. */
export interface JobContext extends TaskOptions {
  readonly engine: Engine;
  readonly kernels: Kernels;
}

/** Input and output are plain data and typed arrays, as `structuredClone` takes them. */
export type JobFunction<Input, Output> = (input: Input, context: JobContext) => Promise<Output>;

/** A function, and where another thread finds it. */
export interface Job<Input, Output> {
  /** URL of the module. */
  readonly module: string;
  /** Name under which the module exports this job. */
  readonly name: string;
  readonly run: JobFunction<Input, Output>;
}

/**
 * URL of a module beside the caller, given the caller's `import.meta.url` and the module's name without extension. Built packages
 * are flat, so the module must be an entry of its own in tsup.config.ts. Always the ES module, which both builds can import.
 */
export function jobModule(from: string, name: string): string {
  const extension = new URL(from).pathname.endsWith('.ts') ? '.ts' : '.js';
  return new URL(name + extension, from).href;
}

export interface JobOptions extends TaskOptions {
  /** Buffers of the input that are given away instead of copied; the caller's arrays are empty afterwards. */
  readonly transfer?: readonly ArrayBuffer[];
}

export interface JobHost {
  /** Jobs that run at the same time. */
  readonly parallel: number;
  run<Input, Output>(job: Job<Input, Output>, input: Input, options?: JobOptions): Promise<Output>;
}

/** Jobs in the calling thread: for tests, for browsers' own workers, and where there is nothing else. */
export function inlineJobs({ engine, kernels }: Pick<JobContext, 'engine' | 'kernels'>): JobHost {
  return {
    parallel: 1,
    run: (job, input, { transfer: _transfer, ...task } = {}) => job.run(input, { engine, kernels, ...task }),
  };
}
