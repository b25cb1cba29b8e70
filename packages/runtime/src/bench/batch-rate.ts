/** How many tokens several texts get together when they are written at the same time. */
import { createRng } from '@penjing/core';
import { samplingParams } from '../generate/options.js';
import { inRange } from '../generate/range.js';
import type { OpenedReference } from '../open-reference.js';
import type { SessionHost } from '../session-host.js';
import type { BenchParams } from '../worker/bench.js';
import { type Latency, latencyOf } from './percentiles.js';

export interface BatchRate {
  /** Texts at the same time. */
  readonly size: number;
  /** Of all of them together, from the first prompt's begin to the last text's end; median of the runs. */
  readonly tokensPerSecond: number;
  /** The same without the prompts: sum of what each text got after its prompt was read. */
  readonly decodeTokensPerSecond: number;
  /** Of a run: all texts with their prompts. */
  readonly latency: Latency;
}

export interface BatchRateOptions {
  readonly size: number;
  readonly warmup: number;
  readonly runs: number;
  readonly signal?: AbortSignal;
}

/** Throws `E_OPTION` for a number of texts that cannot be measured. */
export function checkBatchSize(size: number): number {
  return inRange('batches', size, { min: 1, max: 256, integer: true, fallback: 1 });
}

/** Each text has a random prompt of its own, so that none is found in the prefix cache. */
export async function batchRate(host: SessionHost, { handle, form }: OpenedReference, { promptTokens, newTokens, vocabSize, seed }: Extract<BenchParams['workload'], { kind: 'decode' }>, { size, warmup, runs, signal }: BatchRateOptions): Promise<BatchRate> {
  const rng = createRng(seed + size);
  const sampling = samplingParams({});
  const times: number[] = [];
  const rates: number[] = [];
  for (let run = 0; run < warmup + runs; run++) {
    const prompts = Array.from({ length: size }, () => Array.from({ length: promptTokens }, () => rng.below(vocabSize)));
    const started = performance.now();
    const results = await Promise.all(prompts.map((prompt) => host.call('generate', { handle, form, prompt, maxNewTokens: newTokens, endTokens: [], sampling }, { ...(signal && { signal }) })));
    const ms = performance.now() - started;
    if (run < warmup) continue;
    times.push(ms);
    rates.push(results.reduce((sum, { decodeMs }) => sum + (newTokens * 1000) / Math.max(decodeMs, 1e-3), 0));
  }
  const latency = latencyOf(times);
  return { size, tokensPerSecond: (size * newTokens * 1000) / latency.p50, decodeTokensPerSecond: latencyOf(rates).p50, latency };
}
