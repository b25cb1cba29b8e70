/** Times a session from inside its worker, so that what is measured is the run and not the messages. */
import { createRng } from '@penjing/core';
import type { DecoderForm } from '../generate/generation-form.js';
import { tokenModel } from './token-model.js';
import type { CallContext, WireTensors } from './wire-types.js';
import type { SessionTable } from './session-table.js';
import { toOrt } from './tensors.js';

export interface BenchParams {
  readonly handle: number;
  readonly warmup: number;
  readonly runs: number;
  readonly workload:
    | { readonly kind: 'run'; readonly feeds: WireTensors; readonly outputs: readonly string[] }
    | { readonly kind: 'decode'; readonly form?: DecoderForm | undefined; readonly promptTokens: number; readonly newTokens: number; readonly vocabSize: number; readonly seed: number };
}

/** Milliseconds of every run after the warm-up. */
export interface BenchTimes {
  readonly runMs: readonly number[];
  /** Prompt alone, one entry per run. */
  readonly prefillMs: readonly number[];
  /** Every generated token of every run. */
  readonly tokenMs: readonly number[];
}

export async function bench(
  sessions: SessionTable,
  { handle, warmup, runs, workload }: BenchParams,
  { signal }: CallContext<never>,
): Promise<BenchTimes> {
  const times = { runMs: [] as number[], prefillMs: [] as number[], tokenMs: [] as number[] };
  const once = workload.kind === 'run' ? timedRun(sessions, handle, workload) : timedDecode(sessions, handle, workload);
  for (let i = 0; i < warmup + runs; i++) {
    signal.throwIfAborted();
    const { prefillMs, tokenMs, totalMs } = await once(signal);
    if (i < warmup) continue;
    times.runMs.push(totalMs);
    if (prefillMs !== undefined) times.prefillMs.push(prefillMs);
    times.tokenMs.push(...tokenMs);
  }
  return times;
}

type Timed = (signal: AbortSignal) => Promise<{ totalMs: number; prefillMs?: number; tokenMs: readonly number[] }>;

function timedRun(sessions: SessionTable, handle: number, { feeds, outputs }: { feeds: WireTensors; outputs: readonly string[] }): Timed {
  const tensors = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toOrt(sessions.api, tensor)]));
  return async () => {
    const started = performance.now();
    await sessions.run(handle, tensors, outputs);
    return { totalMs: performance.now() - started, tokenMs: [] };
  };
}

function timedDecode(
  sessions: SessionTable,
  handle: number,
  { form, promptTokens, newTokens, vocabSize, seed }: Extract<BenchParams['workload'], { kind: 'decode' }>,
): Timed {
  const rng = createRng(seed);
  const tokens = Int32Array.from({ length: promptTokens + newTokens }, () => rng.below(vocabSize));
  return async (signal) => {
    const { decoder, positionsPerRun } = tokenModel(sessions, handle, form);
    const tokenMs: number[] = [];
    const started = performance.now();
    for (let at = 0, end; at < promptTokens; at = end) {
      end = Math.min(promptTokens, at + positionsPerRun(at));
      await decoder.forward(tokens.subarray(at, end), 1);
    }
    const prefillMs = performance.now() - started;
    for (let i = 0; i < newTokens; i++) {
      signal.throwIfAborted();
      const before = performance.now();
      await decoder.forward(tokens.subarray(promptTokens + i, promptTokens + i + 1), 1);
      tokenMs.push(performance.now() - before);
    }
    return { totalMs: performance.now() - started, prefillMs, tokenMs };
  };
}
