/** Entry of a thread of the pool: reads its own rows, computes them, writes them to their own place. */
import { parentPort, workerData } from 'node:worker_threads';
import { evaluate, isPenjingError, type ReadRange, rowBytes } from '@penjing/core';
import { fastCrc32 } from './fast-crc32.js';
import { poolKernels } from './pool-kernels.js';
import { DescriptorCache, readFully, writeFully } from './descriptor-cache.js';
import type { Calls, FileStretch, FromWorker, ToWorker, WireError, WorkerGroup } from './pool-protocol.js';

if (!parentPort) throw new Error('pool-worker runs in a worker thread only');
const port = parentPort;
const kernels = poolKernels((workerData as { arenaBytes: number }).arenaBytes);
const files = new DescriptorCache();
const groups = new Map<number, WorkerGroup>();

const calls: { [Name in keyof Calls]: (params: Calls[Name]['params']) => Calls[Name]['result'] } = {
  chunk({ group: id, rows }) {
    const group = groups.get(id)!;
    const mark = kernels.arena.mark();
    try {
      const requests = group.outputs.map(({ expr }, i) => ({ expr, rows: rows[i]! }));
      const { bytes, stats } = evaluate(requests, readFrom(group), kernels);
      const crcs = bytes.map((part, i) => {
        const { path, offset, expr } = group.outputs[i]!;
        writeFully(files.output(path), path, part, offset + rowBytes(expr, rows[i]!).offset);
        return fastCrc32(part);
      });
      return { crcs, stats };
    } finally {
      kernels.arena.release(mark);
    }
  },
  checksum: (stretches) => stretches.map(checksum),
};

function readFrom({ sources }: WorkerGroup): ReadRange {
  return (key, offset, length, into = new Uint8Array(length)) => {
    const source = sources.get(key)!;
    if (source.kind === 'file') readFully(files.source(source), source.path, into, offset);
    else into.set(new Uint8Array(source.bytes, offset, length));
    return into;
  };
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
  else if ('forget' in message) files.forget(message.forget);
  else {
    const { id, call, params } = message;
    let reply: FromWorker;
    try {
      reply = { id, result: (calls[call] as (params: unknown) => unknown)(params) };
    } catch (error) {
      reply = { id, error: wireError(error) };
    }
    port.postMessage(reply);
  }
});

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
