/** The job of one shard: it loads its segments, and runs the program as often as it is asked to. */
import { threadId } from 'node:worker_threads';
import { DenseTensor, type Executor, type Job, jobModule, StringTensor, toPlainError } from '@penjing/core';
import { partOf } from '../tensor/pieces.js';
import { runShard } from '../tensor/shard-program.js';
import type { ShardedPort } from '../tensor/sharded-model.js';
import { CollectiveGate, stops } from './collective-gate.js';
import { Collectives } from './collectives.js';
import { type FromShard, type SentTensor, type ShardTask, type ToShard } from './tensor-messages.js';

/** Ends when it is told to, or when the caller is gone. */
export const tensorJob: Job<ShardTask, undefined> = {
  module: jobModule(import.meta.url, './tensor-job'),
  name: 'tensorJob',
  async run(task, { load, signal }) {
    const { shard, shards, port, peers } = task;
    const gate = new CollectiveGate(shards, { cells: task.cells, sleep: threadId !== task.thread });
    const collectives = new Collectives({ shard, shards, gate, peers });
    const executors: Executor[] = [];
    try {
      for (const segment of task.segments) {
        signal?.throwIfAborted();
        executors.push(await load(segment));
      }
      const answered = answer(port, signal, (message) => runProgram(task, executors, gate, collectives, message));
      port.postMessage({ ready: true } satisfies FromShard);
      await answered;
    } finally {
      gate.stop(stops.closed);
      for (const executor of executors) await executor[Symbol.asyncDispose]();
      for (const open of [port, ...peers]) open.close();
    }
    return undefined;
  },
};

type RunMessage = Extract<ToShard, { readonly run: number }>;

/** One run at a time: the caller sends the next one after the answer. */
function answer(port: MessagePort, signal: AbortSignal | undefined, run: (message: RunMessage) => Promise<FromShard>): Promise<void> {
  return new Promise((resolve) => {
    let running: Promise<void> = Promise.resolve();
    const end = (): void => void running.then(resolve);
    signal?.addEventListener('abort', end, { once: true });
    port.addEventListener('close', end);
    port.onmessage = ({ data }: MessageEvent<ToShard>) => {
      if ('close' in data) return end();
      running = run(data).then((reply) => port.postMessage(reply, 'outputs' in reply ? buffersOf(reply.outputs) : []));
    };
  });
}

async function runProgram(task: ShardTask, executors: readonly Executor[], gate: CollectiveGate, exchange: Collectives, { run, fresh, feeds, outputs: wanted }: RunMessage): Promise<FromShard> {
  const { shard, program, inputs, outputs } = task;
  try {
    if (fresh) await exchange.reset();
    const values = Object.fromEntries(inputs.map((port) => [port.value, received(feeds[port.name]!, port, shard)]));
    const results = await runShard({ shard, program, outputs, executors, exchange, check: () => gate.check() }, values, wanted);
    return { run, outputs: Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, sent(tensor)])) };
  } catch (error) {
    gate.stop(stops.failed);
    return { run, failure: toPlainError(error, 'E_ENGINE') };
  }
}

/** What a shard takes of a feed, in memory of its own. */
function received(tensor: SentTensor, { cut }: ShardedPort, shard: number): DenseTensor | StringTensor {
  if ('texts' in tensor) return new StringTensor(tensor.shape, tensor.texts);
  const { dtype, shape, bytes } = tensor;
  if (!cut) return new DenseTensor(dtype, shape, bytes.buffer instanceof SharedArrayBuffer ? new Uint8Array(bytes) : bytes);
  return partOf(new DenseTensor(dtype, shape, bytes), cut, shard);
}

function sent(tensor: DenseTensor | StringTensor): SentTensor {
  if (tensor.kind === 'string') return { shape: tensor.shape, texts: tensor.values };
  const { dtype, shape, bytes } = tensor;
  // a view of something larger would take that along
  return { dtype, shape, bytes: bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice() };
}

const buffersOf = (tensors: Readonly<Record<string, SentTensor>>): ArrayBuffer[] => [...new Set(Object.values(tensors).flatMap((tensor) => ('bytes' in tensor ? [tensor.bytes.buffer as ArrayBuffer] : [])))];
