/** Measures weights on the threads of a pool. */
import type { LazyTensor } from '@penjing/core';
import { inFileOrder, largestMagnitudes, type Magnitudes, rowPieces } from '../tflite/write/magnitudes.js';
import { nextGroup, type Pool } from './pool.js';
import { workerGroup } from './shared-sources.js';

/** Pieces that wait at a thread while it reads one. */
const PIECES_PER_THREAD = 2;

/** What lies in memory is measured by the calling thread: copying it to the others would take longer. */
export function poolMagnitudes({ threads }: Pick<Pool, 'threads'>): Magnitudes {
  return async (given, axisGiven, signal) => {
    const { tensor, axis } = inFileOrder(given, axisGiven);
    const { expr, sources } = tensor as LazyTensor;
    if (tensor.kind !== 'lazy' || [...sources.values()].some(({ descriptor }) => descriptor.kind !== 'file')) return largestMagnitudes(tensor, axis, signal);
    const group = await workerGroup({ outputs: [{ name: '', expr, file: 0, offset: 0 }], sources, chunks: 1, rows: () => [] }, ['']);
    const id = nextGroup();
    const largest = new Float32Array(tensor.shape[axis]!);
    const pieces = rowPieces(tensor.shape).values();
    const lane = async (thread: Pool['threads'][number]): Promise<void> => {
      for (const rows of pieces) {
        signal?.throwIfAborted();
        thread.openGroup(id, group);
        const part = await thread.call('magnitudes', { group: id, rows, axis });
        part.forEach((value, i) => { if (value > largest[i]!) largest[i] = value; });
      }
    };
    try {
      await Promise.all(threads.flatMap((thread) => Array.from({ length: PIECES_PER_THREAD }, () => lane(thread))));
    } finally {
      for (const thread of threads) thread.closeGroup(id);
    }
    return largest;
  };
}
