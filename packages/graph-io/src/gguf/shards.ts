/** A GGUF model in several files, `name-00001-of-00005.gguf`. */
import { type ByteSource, PenjingError } from '@penjing/core';
import { ggufLimits } from '../limits.js';
import { quote } from './metadata.js';
import { ggufFile, type GgufFile, type GgufTensor, openGguf } from './open.js';

const SHARD = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/** The names of all files of the model that `name` is a part of, the first one first; `[name]` when it is whole. */
export function ggufShardNames(name: string): readonly string[] {
  const match = SHARD.exec(name);
  if (!match) return [name];
  const [, stem, , total] = match as unknown as [string, string, string, string];
  const count = Number(total);
  if (count < 1 || count > ggufLimits.shards) throw new PenjingError('E_LIMIT', `${name} is one of ${count} files, at most ${ggufLimits.shards} are read`);
  return Array.from({ length: count }, (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${total}.gguf`);
}

/**
 * All shards of a model as one file, in order: metadata from the first, tensors from all. Throws `E_GGUF` when they are
 * no shards of one model (`split.no`, `split.count`, `split.tensors.count`).
 */
export async function openGgufShards(sources: readonly ByteSource[]): Promise<GgufFile> {
  const [only] = sources;
  if (!only) throw new PenjingError('E_GGUF', 'a GGUF model of no files');
  if (sources.length === 1 && !(await openGguf(only)).metadata.has('split.count')) return openGguf(only);
  const files: GgufFile[] = [];
  for (const source of sources) files.push(await openGguf(source));
  const tensors = new Map<string, GgufTensor>();
  files.forEach(({ metadata, tensors: own }, i) => {
    const { uri } = sources[i]!;
    const [number, count] = [metadata.get('split.no'), metadata.get('split.count')];
    if (number !== i || count !== sources.length) {
      throw new PenjingError('E_GGUF', `${uri} says it is part ${String(number)} (from 0) of ${String(count)}, here it is part ${i} of ${sources.length}`, {
        hint: 'Give all shards of one model, in order, with the names they were downloaded under.',
      });
    }
    for (const [name, tensor] of own) {
      if (tensors.has(name)) throw new PenjingError('E_GGUF', `${uri} holds ${quote(name)}, and so does a shard before it`);
      tensors.set(name, tensor);
    }
  });
  const { metadata } = files[0]!;
  const total = metadata.get('split.tensors.count');
  if (total !== undefined && total !== tensors.size) {
    throw new PenjingError('E_GGUF', `${only.uri} announces ${String(total)} tensors in all shards, they hold ${tensors.size}`);
  }
  return ggufFile(metadata, tensors);
}
