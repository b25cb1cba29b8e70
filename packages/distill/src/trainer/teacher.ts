/** What a teacher says to a batch: computed beside the student, or once and kept. */
import { DenseTensor, type Executor, type Feeds, isPenjingError, type Shelf } from '@penjing/core';
import { addScaled } from './gradient-source.js';
import type { OpenDataset } from './dataset.js';

/** Which output of the teacher is which input of the loss: `{ logits: 'teacher/logits' }`. */
export type TeacherOutputs = Readonly<Record<string, string>>;

/** Inputs of the loss for samples of the data. */
export type Teacher = (samples: readonly number[]) => Promise<Feeds>;

/** y = 1/N Σ fᵢ(x) of one or more networks with the same outputs. */
export function livingTeacher(executors: readonly Executor[], outputs: TeacherOutputs, data: OpenDataset): Teacher {
  return async (samples) => {
    const sums = new Map<string, DenseTensor>();
    for (const executor of executors) {
      const feeds = data.batch(samples, executor.inputs.map(({ name }) => name));
      const fetched = await executor.run(feeds, { outputs: Object.keys(outputs) });
      for (const [output, input] of Object.entries(outputs)) {
        const said = fetched[output] as DenseTensor;
        const sum = sums.get(input) ?? DenseTensor.of('float32', said.shape, new Float32Array(said.byteLength / 4));
        addScaled(sum.data as Float32Array, said.data as Float32Array, 1 / executors.length);
        sums.set(input, sum);
      }
    }
    return Object.fromEntries(sums);
  };
}

/** Rows of this many bytes are kept together: small files are slow, and a batch needs single rows. */
const CHUNK_BYTES = 2 ** 20;
/** Chunks in memory. */
const MEMORY_BYTES = 256 * 2 ** 20;

export interface KeepOptions {
  /** Samples of the data. */
  readonly size: number;
  readonly batch: number;
  readonly shelf: Shelf;
  /** From a multiple of the batch to another, or to the end; all samples when absent. */
  readonly range?: { readonly start: number; readonly end: number };
  readonly onChunk?: (done: number, total: number) => void;
}

/** What lies on the shelf: of each name the answers to so many samples together. */
interface KeptAnswers {
  readonly first: Readonly<Record<string, DenseTensor>>;
  readonly rows: number;
}

const keyOf = (name: string, chunk: number): string => `teacher/${name}/${chunk}`;

/**
 * Asks once for each sample and keeps the answers on a shelf, on disk where the host has one. What is there already is taken: the caller sees to it that it is of the same
 * teacher and data. Answers are those to samples in the order of the data, `batch` at a time, whoever asks.
 */
export async function keepAnswers(teacher: Teacher, { size, batch, shelf, range: { start: from, end } = { start: 0, end: size }, onChunk }: KeepOptions): Promise<KeptAnswers> {
  const ask = (start: number): Promise<Feeds> => teacher(Array.from({ length: Math.min(batch, size - start) }, (_, i) => start + i));
  const first = (await ask(from)) as Readonly<Record<string, DenseTensor>>;
  const names = Object.keys(first);
  const bytes = Math.max(...Object.values(first).map(({ byteLength, shape }) => byteLength / shape[0]!));
  // whole batches, or single rows of a batch
  const rows = bytes * batch > CHUNK_BYTES ? 1 : batch;
  const isThere = async (start: number): Promise<boolean> => {
    const last = Math.floor((Math.min(start + batch, size) - 1) / rows);
    return shelf.refer(keyOf(names.at(-1)!, last)).then(() => true, (error: unknown) => {
      if (isPenjingError(error) && error.code === 'E_NOT_FOUND') return false;
      throw error;
    });
  };
  for (let start = from; start < end; start += batch) {
    if (!(await isThere(start))) {
      const said = (start === from ? first : await ask(start)) as Readonly<Record<string, DenseTensor>>;
      const count = Math.min(batch, size - start);
      for (let row = 0; row < count; row += rows) {
        for (const name of names) await shelf.put(keyOf(name, (start + row) / rows), rowsOf(said[name]!, row, Math.min(row + rows, count)));
      }
    }
    onChunk?.(Math.min(start + batch, size), size);
  }
  return { first, rows };
}

/** Answers from the shelf, after all are there. */
export async function cachedTeacher(teacher: Teacher, options: Omit<KeepOptions, 'range'>): Promise<Teacher> {
  const { shelf } = options;
  const { first, rows } = await keepAnswers(teacher, options);
  const names = Object.keys(first);
  const memory = new Map<string, DenseTensor>();
  let held = 0;
  const chunkOf = async (name: string, chunk: number): Promise<DenseTensor> => {
    const key = keyOf(name, chunk);
    const known = memory.get(key);
    if (known) return known;
    const tensor = await shelf.get(key);
    for (const [oldest, { byteLength }] of memory) {
      if (held + tensor.byteLength <= MEMORY_BYTES) break;
      memory.delete(oldest);
      held -= byteLength;
    }
    memory.set(key, tensor);
    held += tensor.byteLength;
    return tensor;
  };
  return async (samples) => {
    const feeds: Record<string, DenseTensor> = {};
    for (const name of names) {
      const [, ...inner] = first[name]!.shape;
      const width = first[name]!.byteLength / first[name]!.shape[0]!;
      const gathered = new Uint8Array(samples.length * width);
      for (const [i, sample] of samples.entries()) {
        const chunk = await chunkOf(name, Math.floor(sample / rows));
        gathered.set(chunk.bytes.subarray((sample % rows) * width, ((sample % rows) + 1) * width), i * width);
      }
      feeds[name] = new DenseTensor('float32', [samples.length, ...inner], gathered);
    }
    return feeds;
  };
}

function rowsOf({ dtype, shape: [rows = 1, ...inner], bytes }: DenseTensor, start: number, end: number): DenseTensor {
  const width = bytes.byteLength / rows;
  return new DenseTensor(dtype, [end - start, ...inner], bytes.slice(start * width, end * width));
}
