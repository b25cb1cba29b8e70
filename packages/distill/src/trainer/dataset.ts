/** A dataset as named columns, and batches of it. */
import { DenseTensor, elementCount, type Feeds, type JobContext, PenjingError, type TensorReference } from '@penjing/core';

/**
 * Columns are feeds of the graph by input name: tensors whose first axis is the sample, (samples, …). A column of one row stands for every sample. Columns that no graph reads are
 * left alone.
 */
export interface Dataset {
  readonly columns: Readonly<Record<string, TensorReference>>;
  /** Of columns of labels, how many classes there are: others than −100, which does not count, must lie below. */
  readonly classes?: Readonly<Record<string, number>> | undefined;
}

/** Label that does not count, as PyTorch has it. */
export const IGNORED_LABEL = -100;

/** Number of samples. Throws `E_DATA` for columns of different lengths and for none. */
export function sampleCount({ columns }: Dataset): number {
  const counts = Object.entries(columns).map(([name, { shape }]) => [name, shape[0] ?? 0] as const);
  const size = Math.max(0, ...counts.map(([, count]) => count));
  const odd = counts.find(([, count]) => count !== size && count !== 1);
  if (odd) throw new PenjingError('E_DATA', `the column ${odd[0]} has ${odd[1]} samples, others have ${size}`);
  if (size === 0) throw new PenjingError('E_DATA', 'the data has no samples: there is no batch to train on', { hint: 'Give data that is not empty.' });
  return size;
}

/** Columns in memory. */
export interface OpenDataset {
  readonly size: number;
  /** Rows of the columns that `inputs` names, in the order of `samples`: (samples, …) each. */
  batch(samples: readonly number[], inputs: Iterable<string>): Feeds;
  has(input: string): boolean;
}

/** Reads the columns that are wanted. Throws `E_DATA` for a label out of range, naming the sample. */
export async function openDataset(dataset: Dataset, wanted: ReadonlySet<string>, { read }: Pick<JobContext, 'read'>): Promise<OpenDataset> {
  const size = sampleCount(dataset);
  const columns = new Map<string, DenseTensor>();
  for (const [name, reference] of Object.entries(dataset.columns)) if (wanted.has(name)) columns.set(name, await read(reference));
  for (const [name, classes] of Object.entries(dataset.classes ?? {})) {
    const column = columns.get(name);
    if (column) checkLabels(name, column, classes);
  }
  return {
    size,
    has: (input) => columns.has(input),
    batch: (samples, inputs) => Object.fromEntries([...inputs].flatMap((name) => {
      const column = columns.get(name);
      return column ? [[name, gatherRows(column, samples)] as const] : [];
    })),
  };
}

/** A row for each sample, in memory of its own. */
function gatherRows(column: DenseTensor, samples: readonly number[]): DenseTensor {
  const [rows = 1, ...inner] = column.shape;
  const length = rows === 0 ? 0 : column.byteLength / rows;
  const bytes = new Uint8Array(samples.length * length);
  samples.forEach((sample, i) => {
    const row = rows === 1 ? 0 : sample;
    bytes.set(column.bytes.subarray(row * length, (row + 1) * length), i * length);
  });
  return new DenseTensor(column.dtype, [samples.length, ...inner], bytes);
}

function checkLabels(name: string, column: DenseTensor, classes: number): void {
  const labels = column.data as BigInt64Array | Int32Array;
  const inner = elementCount(column.shape.slice(1));
  for (let i = 0; i < labels.length; i++) {
    const label = Number(labels[i]);
    if ((label >= 0 && label < classes) || label === IGNORED_LABEL) continue;
    throw new PenjingError('E_DATA', `sample ${Math.floor(i / inner)} has the label ${label} in ${name}, the model has classes from 0 to ${classes - 1}`, { hint: 'Correct the data, or train a model with as many classes.' });
  }
}
