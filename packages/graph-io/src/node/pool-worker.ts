/** Entry of a thread of the pool: reads its own rows, computes them, writes them to their own place. */
import { parentPort, workerData } from 'node:worker_threads';
import { evaluate, isPenjingError, type QuantizeStats, rowBytes } from '@penjing/core';
import { foldMagnitudes } from '../tflite/write/magnitudes.js';
import { DirectWriter, type Handed } from './direct-writer.js';
import { fastCrc32 } from './fast-crc32.js';
import { poolKernels } from './pool-kernels.js';
import { DescriptorCache, readFully } from './descriptor-cache.js';
import { readSources } from './read-sources.js';
import type { Calls, FileStretch, FromWorker, ToWorker, WireError, WorkerGroup } from './pool-protocol.js';

if (!parentPort) throw new Error('pool-worker runs in a worker thread only');
const port = parentPort;
const { arenaBytes, directFileBytes } = workerData as { arenaBytes: number; directFileBytes?: number };
const kernels = poolKernels(arenaBytes);
const files = new DescriptorCache();
const writer = new DirectWriter(directFileBytes);
const groups = new Map<number, WorkerGroup>();

const calls: { [Name in keyof Calls]: (params: Calls[Name]['params']) => Promise<Calls[Name]['result']> } = {
  async chunk(params) {
    // One after the other: they share the arena. What a chunk gave is written while the next one is computed.
    const computed = computing.then(() => computeChunk(params));
    computing = computed.catch(() => {});
    const { handed, crcs, stats } = await computed;
    await Promise.all(handed.map(({ done }) => done));
    return { crcs, stats, cached: handed.map(({ cached }) => cached) };
  },
  magnitudes(params) {
    const measured = computing.then(() => magnitudesOf(params));
    computing = measured.catch(() => {});
    return measured;
  },
  checksum: (stretches) => Promise.resolve(stretches.map(checksum)),
};

let computing: Promise<unknown> = Promise.resolve();

async function computeChunk({ group: id, rows }: Calls['chunk']['params']): Promise<{ handed: Handed[]; crcs: number[]; stats: QuantizeStats | undefined }> {
  const group = groups.get(id)!;
  const mark = kernels.arena.mark();
  try {
    const requests = group.outputs.map(({ expr }, i) => ({ expr, rows: rows[i]! }));
    const { bytes, stats } = evaluate(requests, readSources(group.sources, files), kernels);
    const handed: Handed[] = [];
    for (const [i, part] of bytes.entries()) {
      const { path, offset, expr } = group.outputs[i]!;
      handed.push(await writer.write(() => files.output(path), path, part, offset + rowBytes(expr, rows[i]!).offset));
    }
    return { handed, crcs: bytes.map((part) => fastCrc32(part)), stats };
  } finally {
    kernels.arena.release(mark);
  }
}

function magnitudesOf({ group: id, rows, axis }: Calls['magnitudes']['params']): Float32Array {
  const { outputs, sources } = groups.get(id)!;
  const { expr } = outputs[0]!;
  const mark = kernels.arena.mark();
  try {
    const { bytes } = evaluate([{ expr, rows }], readSources(sources, files), kernels);
    const largest = new Float32Array(expr.shape[axis]!);
    foldMagnitudes(largest, bytes[0]!, rows.start, expr.shape, axis, (run) => kernels.absMax(run));
    return largest;
  } finally {
    kernels.arena.release(mark);
  }
}

/** By pieces, so that a large stretch takes little memory. */
function checksum({ path, offset, length }: FileStretch): number {
  const buffer = new Uint8Array(Math.min(length, 1 << 20));
  let crc = 0;
  for (let done = 0; done < length; ) {
    const part = buffer.subarray(0, Math.min(buffer.length, length - done));
    if (!readFully(files.output(path), path, part, offset + done, true)) return -1;
    crc = fastCrc32(part, crc);
    done += part.length;
  }
  return crc;
}

port.on('message', (message: ToWorker) => {
  if ('open' in message) groups.set(message.open, message.group);
  else if ('close' in message) {
    groups.delete(message.close);
    // A later save may plan with files that have changed by then.
    if (groups.size === 0) files.clear();
  }
  else if ('forget' in message) {
    files.forget(message.forget);
    writer.forget(message.forget);
  }
  else {
    void answer(message);
  }
});

async function answer({ id, call, params }: Extract<ToWorker, { call: unknown }>): Promise<void> {
  let reply: FromWorker;
  try {
    reply = { id, result: await (calls[call] as (params: unknown) => Promise<unknown>)(params) };
  } catch (error) {
    reply = { id, error: wireError(error) };
  }
  port.postMessage(reply);
}

function wireError(error: unknown): WireError {
  if (!(error instanceof Error)) return { code: undefined, message: String(error), hint: undefined, details: undefined, stack: undefined };
  const typed = isPenjingError(error) ? error : undefined;
  const { code, hint } = error as { code?: unknown; hint?: unknown };
  return {
    code: typeof code === 'string' && code.startsWith('E_') ? code : undefined,
    message: error.message,
    hint: typeof hint === 'string' ? hint : undefined,
    details: typed?.details,
    stack: error.stack,
  };
}
