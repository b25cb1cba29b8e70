/** Times two models in turn, so that what else the machine does meets both alike. */
import { PenjingError } from '@penjing/core';
import { type ModelReference, type OpenedReference, withModels } from '../open-reference.js';
import type { SessionHost } from '../session-host.js';
import { type BenchOptions, benchParams, type Machine, machine, threadsOf, timesOf, tokenRates, type TokenRates } from './bench-model.js';
import { type Latency, latencyOf } from './percentiles.js';

export interface TimedModel extends Partial<TokenRates> {
  readonly name: string;
  readonly bytes: number;
  readonly latency: Latency;
}

export interface SpeedRatio {
  /** Median over the rounds of how many times as fast a is as b. */
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface SpeedComparison {
  readonly kind: 'language' | 'generic';
  readonly a: TimedModel;
  readonly b: TimedModel;
  /** a runs once, then b; in the next round b runs first. */
  readonly rounds: number;
  /** Above 1 where a is faster. */
  readonly ratio: SpeedRatio;
  /** Language models: of the prompt alone, and of the tokens after it. */
  readonly prefillRatio?: SpeedRatio;
  readonly decodeRatio?: SpeedRatio;
  readonly threads: number;
  readonly peakRssBytes: number;
  readonly machine: Machine;
}

/** Loads both in one worker and times them in interleaved rounds. Throws `E_INPUT` where one is a language model and the other is not. */
export async function benchAgainst(a: ModelReference, b: ModelReference, options: BenchOptions = {}): Promise<SpeedComparison> {
  // Two sessions on one thread take turns; a pool that spins while it waits would slow down the other.
  return withModels([a, b], { ...options, generation: !options.feeds, spin: false }, async (host, opened) => {
    const [left, right] = opened as readonly [OpenedReference, OpenedReference];
    const plans = [left, right].map((model) => ({ model, params: benchParams(model, options), runMs: [] as number[], prefillMs: [] as number[], tokenMs: [] as number[], decodeMs: [] as number[] }));
    const [one, other] = plans as [Plan, Plan];
    if (one.params.workload.kind !== other.params.workload.kind) {
      throw new PenjingError('E_INPUT', `${one.params.workload.kind === 'decode' ? left.name : right.name} is a language model, the other is not`, { hint: 'Compare models that do the same.' });
    }
    const { warmup, runs } = one.params;
    for (let round = 0; round < warmup + runs; round++) {
      options.onProgress?.({ phase: 'bench', done: round, total: warmup + runs, unit: 'rounds' });
      for (const plan of round % 2 === 0 ? [one, other] : [other, one]) await runOnce(host, plan, round >= warmup, options);
    }
    const language = one.params.workload.kind === 'decode';
    return {
      kind: language ? 'language' : 'generic',
      a: timed(one), b: timed(other), rounds: runs, ratio: ratioOf(one.runMs, other.runMs),
      ...(language && { prefillRatio: ratioOf(one.prefillMs, other.prefillMs), decodeRatio: ratioOf(one.decodeMs, other.decodeMs) }),
      threads: threadsOf(options), peakRssBytes: process.resourceUsage().maxRSS * 1024, machine: machine(),
    };
  });
}

interface Plan {
  readonly model: OpenedReference;
  readonly params: ReturnType<typeof benchParams>;
  readonly runMs: number[];
  readonly prefillMs: number[];
  readonly tokenMs: number[];
  /** Mean of the tokens of each round. */
  readonly decodeMs: number[];
}

async function runOnce(host: SessionHost, plan: Plan, counts: boolean, options: BenchOptions): Promise<void> {
  // What is sent is given away: each round sends a copy.
  const times = await timesOf(host, { ...structuredClone(plan.params), warmup: 0, runs: 1 }, options);
  if (!counts) return;
  plan.runMs.push(...times.runMs);
  plan.prefillMs.push(...times.prefillMs);
  plan.tokenMs.push(...times.tokenMs);
  if (times.tokenMs.length > 0) plan.decodeMs.push(latencyOf(times.tokenMs).mean);
}

function timed({ model, params: { workload }, runMs, prefillMs, tokenMs }: Plan): TimedModel {
  return { name: model.name, bytes: model.bytes, latency: latencyOf(runMs), ...(workload.kind === 'decode' && tokenRates(workload, { runMs, prefillMs, tokenMs })) };
}

function ratioOf(a: readonly number[], b: readonly number[]): SpeedRatio {
  const ratios = a.map((time, i) => b[i]! / time).sort((x, y) => x - y);
  return { median: latencyOf(ratios).p50, min: ratios[0] ?? NaN, max: ratios.at(-1) ?? NaN };
}
