/** What a pruning pass made, stored as sparse initializers where that is smaller. */
import { elementCount, type JobHost, modelGraphs, type Pass, PenjingError, SparseTensor, type TaskOptions, type Tensor, type Value, type WeightRecord } from '@penjing/core';
import { gatherJob, INDEX_BYTES } from './gather-job.js';
import { noJobs } from './prunable.js';

export interface StoreSparseOptions {
  /** Bytes that sparse weights may take in all; 1 GiB when absent: they stand inside of the graph, which is one message of at most 2 GiB. */
  readonly mostBytes?: number;
}

/** Measured: `bench/RESULTS.md`, "Sparse weights". */
const NO_SPEED_UP = 'zeros among the weights make nothing faster on ONNX Runtime CPU, which expands sparse weights when it loads a model; the file is smaller';

/**
 * Runs `pass`, then gathers in jobs, weight by weight, what is not zero of each weight that it changed: values and int64 places, as SparseTensorProto of
 * ONNX has them. A weight that would not be smaller stays dense, with a note: of float32 less than 2/3 are zeros, of float16 less than 4/5.
 * Throws `E_ENGINE` without a host for jobs, `E_NOTHING_TO_DO` when no weight is smaller so.
 */
export function storeSparse(pass: Pass, { mostBytes = 2 ** 30 }: StoreSparseOptions = {}): Pass {
  return {
    name: `${pass.name}, stored sparse`,
    async run(model, context) {
      const { jobs, ...task } = context;
      if (!jobs) throw noJobs('gathering what is not zero');
      const originals = new Map<Value, Tensor>();
      for (const graph of modelGraphs(model)) for (const value of graph.initializers.values()) if (value.tensor) originals.set(value, value.tensor);
      const result = await pass.run(model, context);
      const changed = new Map<string, Value>();
      for (const graph of modelGraphs(result.model)) for (const value of graph.initializers.values()) if (value.tensor && value.tensor !== originals.get(value)) changed.set(value.name, value);
      let room = mostBytes;
      const records: WeightRecord[] = [];
      for (const [done, record] of result.records.entries()) {
        task.onProgress?.({ phase: 'store sparse', done, total: result.records.length, unit: 'weights' });
        const weight = record.method === 'none' ? undefined : changed.get(record.name);
        if (!weight) {
          records.push(record);
          continue;
        }
        const stored = await store(weight, { record, original: originals.get(weight), room, jobs, task });
        room -= stored.bytes;
        records.push(stored.record);
      }
      if (room === mostBytes) {
        throw new PenjingError('E_NOTHING_TO_DO', 'no weight is smaller when it is stored sparse: a value that stays takes 8 bytes more for its place', {
          hint: 'Prune more than 2/3 of float32 weights (4/5 of float16), or leave out --store sparse.',
        });
      }
      return { ...result, records, warnings: [...result.warnings.filter((text) => !text.startsWith('zeros among the weights')), NO_SPEED_UP] };
    },
  };
}

interface Given {
  readonly record: WeightRecord;
  readonly original: Tensor | undefined;
  readonly room: number;
  readonly jobs: JobHost;
  readonly task: TaskOptions;
}

async function store(weight: Value, { record, original, room, jobs, task: { signal } }: Given): Promise<{ bytes: number; record: WeightRecord }> {
  const tensor = weight.tensor!;
  const dense = tensor.byteLength;
  const dearest = elementCount(tensor.shape) === 0 ? 0 : dense / elementCount(tensor.shape) + INDEX_BYTES;
  const kept = (why: string): { bytes: number; record: WeightRecord } => ({ bytes: 0, record: { ...record, note: [...(record.note ? [record.note] : []), `stored dense: ${why}`].join('; ') } });
  const larger = (nonZeros: number): string => `sparse it would take ${nonZeros * dearest} bytes instead of ${dense}`;
  // a share that is known spares reading the weight
  const known = record.sparsity === undefined ? undefined : Math.round((1 - record.sparsity) * elementCount(tensor.shape));
  if (known !== undefined && known * dearest >= dense * 1.01) return kept(larger(known));
  const { nonZeros, coordinates, measured } = await jobs.run(
    gatherJob,
    { weight: await jobs.refer(tensor), original: record.measuredBy !== undefined && original ? await jobs.refer(original) : undefined, most: Math.min(room, dense - 1) },
    { ...(signal && { signal }) },
  );
  if (!coordinates) return kept(nonZeros * dearest < dense ? 'sparse weights stand inside of the graph, and no more fit there' : larger(nonZeros));
  const sparse = new SparseTensor(tensor.shape, await jobs.tensor(coordinates.values), await jobs.tensor(coordinates.indices));
  weight.tensor = sparse;
  const { measuredBy: _, ...rest } = record;
  return { bytes: sparse.byteLength, record: { ...rest, ...measured, sparsity: 1 - nonZeros / elementCount(tensor.shape), bytesAfter: sparse.byteLength } };
}
