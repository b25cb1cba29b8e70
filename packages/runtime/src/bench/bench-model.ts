/** Measures a model: latency percentiles, tokens per second, load time, peak memory. */
import { arch, availableParallelism, cpus, platform, totalmem } from 'node:os';
import type { Feeds, TaskOptions } from '@penjing/core';
import { checkFeeds } from '../engine/feeds.js';
import { sessionSettings, type SessionOptions } from '../engine/settings.js';
import { buffersOf, toWire } from '../engine/wire.js';
import { inRange } from '../generate/range.js';
import { type ModelReference, type OpenedReference, withModels } from '../open-reference.js';
import { type RandomFeedOptions, randomFeeds } from '../random-feeds.js';
import { decoderLayout } from '../worker/decoder-layout.js';
import type { BenchParams, BenchTimes } from '../worker/bench.js';
import { type Latency, latencyOf } from './percentiles.js';

export interface BenchOptions extends SessionOptions, TaskOptions, Omit<RandomFeedOptions, 'seed'> {
  /** Runs that are not counted; 2 when absent. */
  readonly warmup?: number;
  /** Runs that are; 20, or 3 for language models, when absent. */
  readonly runs?: number;
  /** Inputs to run on; seeded random ones when absent. */
  readonly feeds?: Feeds;
  /** Language models: length of the prompt; 128 when absent. */
  readonly promptTokens?: number;
  /** Language models: tokens decoded after it; 64 when absent. */
  readonly newTokens?: number;
}

export interface BenchReport {
  readonly kind: 'language' | 'generic';
  readonly model: { readonly name: string; readonly bytes: number };
  readonly threads: number;
  /** From the call to a session that is ready. */
  readonly loadMs: number;
  /** One run; for language models one whole prompt with its answer. */
  readonly latency: Latency;
  readonly prefill?: { readonly promptTokens: number; readonly tokensPerSecond: number };
  /** `latency` is that of one token. */
  readonly decode?: { readonly newTokens: number; readonly tokensPerSecond: number; readonly latency: Latency };
  /** Highest resident memory of this process since it started. */
  readonly peakRssBytes: number;
  readonly machine: Machine;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
}

/** Loads a model in a worker and times it there. */
export async function benchModel(reference: ModelReference, options: BenchOptions = {}): Promise<BenchReport> {
  const started = performance.now();
  return withModels([reference], { ...options, generation: !options.feeds }, async (host, [opened]) => {
    const model = opened!;
    const loadMs = performance.now() - started;
    const language = model.language !== undefined && !options.feeds;
    const params = language ? decodeParams(model, options) : runParams(model, options);
    const { workload } = params;
    options.onProgress?.({ phase: 'bench', done: 0, total: params.runs, unit: 'runs' });
    const times = await host.call('bench', params, {
      transfer: workload.kind === 'run' ? buffersOf(workload.feeds) : [],
      ...(options.signal ? { signal: options.signal } : {}),
    });
    options.onProgress?.({ phase: 'bench', done: params.runs, total: params.runs, unit: 'runs' });
    return {
      kind: language ? 'language' : 'generic',
      model: { name: model.name, bytes: model.bytes },
      threads: sessionSettings(options, { bytes: 0, quantized: false, byPath: true }).threads,
      loadMs,
      latency: latencyOf(times.runMs),
      ...(workload.kind === 'decode' ? tokenRates(workload, times) : {}),
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
      machine: machine(),
    };
  });
}

/** Facts that a figure means nothing without. */
export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${platform()} ${arch()}`,
    node: process.version,
  };
}

type Decode = Extract<BenchParams['workload'], { kind: 'decode' }>;

function tokenRates({ promptTokens, newTokens }: Decode, { prefillMs, tokenMs }: BenchTimes): Pick<BenchReport, 'prefill' | 'decode'> {
  const latency = latencyOf(tokenMs);
  return {
    prefill: { promptTokens, tokensPerSecond: (promptTokens * 1000) / latencyOf(prefillMs).p50 },
    decode: { newTokens, tokensPerSecond: 1000 / latency.mean, latency },
  };
}

function counts(options: BenchOptions, runs: number): { warmup: number; runs: number } {
  return {
    warmup: inRange('warmup', options.warmup, { min: 0, max: 10_000, integer: true, fallback: 2 }),
    runs: inRange('runs', options.runs, { min: 1, max: 1_000_000, integer: true, fallback: runs }),
  };
}

function runParams(model: OpenedReference, options: BenchOptions): BenchParams {
  const feeds = options.feeds ?? randomFeeds(model.inputs, options);
  checkFeeds(model.inputs, feeds);
  const tensors = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toWire(name, tensor)]));
  const outputs = model.outputs.map(({ name }) => name);
  return { handle: model.handle, ...counts(options, 20), workload: { kind: 'run', feeds: tensors, outputs } };
}

function decodeParams(model: OpenedReference, options: BenchOptions): BenchParams {
  const context = model.language?.contextLength ?? Infinity;
  const count = (name: string, value: number | undefined, fallback: number): number =>
    inRange(name, value, { min: 1, max: 2 ** 20, integer: true, fallback });
  const promptTokens = count('promptTokens', options.promptTokens, Math.max(1, Math.min(128, Math.floor(context / 2))));
  const newTokens = count('newTokens', options.newTokens, Math.max(1, Math.min(64, context - promptTokens)));
  const { form } = model;
  const vocabSize = (form ? undefined : decoderLayout(model.session.inputs, model.session.outputs).vocabSize) ?? model.language?.vocabSize ?? 100;
  return {
    handle: model.handle,
    ...counts(options, 3),
    workload: { kind: 'decode', form, promptTokens, newTokens, vocabSize, seed: options.seed ?? 0 },
  };
}
