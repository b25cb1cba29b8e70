/** Measures a model: latency percentiles, tokens per second, load time, peak memory. */
import { arch, availableParallelism, cpus, freemem, loadavg, platform, totalmem } from 'node:os';
import { type Feeds, PenjingError, type TaskOptions } from '@penjing/core';
import { checkFeeds } from '../engine/feeds.js';
import { sessionSettings, type SessionOptions } from '../engine/settings.js';
import { buffersOf, toWire } from '../engine/wire.js';
import { inRange } from '../generate/range.js';
import { type ModelReference, type OpenedReference, type ReferenceOptions, withModels } from '../open-reference.js';
import { type RandomFeedOptions, randomFeeds } from '../random-feeds.js';
import type { SessionHost } from '../session-host.js';
import { decoderLayout } from '../worker/decoder-layout.js';
import type { BenchParams, BenchTimes } from '../worker/bench.js';
import { batchRate, type BatchRate, checkBatchSize } from './batch-rate.js';
import { type Latency, latencyOf } from './percentiles.js';

export interface BenchOptions extends SessionOptions, TaskOptions, Omit<RandomFeedOptions, 'seed'>, Pick<ReferenceOptions, 'kvCache'> {
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
  /** Language models: prompts of these lengths are measured too, each with `newTokens` after it. */
  readonly contexts?: readonly number[];
  /** Language models: so many texts are written at the same time, sharing runs where the model has the form for it. */
  readonly batches?: readonly number[];
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
  /** For each length that was asked for. */
  readonly contexts?: readonly TokenRates[];
  readonly batches?: readonly BatchRate[];
  /** Highest resident memory of this process since it started. */
  readonly peakRssBytes: number;
  readonly machine: Machine;
}

export type TokenRates = Required<Pick<BenchReport, 'prefill' | 'decode'>>;

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
  /** Of the last minute, when the facts were asked for: work that other processes had. */
  readonly loadAverage: number;
  readonly freeMemoryBytes: number;
}

/** Loads a model in a worker and times it there. */
export async function benchModel(reference: ModelReference, options: BenchOptions = {}): Promise<BenchReport> {
  const started = performance.now();
  return withModels([reference], { ...options, generation: !options.feeds }, async (host, [opened]) => {
    const model = opened!;
    const loadMs = performance.now() - started;
    const params = benchParams(model, options);
    const language = params.workload.kind === 'decode';
    const others = language ? contextParams(model, options) : refuseTokens(options);
    const sizes = (options.batches ?? []).map(checkBatchSize);
    const total = params.runs * (1 + others.length + sizes.length);
    let done = 0;
    const progress = (runs: number): void => options.onProgress?.({ phase: 'bench', done: (done += runs), total, unit: 'runs' });
    progress(0);
    const times = await timesOf(host, params, options);
    progress(params.runs);
    const contexts: TokenRates[] = [];
    for (const other of others) {
      contexts.push(tokenRates(other.workload as Decode, await timesOf(host, other, options)));
      progress(params.runs);
    }
    const batches: BatchRate[] = [];
    for (const size of sizes) {
      batches.push(await batchRate(host, model, params.workload as Decode, { size, warmup: params.warmup, runs: params.runs, ...(options.signal && { signal: options.signal }) }));
      progress(params.runs);
    }
    return {
      kind: language ? 'language' : 'generic',
      model: { name: model.name, bytes: model.bytes },
      threads: threadsOf(options),
      loadMs,
      latency: latencyOf(times.runMs),
      ...(params.workload.kind === 'decode' ? tokenRates(params.workload, times) : {}),
      ...(contexts.length > 0 && { contexts }),
      ...(batches.length > 0 && { batches }),
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
      machine: machine(),
    };
  });
}

export const threadsOf = (options: SessionOptions): number => sessionSettings(options, { bytes: 0, quantized: false, byPath: true }).threads;

/** What is run: a prompt and its answer by a language model, the given or random inputs by others. */
export function benchParams(model: OpenedReference, options: BenchOptions): BenchParams {
  return model.language !== undefined && !options.feeds ? decodeParams(model, options) : runParams(model, options);
}

export function timesOf(host: SessionHost, params: BenchParams, { signal }: BenchOptions): Promise<BenchTimes> {
  const { workload } = params;
  return host.call('bench', params, { transfer: workload.kind === 'run' ? buffersOf(workload.feeds) : [], ...(signal && { signal }) });
}

function contextParams(model: OpenedReference, options: BenchOptions): BenchParams[] {
  const { contexts = [], newTokens = 64 } = options;
  const most = (model.language?.contextLength ?? 2 ** 20) - newTokens;
  return contexts.map((length) => decodeParams(model, { ...options, newTokens, promptTokens: inRange('contexts', length, { min: 1, max: Math.max(1, most), integer: true, fallback: 1 }) }));
}

function refuseTokens({ contexts, batches }: BenchOptions): [] {
  if (contexts?.length || batches?.length) throw new PenjingError('E_OPTION', 'contexts and batches are measured of language models, this is none', { hint: 'Leave them out.' });
  return [];
}

/** Facts that a figure means nothing without. */
export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${platform()} ${arch()}`,
    node: process.version,
    loadAverage: loadavg()[0]!,
    freeMemoryBytes: freemem(),
  };
}

type Decode = Extract<BenchParams['workload'], { kind: 'decode' }>;

export function tokenRates({ promptTokens, newTokens }: Decode, { prefillMs, tokenMs }: BenchTimes): TokenRates {
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
