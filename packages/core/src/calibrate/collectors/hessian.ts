/** XᵀX on disk: what is large need not be in memory before a job reads it. */
import type { JobContext, Shelf, TensorReference } from '../../job.js';
import { DenseTensor } from '../../tensor.js';
import type { GramState, GramStatistic } from './gram.js';

export interface HessianStatistic {
  /** (channels, channels), for `readHessian` in a job. */
  readonly sums: TensorReference;
  readonly channels: number;
  /** Rows seen. */
  readonly rows: number;
}

/** A Gram under way, on disk. */
export interface StoredState {
  readonly sums: TensorReference | undefined;
  readonly waiting: TensorReference | undefined;
  readonly channels: number;
  readonly rows: number;
}

/** On the shelf it takes no memory. `identity` is that of what is put there. */
export async function storeGram({ sums, channels, rows }: GramStatistic, shelf: Shelf, name: string, identity?: string): Promise<HessianStatistic> {
  return { sums: await put(DenseTensor.of('float32', [channels, channels], sums), shelf, name, identity), channels, rows };
}

export async function storeState({ sums, waiting, channels, rows }: GramState, shelf: Shelf, name: string): Promise<StoredState> {
  return {
    sums: sums && (await put(DenseTensor.of('float32', [channels, channels], sums), shelf, namesOfState(name)[0]!)),
    waiting: waiting.length > 0 ? await put(DenseTensor.of('float32', [waiting.length / channels, channels], waiting.slice()), shelf, namesOfState(name)[1]!) : undefined,
    channels,
    rows,
  };
}

export async function readState({ sums, waiting, channels, rows }: StoredState, read: JobContext['read']): Promise<GramState> {
  const floats = async (tensor: TensorReference): Promise<Float32Array> => (await read(tensor)).data as Float32Array;
  return { sums: sums && (await floats(sums)), waiting: waiting ? await floats(waiting) : new Float32Array(0), channels, rows };
}

export async function deleteState(shelf: Shelf, name: string): Promise<void> {
  for (const each of namesOfState(name)) await shelf.delete(each);
}

function namesOfState(name: string): readonly string[] {
  return [`${name} sums`, `${name} waiting`];
}

async function put(tensor: DenseTensor, shelf: Shelf, name: string, identity?: string): Promise<TensorReference> {
  await shelf.put(name, tensor);
  return { ...(await shelf.refer(name)), ...(identity !== undefined && { identity }) };
}
