/** A job in the worker of a session, beside the models that it holds. */
import type { Job } from '@penjing/core';
import type { SessionHost } from '../session-host.js';

export interface RunJobOptions {
  readonly signal?: AbortSignal | undefined;
  readonly transfer?: readonly ArrayBuffer[];
}

/** The job gets nowhere to spill: it computes from its input alone. */
export async function runJobIn<Input, Output>(host: SessionHost, { module, name }: Job<Input, Output>, input: Input, { signal, transfer }: RunJobOptions = {}): Promise<Output> {
  const output = await host.call('job', { module, name, input, seed: undefined, threads: undefined, spills: '', results: undefined }, { ...(signal && { signal }), ...(transfer && { transfer }) });
  return output as Output;
}
