/** A checkpoint in several files, tied together by an index such as `model.safetensors.index.json`. */
import { type ByteSource, type Checkpoint, PenjingError, type Tensor } from '@penjing/core';
import { onnxLimits, safetensorsLimits } from '../limits.js';
import { checkExternalLocation } from '../onnx/external-location.js';
import { openSafetensors } from './open.js';
import { isObject, parseUniqueJson } from './unique-json.js';

/**
 * `index` is the JSON file; `open` opens a shard by its name, relative to the folder of the index. Tensors come in the
 * order of the index. Throws `E_SAFETENSORS` when index and shards disagree or a name leaves the folder.
 */
export function openSafetensorsIndex(index: ByteSource, open: (name: string) => Promise<ByteSource>): Promise<Checkpoint> {
  return openShards(index, async (name) => openSafetensors(await open(name)));
}

/** The same for shards of any format. */
export async function openShards(index: ByteSource, openShard: (name: string) => Promise<Checkpoint>): Promise<Checkpoint> {
  const weightMap = await readWeightMap(index);
  const names = [...new Set(weightMap.values())];
  if (names.length > safetensorsLimits.shards) {
    throw new PenjingError('E_LIMIT', `${index.uri} names ${names.length} files, at most ${safetensorsLimits.shards} are read`);
  }
  const shards = new Map<string, Checkpoint>();
  // A few at a time: enough to hide the latency of a disk, few enough to keep the headers' memory small.
  const queue = names.values();
  const opener = async (): Promise<void> => {
    for (const name of queue) shards.set(name, await openShard(name));
  };
  await Promise.all(Array.from({ length: 4 }, opener));

  const tensors = new Map<string, Tensor>();
  for (const [name, file] of weightMap) {
    const tensor = shards.get(file)!.tensors.get(name);
    if (!tensor) throw invalid(index.uri, `it places ${JSON.stringify(name)} in ${file}, which does not hold it`);
    tensors.set(name, tensor);
  }
  const metadata = new Map<string, string>();
  for (const name of [...names].reverse()) for (const [key, value] of shards.get(name)!.metadata) metadata.set(key, value);
  return { tensors, metadata };
}

/** Tensor name to file name. */
async function readWeightMap(index: ByteSource): Promise<ReadonlyMap<string, string>> {
  if (index.size > safetensorsLimits.headerBytes) throw new PenjingError('E_LIMIT', `${index.uri} takes ${index.size} bytes, more than an index can`);
  const bytes = await index.read(0, index.size);
  let value: unknown;
  try {
    value = parseUniqueJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalid(index.uri, `it is not JSON with unique keys (${(cause as Error).message})`, cause);
  }
  if (!isObject(value) || !isObject(value['weight_map'])) throw invalid(index.uri, 'it has no weight_map');
  const map = new Map<string, string>();
  for (const [name, file] of Object.entries(value['weight_map'])) {
    if (typeof file !== 'string') throw invalid(index.uri, `weight_map gives no file name for ${JSON.stringify(name)}`);
    map.set(name, insideFolder(file, index.uri));
  }
  return map;
}

function insideFolder(file: string, uri: string): string {
  try {
    return checkExternalLocation(file, onnxLimits);
  } catch (cause) {
    throw invalid(uri, `it names ${JSON.stringify(file.slice(0, 200))}, which is no file inside its folder`, cause);
  }
}

function invalid(uri: string, why: string, cause?: unknown): PenjingError {
  return new PenjingError('E_SAFETENSORS', `${uri} is no valid index: ${why}`, { cause, hint: 'Download the index and every shard again.' });
}
