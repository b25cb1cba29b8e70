/** A model in a file that all engines read which run it whole for a plan, so that its weights are computed and written once. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Model, storedTensors, type TaskOptions } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveLayouts } from '@penjing/graph-io/node';

export interface ShareModelOptions extends Pick<TaskOptions, 'signal' | 'onProgress'> {
  /** Where the model lies as it is. */
  readonly file?: string | undefined;
  /** Bytes of weights up to which a model is handed over in memory (64 MiB). */
  readonly memoryLimit?: number;
}

export interface SharedModel extends AsyncDisposable {
  /** Absent where the model is handed over in memory. */
  readonly file?: string;
}

/** As engines have it: what is smaller is not worth a file. */
const MEMORY_LIMIT = 64 * 2 ** 20;

/** A model that lies in a file is taken as it is. Another large one is written to a private temporary folder, and is gone when this is disposed of: engines go first. */
export async function shareModel(model: Model, { file, memoryLimit = MEMORY_LIMIT, signal, onProgress }: ShareModelOptions = {}): Promise<SharedModel> {
  const bytes = [...storedTensors(model)].reduce((sum, { tensor }) => sum + tensor.byteLength, 0);
  if (file !== undefined || bytes <= memoryLimit) return { ...(file !== undefined && { file }), [Symbol.asyncDispose]: () => Promise.resolve() };
  // Private (mode 700): weights may be confidential, and such folders are everybody's.
  const folder = await mkdtemp(join(tmpdir(), 'penjing-plan-'));
  const dispose = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const target = join(folder, 'model');
    const layouts = serializeOnnx(model, { externalData: 'always' });
    await saveLayouts(target, layouts, { manifest: false, ...(signal && { signal }), ...(onProgress && { onProgress }) });
    return { file: join(target, layouts[0]!.name), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
