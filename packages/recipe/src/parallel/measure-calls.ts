/** What layouts cost beyond their engines, measured on the layouts themselves: calls, copies, outputs, sums over shards. */
import { denseOf, type Engine, type Executor, type JobHost, type Model } from '@penjing/core';
import type { CallerSpeed, Ladder, Layout } from '@penjing/parallel';
import { callProbe, givingProbe, numbers, oneNumber, pairsProbe, rowsOf, stepsProbe, takingProbe } from './speed-probes.js';
import { mean, undisturbed, type UndisturbedOptions, undisturbedTogether } from './undisturbed.js';

export interface CallProbing {
  readonly engine: Engine;
  readonly jobs: (options: { readonly parallel: number; readonly threads: number }) => JobHost & AsyncDisposable;
  readonly cores: number;
  readonly seconds: number;
  readonly signal?: AbortSignal | undefined;
  readonly step: (item: string) => void;
}

/** Bytes that are handed over: within a page or two of what is at hand, and where memory has to be asked for. */
const MOVED = [16, 256, 4096, 16_384].map((kilobytes) => kilobytes * 1024);
/** Rows of 2 KB: sums of a token and of a prompt, and of maps of images, whose memory is asked for anew. What a large sum costs shows after few. */
const SUMMED = [{ sizes: [1, 32, 512], pairs: [2, 18] }, { sizes: [4096], pairs: [1, 3] }] as const;
/** Requests under way while calls are counted. */
const UNDER_WAY = 8;

export interface Calls {
  /** One way between the thread that calls and that of an engine. */
  readonly latency: number;
  readonly caller: CallerSpeed;
  /** Of an engine alone, and of all together. */
  readonly outputs: Ladder;
  readonly outputsTogether: Ladder;
  readonly sums?: Ladder;
}

export async function measureCalls(probing: CallProbing, callSeconds: number): Promise<Calls> {
  const { engine, cores, seconds, signal, step } = probing;
  const timed = (run: () => Promise<unknown>): Promise<number> => undisturbed(run, { seconds, signal });
  const leaf = (i: number): Layout => ({ kind: 'device', device: `core${i}` });
  const all: Layout = { kind: 'data', reduction: 'concat', replicas: Array.from({ length: cores }, (_, i) => leaf(i)) };
  step('messages between threads');
  const [roundTrip, perCall] = await inLayout(probing, callProbe.make(), all, async (executor) => {
    const call = (): ReturnType<Executor['run']> => executor.run({ x: oneNumber });
    return [await timed(call), (await timed(() => Promise.all(Array.from({ length: UNDER_WAY }, call)))) / UNDER_WAY] as const;
  });
  const handing = cores > 1 ? await measureSteps(probing, leaf, Math.min(perCall, roundTrip)) : undefined;
  const rate = (bytes: number, taken: number): readonly [number, number] => [bytes, bytes / Math.max(1e-7, taken)];
  const copy = await inLayout(probing, takingProbe(), leaf(0), (executor) => inTurn(MOVED, async (bytes) => {
    step(`${bytes / 1024} KB to an engine`);
    const feeds = { x: numbers(bytes / 4) };
    return rate(bytes, (await timed(() => executor.run(feeds))) - roundTrip);
  }));
  const giving = (count: number): Promise<Ladder> => withEngines(engine, givingProbe(), count, signal, (executors) => inTurn(MOVED, async (bytes) => {
    step(`${bytes / 1024} KB from ${count === 1 ? 'an engine' : `${count} engines`}`);
    const feeds = { x: oneNumber, length: denseOf('int64', [1], [bytes / 4]) };
    const taking = (output: string): Promise<number> => meanOf(executors, (executor) => executor.run(feeds, { outputs: [output] }), { seconds, signal });
    const [given, kept] = [await taking('all'), await taking('one')];
    return rate(bytes, given - kept);
  }));
  const outputs = await giving(1);
  const outputsTogether = cores > 1 ? await giving(cores) : outputs;
  const sums = cores > 1 ? await measureSums(probing) : undefined;
  return { latency: Math.max(1e-6, (roundTrip - callSeconds) / 2), caller: { callSeconds: Math.min(perCall, roundTrip), ...handing, copy }, outputs, outputsTogether, ...(sums && { sums }) };
}

/** Of a stream of requests through two engines: where the calling thread hands on what is between them, and where they do it themselves. */
async function measureSteps(probing: CallProbing, leaf: (i: number) => Layout, callSeconds: number): Promise<Required<Pick<CallerSpeed, 'stepSeconds' | 'chainSeconds'>>> {
  const { seconds, signal } = probing;
  const stages = [{ inputs: ['x'], outputs: ['h'], layout: leaf(0) }, { inputs: ['h'], outputs: ['y'], layout: leaf(1) }];
  const perRequest = async (item: string, layout: Layout): Promise<number> => {
    probing.step(item);
    return (await inLayout(probing, stepsProbe(), layout, (executor) => undisturbed(() => Promise.all(Array.from({ length: UNDER_WAY }, () => executor.run({ x: oneNumber }))), { seconds, signal }))) / UNDER_WAY;
  };
  const chainSeconds = await perRequest('a chain', { kind: 'pipeline', microBatches: 1, stages });
  return { chainSeconds, stepSeconds: stepOf(await perRequest('steps', { kind: 'tasks', parts: stages }), callSeconds) };
}

/** As forecasts count a request through two steps (`layoutTasks`): half a step to the first, a step between them, and half a call back. */
export function stepOf(perRequest: number, callSeconds: number): number {
  return Math.max(1e-7, (perRequest - callSeconds / 2) / 1.5);
}

async function inTurn<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await run(item));
  return results;
}

async function inLayout<T>({ engine, jobs, signal }: CallProbing, model: Model, layout: Layout, body: (executor: Executor) => Promise<T>): Promise<T> {
  const { openLayout } = await import('@penjing/parallel/node');
  await using executor = await openLayout(model, layout, { engine: oneThreaded(engine), jobs, ...(signal && { signal }) });
  return await body(executor);
}

/** Whatever the cores of the machine would give each of its engines, those of chains too. */
export function oneThreaded(engine: Engine): Engine {
  const { loadChain } = engine;
  return {
    name: engine.name,
    load: (part, options) => engine.load(part, { ...options, threads: 1 }),
    ...(loadChain && { loadChain: (stages: Parameters<typeof loadChain>[0], options: Parameters<typeof loadChain>[1]) => loadChain(stages.map((stage) => ({ ...stage, threads: 1 })), options) }),
  };
}

async function withEngines<T>(engine: Engine, model: Model, count: number, signal: AbortSignal | undefined, body: (executors: readonly Executor[]) => Promise<T>): Promise<T> {
  const executors: Executor[] = [];
  try {
    for (let i = 0; i < count; i++) executors.push(await engine.load(model, { threads: 1, ...(signal && { signal }) }));
    return await body(executors);
  } finally {
    await Promise.all(executors.map((executor) => executor[Symbol.asyncDispose]()));
  }
}

async function meanOf(executors: readonly Executor[], run: (executor: Executor) => Promise<unknown>, options: UndisturbedOptions): Promise<number> {
  return mean(await undisturbedTogether(executors.map((executor) => () => run(executor)), options));
}

/** More pairs of cut products, over as many pairs of the size that a shard has of them: what is left is the sums. */
async function measureSums(probing: CallProbing): Promise<Ladder> {
  const { engine, cores, seconds, signal, step } = probing;
  const devices = Array.from({ length: cores }, (_, i) => `core${i}`);
  const ladders = await inTurn(SUMMED, async ({ sizes, pairs: counts }) => {
    const each = (executors: readonly Executor[]): Promise<number[]> => inTurn(sizes, (rows) => {
      step(`sums over ${cores} shards, ${rows} rows`);
      const { feeds } = rowsOf(rows);
      return meanOf(executors, (executor) => executor.run(feeds), { seconds, signal });
    });
    const [few, many] = await inTurn(counts, (pairs) => inLayout(probing, pairsProbe(pairs, 1), { kind: 'tensor', devices }, (executor) => each([executor])));
    const [fewComputed, manyComputed] = await inTurn(counts, (pairs) => withEngines(engine, pairsProbe(pairs, cores), cores, signal, each));
    const perPair = (i: number): number => (many![i]! - few![i]! - (manyComputed![i]! - fewComputed![i]!)) / (counts[1] - counts[0]);
    return sizes.map((rows, i) => [rowsOf(rows).bytes, Math.max(1e-7, perPair(i))] as const);
  });
  return ladders.flat();
}
