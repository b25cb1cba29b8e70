/** Runs one block of a model over samples: activations come from the shelf and go back to it, statistics are gathered on the way. */
import type { Executor } from '../engine.js';
import type { Kernels } from '@penjing/kernels';
import { type Job, type JobContext, type PreparedModel, type ShelfReference, jobModule } from '../job.js';
import { matrixProducts, type Products } from '../linalg/products.js';
import type { DenseTensor } from '../tensor.js';
import { type StatisticName, type Statistics, collectors } from './collectors/index.js';
import { finishGathered, type Gathered, gatheredAs, mergeGathered } from './merge-parts.js';
import type { Patches } from './patches.js';

export interface BlockJobInput {
  /** Computes the values that are no inputs; absent when there are none. */
  readonly model: PreparedModel | undefined;
  readonly shelf: ShelfReference;
  /** Statistics of parts are merged in this order. */
  readonly parts: readonly SampleRange[];
  /** Values that are taken from the shelf, and those that are put there, by name. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Values that nothing needs afterwards; a job that drops some cannot be run twice. */
  readonly drop: readonly string[];
  readonly collect: readonly NamedRequest[];
  /** Where large statistics go. */
  readonly large: ShelfReference;
}

/** From the first sample to the one behind the last. */
export interface SampleRange {
  readonly start: number;
  readonly end: number;
}

/** What to gather of a value. */
export interface StatisticRequest {
  readonly value: string;
  readonly statistic: StatisticName;
  /** The value is no value of the model, but these patches of one, under a name that says so. */
  readonly patches?: Patches | undefined;
}

export interface NamedRequest extends Omit<StatisticRequest, 'patches'> {
  /** Name on the shelf, if the statistic is large. */
  readonly name: string;
  /** Of what is put there. */
  readonly identity: string | undefined;
}

export interface Collected extends Omit<StatisticRequest, 'patches'> {
  readonly result: Statistics[StatisticName];
  /** The first sample in which the value holds NaN or infinities. */
  readonly broken: number | undefined;
}

export const blockJob: Job<BlockJobInput, readonly Collected[]> = { module: jobModule(import.meta.url, './block-job'), name: 'blockJob', run: runBlock };

/** Name on the shelf of a value of one sample. */
export function shelfName(sample: number, value: string): string {
  return `${sample}/${value}`;
}

async function runBlock(input: BlockJobInput, context: JobContext): Promise<readonly Collected[]> {
  await using products = matrixProducts(context.engine);
  await using executor = input.model && (await context.load(input.model));
  let merged: readonly Gathered[] | undefined;
  for (const part of input.parts) {
    const gathered = await runPart(part, input, { ...context, executor, products });
    merged = merged ? merged.map((before, i) => mergeGathered(before, gathered[i]!)) : gathered;
  }
  return finishGathered(merged ?? [], input.collect, context.shelf(input.large));
}

interface PartTools extends JobContext {
  readonly executor: Executor | undefined;
  readonly products: Products;
}

async function runPart({ start, end }: SampleRange, { shelf: reference, parts, inputs, outputs, drop, collect }: BlockJobInput, { executor, products, kernels, signal, onProgress, shelf: openShelf }: PartTools): Promise<readonly Gathered[]> {
  const shelf = openShelf(reference);
  const broken = new Map<string, number>();
  const gathering = collect.map(({ value, statistic }) => ({ value, statistic: gatheredAs(statistic), collector: collectors[gatheredAs(statistic)](value, { kernels, products }) }));
  const wanted = [...new Set([...outputs, ...collect.map(({ value }) => value)])].filter((name) => !inputs.includes(name));
  const total = parts.at(-1)!.end;
  for (let sample = start; sample < end; sample++) {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'calibrate', done: sample, total, unit: 'samples' });
    const feeds: Record<string, DenseTensor> = {};
    for (const name of inputs) feeds[name] = await shelf.get(shelfName(sample, name));
    const fetched = executor ? await executor.run(feeds, { outputs: wanted, ...(signal && { signal }) }) : {};
    const valueOf = (name: string): DenseTensor => (feeds[name] ?? fetched[name]) as DenseTensor;
    for (const value of new Set(gathering.map((item) => item.value))) {
      if (!broken.has(value) && !isFinite(valueOf(value), kernels)) broken.set(value, sample);
    }
    for (const { value, collector } of gathering) await collector.add(valueOf(value));
    for (const name of outputs) await shelf.put(shelfName(sample, name), valueOf(name));
    for (const name of drop) await shelf.delete(shelfName(sample, name));
  }
  const gathered: Gathered[] = [];
  for (const { value, statistic, collector } of gathering) gathered.push({ value, statistic, result: await collector.result(), broken: broken.get(value) });
  return gathered;
}

function isFinite({ dtype, data }: DenseTensor, kernels: Kernels): boolean {
  return dtype !== 'float32' || kernels.errorStats(data as Float32Array, data as Float32Array).nonFinite === 0;
}
