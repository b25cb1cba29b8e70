/** Runs one block of a model over samples: activations come from the shelf and go back to it, statistics are gathered on the way. */
import type { Executor } from '../engine.js';
import type { Kernels } from '@penjing/kernels';
import { type Job, type JobContext, type PreparedModel, type ShelfReference, jobModule } from '../job.js';
import { matrixProducts } from '../linalg/products.js';
import type { DenseTensor } from '../tensor.js';
import type { StatisticName, Statistics } from './collectors/index.js';
import { type CollectedPart, type Gatherer, gatherer } from './gatherer.js';
import type { Patches } from './patches.js';

export interface BlockJobInput {
  /** Computes the values that are no inputs; absent when there are none. */
  readonly model: PreparedModel | undefined;
  readonly shelf: ShelfReference;
  /** Statistics of parts are merged in this order. */
  readonly parts: readonly SampleRange[];
  /** For one part of many: the result is a part, and what of it is large is put on the shelf under names with this suffix. */
  readonly suffix: string | undefined;
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

export const blockJob: Job<BlockJobInput, readonly (Collected | CollectedPart)[]> = { module: jobModule(import.meta.url, './block-job'), name: 'blockJob', run: runBlock };

/** Name on the shelf of a value of one sample. */
export function shelfName(sample: number, value: string): string {
  return `${sample}/${value}`;
}

async function runBlock(input: BlockJobInput, context: JobContext): Promise<readonly (Collected | CollectedPart)[]> {
  await using products = matrixProducts(context.engine);
  await using executor = input.model && (await context.load(input.model));
  const gathering = input.collect.map((request) => gatherer(request, { kernels: context.kernels, products }));
  for (const part of input.parts) {
    await runPart(part, input, { ...context, executor, gathering });
    for (const gathered of gathering) await gathered.endPart();
  }
  const found: (Collected | CollectedPart)[] = [];
  // One after the other: each of them is on disk before the next one is made.
  for (const gathered of gathering) found.push(input.suffix === undefined ? await gathered.finish(context.shelf(input.large)) : await gathered.pause(context.shelf(input.shelf), input.suffix));
  return found;
}

interface PartTools extends JobContext {
  readonly executor: Executor | undefined;
  readonly gathering: readonly Gatherer[];
}

async function runPart({ start, end }: SampleRange, { shelf: reference, parts, inputs, outputs, drop, collect }: BlockJobInput, { executor, gathering, kernels, signal, onProgress, shelf: openShelf }: PartTools): Promise<void> {
  const shelf = openShelf(reference);
  const values = [...new Set(collect.map(({ value }) => value))];
  const wanted = [...new Set([...outputs, ...values])].filter((name) => !inputs.includes(name));
  const total = parts.at(-1)!.end;
  for (let sample = start; sample < end; sample++) {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'calibrate', done: sample, total, unit: 'samples' });
    const feeds: Record<string, DenseTensor> = {};
    for (const name of inputs) feeds[name] = await shelf.get(shelfName(sample, name));
    const fetched = executor ? await executor.run(feeds, { outputs: wanted, ...(signal && { signal }) }) : {};
    const valueOf = (name: string): DenseTensor => (feeds[name] ?? fetched[name]) as DenseTensor;
    const broken = new Set(values.filter((value) => !isFinite(valueOf(value), kernels)));
    for (const gathered of gathering) await gathered.add(valueOf(gathered.value), broken.has(gathered.value) ? sample : undefined);
    for (const name of outputs) await shelf.put(shelfName(sample, name), valueOf(name));
    for (const name of drop) await shelf.delete(shelfName(sample, name));
  }
}

function isFinite({ dtype, data }: DenseTensor, kernels: Kernels): boolean {
  return dtype !== 'float32' || kernels.errorStats(data as Float32Array, data as Float32Array).nonFinite === 0;
}
