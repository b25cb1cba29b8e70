/** Reads ranges of sources inside a worker thread. */
import type { ReadRange } from '@penjing/core';
import { type DescriptorCache, readFully } from './descriptor-cache.js';
import type { WorkerGroup } from './pool-protocol.js';

export function readSources(sources: WorkerGroup['sources'], files: DescriptorCache): ReadRange {
  return (key, offset, length, into = new Uint8Array(length)) => {
    const source = sources.get(key)!;
    if (source.kind === 'file') readFully(files.source(source), source.path, into, offset);
    else into.set(new Uint8Array(source.bytes, offset, length));
    return into;
  };
}
