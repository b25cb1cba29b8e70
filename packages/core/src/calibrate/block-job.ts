/** Runs one block of a model over all samples: activations come from the shelf and go back to it, statistics are gathered on the way. */
import type { Kernels } from '@penjing/kernels';
import { type Job, type JobContext, type PreparedModel, type ShelfReference, type TensorReference, jobModule } from '../job.js';
import { matrixProducts } from '../linalg/products.js';
import type { DenseTensor } from '../tensor.js';
import { type StatisticName, type Statistics, collectors } from './collectors/index.js';
import type { Patches } from './patches.js';

export interface BlockJobInput {
  /** Computes the values that are no inputs; absent when there are none. */
  readonly model: PreparedModel | undefined;
  readonly shelf: ShelfReference;
  readonly samples: number;
  /** Values that are taken from the shelf, and those that are put there, by name. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Values that nothing needs afterwards. */
  readonly drop: readonly string[];
  readonly collect: readonly NamedRequest[];
  /** Where large statistics go. */
  readonly large: ShelfReference;
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

async function runBlock({ model, shelf: reference, samples, inputs, outputs, drop, collect, large: largeReference }: BlockJobInput, context: JobContext): Promise<readonly Collected[]> {
  const { engine, kernels, signal, onProgress } = context;
  await using products = matrixProducts(engine);
  await using executor = model && (await context.load(model));
  const shelf = context.shelf(reference);
  const large = context.shelf(largeReference);
  const broken = new Map<string, number>();
  const gathering = collect.map(({ value, statistic, name, identity }) => {
    const put = async (tensor: DenseTensor): Promise<TensorReference> => {
      await large.put(name, tensor);
      return { ...(await large.refer(name)), ...(identity !== undefined && { identity }) };
    };
    return { value, statistic, collector: collectors[statistic](value, { kernels, products, put }) };
  });
  const wanted = [...new Set([...outputs, ...collect.map(({ value }) => value)])].filter((name) => !inputs.includes(name));
  for (let sample = 0; sample < samples; sample++) {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'calibrate', done: sample, total: samples, unit: 'samples' });
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
  const collected: Collected[] = [];
  for (const { value, statistic, collector } of gathering) collected.push({ value, statistic, result: await collector.result(), broken: broken.get(value) });
  return collected;
}

function isFinite({ dtype, data }: DenseTensor, kernels: Kernels): boolean {
  return dtype !== 'float32' || kernels.errorStats(data as Float32Array, data as Float32Array).nonFinite === 0;
}
