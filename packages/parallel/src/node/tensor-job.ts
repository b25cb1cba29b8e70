/** The job of one shard: it loads its segments, and runs the program as often as it is asked to. */
import { threadId } from 'node:worker_threads';
import { DenseTensor, type Executor, type Job, jobModule, PenjingError, StringTensor, toPlainError } from '@penjing/core';
import { partOf } from '../tensor/pieces.js';
import type { ShardedPort, TensorStep } from '../tensor/sharded-model.js';
import { CollectiveGate, stops } from './collective-gate.js';
import { Collectives } from './collectives.js';
import { type FromShard, type SentTensor, type ShardTask, type ToShard } from './tensor-messages.js';

type Values = Map<string, DenseTensor | StringTensor>;

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

async function runProgram(task: ShardTask, executors: readonly Executor[], gate: CollectiveGate, collectives: Collectives, { run, fresh, feeds, outputs: wanted }: RunMessage): Promise<FromShard> {
  try {
    if (fresh) await collectives.reset();
    const values: Values = new Map(task.inputs.map((port) => [port.value, received(feeds[port.name]!, port, task.shard)]));
    const outputs = task.outputs.filter(({ name }) => wanted.includes(name));
    const plan = planOf(task.program, executors, outputs);
    for (const [i, step] of task.program.entries()) {
      gate.check();
      await takeStep(step, plan[i]!.fetch, executors, collectives, values);
      for (const name of plan[i]!.last) values.delete(name);
    }
    const parts = outputs.filter(({ cut }) => cut);
    const joined = parts.length > 0 ? await collectives.join(parts.map(({ value, cut }) => ({ tensor: dense(values, value), cut: cut! })), task.shard === 0) : [];
    if (task.shard !== 0) return { run, outputs: {} };
    parts.forEach(({ value }, i) => values.set(value, joined[i]!));
    return { run, outputs: Object.fromEntries(outputs.map(({ name, value }) => [name, sent(values.get(value)!)])) };
  } catch (error) {
    gate.stop(stops.failed);
    return { run, failure: toPlainError(error, 'E_ENGINE') };
  }
}

async function takeStep(step: TensorStep, fetch: readonly string[], executors: readonly Executor[], collectives: Collectives, values: Values): Promise<void> {
  if (step.kind === 'run') {
    const executor = executors[step.segment]!;
    if (fetch.length === 0) return;
    const fetched = await executor.run(Object.fromEntries(executor.inputs.map(({ name }) => [name, values.get(name)!])), { outputs: fetch });
    for (const [name, tensor] of Object.entries(fetched)) values.set(name, tensor);
    return;
  }
  const results = step.kind === 'reduce'
    ? await collectives.sum(step.values.map(({ from }) => dense(values, from)))
    : await collectives.join(step.values.map(({ from, cut }) => ({ tensor: dense(values, from), cut })));
  step.values.forEach(({ to }, i) => values.set(to, results[i]!));
}

/** By step: the outputs that something needs later, and the values that nothing needs any more. */
function planOf(program: readonly TensorStep[], executors: readonly Executor[], outputs: readonly ShardedPort[]): { fetch: string[]; last: string[] }[] {
  const needed = new Set(outputs.map(({ value }) => value));
  const plan: { fetch: string[]; last: string[] }[] = [];
  for (const step of [...program].reverse()) {
    const reads = step.kind === 'run' ? executors[step.segment]!.inputs.map(({ name }) => name) : step.values.map(({ from }) => from);
    const fetch = step.kind === 'run' ? executors[step.segment]!.outputs.map(({ name }) => name).filter((name) => needed.has(name)) : [];
    const live = step.kind === 'run' && fetch.length === 0 ? [] : reads;
    plan.unshift({ fetch, last: live.filter((name) => !needed.has(name)) });
    for (const name of live) needed.add(name);
  }
  return plan;
}

function dense(values: Values, name: string): DenseTensor {
  const tensor = values.get(name);
  if (tensor?.kind !== 'dense') throw new PenjingError('E_DTYPE', `${name} is no tensor of numbers, and is not shared out`);
  return tensor;
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
