/** Times a session from inside its worker, so that what is measured is the run and not the messages. */
import { createRng } from '@penjing/core';
import { decoderLayout } from './decoder-layout.js';
import { Decoder } from './decoder.js';
import { positionsPerRun } from './positions.js';
import type { CallContext, WireTensors } from './wire-types.js';
import { type SessionTable, sessionInfo } from './session-table.js';
import { toOrt } from './tensors.js';

export interface BenchParams {
  readonly handle: number;
  readonly warmup: number;
  readonly runs: number;
  readonly workload:
    | { readonly kind: 'run'; readonly feeds: WireTensors; readonly outputs: readonly string[] }
    | { readonly kind: 'decode'; readonly promptTokens: number; readonly newTokens: number; readonly vocabSize: number; readonly seed: number };
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
  { promptTokens, newTokens, vocabSize, seed }: { promptTokens: number; newTokens: number; vocabSize: number; seed: number },
): Timed {
  const { inputs, outputs } = sessionInfo(sessions.get(handle));
  const layout = decoderLayout(inputs, outputs);
  const rng = createRng(seed);
  const tokens = Int32Array.from({ length: promptTokens + newTokens }, () => rng.below(vocabSize));
  return async (signal) => {
    const decoder = new Decoder(sessions, handle, layout);
    const tokenMs: number[] = [];
    const started = performance.now();
    const step = layout.cache.length > 0 ? positionsPerRun(layout.vocabSize) : promptTokens;
    for (let at = 0; at < promptTokens; at += step) await decoder.forward(tokens.subarray(at, Math.min(promptTokens, at + step)), 1);
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
