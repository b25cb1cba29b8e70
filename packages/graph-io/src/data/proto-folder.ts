/** A folder of ONNX tensors, `input_0.pb` and so on, or of such folders: how ONNX keeps the data of its tests. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DenseTensor, memorySource, PenjingError, toDense } from '@penjing/core';
import { onnxLimits } from '../limits.js';
import { readTensor } from '../onnx/read-tensor.js';
import { type TensorProto, tensorSchema } from '../onnx/schema.js';
import { walkMessage } from '../onnx/walk.js';
import { type DataSource, dataSource } from './data-source.js';
import { hashOf, readBounded } from './read-bounded.js';

const NAME = /^input_(\d{1,4})\.pb$/;

/** The sets of inputs below a folder, in order of their names; empty when there are none. */
export async function protoSets(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  if (entries.some((entry) => entry.isFile() && NAME.test(entry.name))) return [folder];
  const sets: string[] = [];
  for (const entry of entries.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))) {
    if (entry.isDirectory() && (await readdir(join(folder, entry.name))).some((name) => NAME.test(name))) sets.push(join(folder, entry.name));
  }
  return sets;
}

export async function openProtoFolder(sets: readonly string[]): Promise<DataSource> {
  const files = new Map<string, string[]>();
  for (const set of sets) files.set(set, (await readdir(set)).filter((name) => NAME.test(name)).sort((a, b) => Number(NAME.exec(a)![1]) - Number(NAME.exec(b)![1])));
  const hashes: string[] = [];
  for (const [set, names] of files) for (const name of names) hashes.push(hashOf(await readFile(join(set, name))));
  return dataSource({
    format: 'onnx tensors', count: sets.length, hash: hashOf(hashes.join(' ')),
    async item(index) {
      const set = sets[index]!;
      const tensors = new Map<string, DenseTensor>();
      for (const name of files.get(set)!) {
        const path = join(set, name);
        const { key, tensor } = await readProto(path);
        tensors.set(key ?? NAME.exec(name)![1]!, tensor);
      }
      return { kind: 'tensors', tensors };
    },
  });
}

async function readProto(path: string): Promise<{ key: string | undefined; tensor: DenseTensor }> {
  const source = memorySource(await readBounded(path));
  try {
    const proto = await walkMessage<TensorProto>(tensorSchema, source, { limits: onnxLimits });
    const tensor = await readTensor(proto, path, {
      source, limits: onnxLimits,
      external: async () => {
        throw new PenjingError('E_DATA', `${path} keeps its data in another file`);
      },
    });
    if (tensor.kind !== 'dense' && tensor.kind !== 'lazy') throw new PenjingError('E_DATA', `${path} holds a ${tensor.kind} tensor`);
    return { key: proto.name || undefined, tensor: await toDense(tensor) };
  } catch (cause) {
    if ((cause as { code?: string }).code === 'E_LIMIT') throw cause;
    throw new PenjingError('E_DATA', `${path} is no tensor of ONNX: ${(cause as Error).message}`, { cause });
  }
}
