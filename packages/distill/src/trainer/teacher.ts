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

/**
 * Asks once for each sample and keeps the answers on a shelf, on disk where the host has one. What an earlier run left there is taken: the caller sees to it that it is of the same
 * teacher and data. Answers are those to samples in the order of the data, `batch` at a time, whoever asks.
 */
export async function cachedTeacher(teacher: Teacher, { size, batch, shelf, onChunk }: { readonly size: number; readonly batch: number; readonly shelf: Shelf; readonly onChunk?: (done: number, total: number) => void }): Promise<Teacher> {
  const ask = (start: number): Promise<Feeds> => teacher(Array.from({ length: Math.min(batch, size - start) }, (_, i) => start + i));
  const first = (await ask(0)) as Readonly<Record<string, DenseTensor>>;
  const names = Object.keys(first);
  const bytes = Math.max(...Object.values(first).map(({ byteLength, shape }) => byteLength / shape[0]!));
  // whole batches, or single rows of a batch
  const rows = bytes * batch > CHUNK_BYTES ? 1 : batch;
  const keyOf = (name: string, chunk: number): string => `teacher/${name}/${chunk}`;
  const isThere = async (start: number): Promise<boolean> => {
    const last = Math.floor((Math.min(start + batch, size) - 1) / rows);
    return shelf.refer(keyOf(names.at(-1)!, last)).then(() => true, (error: unknown) => {
      if (isPenjingError(error) && error.code === 'E_NOT_FOUND') return false;
      throw error;
    });
  };
  for (let start = 0; start < size; start += batch) {
    if (!(await isThere(start))) {
      const said = (start === 0 ? first : await ask(start)) as Readonly<Record<string, DenseTensor>>;
      const count = Math.min(batch, size - start);
      for (let row = 0; row < count; row += rows) {
        for (const name of names) await shelf.put(keyOf(name, (start + row) / rows), rowsOf(said[name]!, row, Math.min(row + rows, count)));
      }
    }
    onChunk?.(Math.min(start + batch, size), size);
  }

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
