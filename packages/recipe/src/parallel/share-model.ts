/** A model in a file that all engines read which run it whole for a plan, so that its weights are computed and written once. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isPenjingError, type Model, PenjingError, storedTensors, type TaskOptions } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { ioError, saveLayouts } from '@penjing/graph-io/node';

export interface ShareModelOptions extends Pick<TaskOptions, 'signal' | 'onProgress'> {
  /** Where the model lies as it is. */
  readonly file?: string | undefined;
  /** Bytes of weights up to which a model is handed over in memory (64 MiB). */
  readonly memoryLimit?: number;
}

export interface SharedModel extends AsyncDisposable {
  /** Undefined where the model is handed over in memory. Writes the file when it is asked for first; all who ask get the same one, or the same failure: `E_DISK_FULL`, `E_PERMISSION` and what else saving throws. */
  readonly file: () => Promise<string | undefined>;
}

/** As engines have it: what is smaller is not worth a file. */
const MEMORY_LIMIT = 64 * 2 ** 20;

/** A model that lies in a file is taken as it is. Another large one is written to a private temporary folder once an engine wants it whole, and is gone when this is disposed of: engines go first. */
export function shareModel(model: Model, { file, memoryLimit = MEMORY_LIMIT, signal, onProgress }: ShareModelOptions = {}): SharedModel {
  const bytes = [...storedTensors(model)].reduce((sum, { tensor }) => sum + tensor.byteLength, 0);
  if (file !== undefined || bytes <= memoryLimit) return { file: () => Promise.resolve(file), [Symbol.asyncDispose]: () => Promise.resolve() };
  let written: Promise<WrittenModel> | undefined;
  return {
    file: async () => (await (written ??= writeModel(model, bytes, { signal, onProgress }))).file,
    async [Symbol.asyncDispose]() {
      // A failure was told to who asked, and left nothing behind.
      const folder = await written?.then((made) => made.folder, () => undefined);
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

interface WrittenModel {
  readonly folder: string;
  readonly file: string;
}

async function writeModel(model: Model, bytes: number, { signal, onProgress }: Pick<ShareModelOptions, 'signal' | 'onProgress'>): Promise<WrittenModel> {
  let folder: string | undefined;
  try {
    // Private (mode 700): weights may be confidential, and such folders are everybody's.
    folder = await mkdtemp(join(tmpdir(), 'penjing-plan-'));
    const target = join(folder, 'model');
    const layouts = serializeOnnx(model, { externalData: 'always' });
    await saveLayouts(target, layouts, { manifest: false, ...(signal && { signal }), ...(onProgress && { onProgress }) });
    return { folder, file: join(target, layouts[0]!.name) };
  } catch (error) {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    signal?.throwIfAborted();
    throw withRoom(ioError(error, tmpdir()), bytes);
  }
}

/** Nothing of a plan can be resumed: what helps is another folder. */
function withRoom(error: unknown, bytes: number): unknown {
  if (!isPenjingError(error) || !['E_DISK_FULL', 'E_PERMISSION', 'E_NOT_FOUND'].includes(error.code)) return error;
  return new PenjingError(error.code, `the model cannot be written for the engines that share it: ${error.message}`, { cause: error, hint: `Set TMPDIR to a folder with room for ${Math.ceil(bytes / 1e6)} MB.` });
}
