/** The program of a sharded model as one shard runs it: its own segments, and exchanges with all the others. */
import { type DenseTensor, type Executor, type Feeds, type Fetches, PenjingError, type StringTensor } from '@penjing/core';
import type { AxisCut, ShardedPort, TensorStep } from './sharded-model.js';

/** A part that one shard has of a tensor. */
export interface Part {
  readonly tensor: DenseTensor;
  readonly cut: AxisCut;
}

/** What shards do together. All of them call the same methods in the same order, with tensors of the same shapes. */
export interface ShardExchange {
  /** Sums in the order of the shards: everyone gets the same bits. */
  sum(terms: readonly DenseTensor[]): Promise<readonly DenseTensor[]>;
  /** Whole tensors from everyone's parts; for those shards only that ask for them. */
  join(parts: readonly Part[], wanted?: boolean): Promise<readonly DenseTensor[]>;
}

export interface ShardRun {
  readonly shard: number;
  readonly program: readonly TensorStep[];
  /** Of the whole model. */
  readonly outputs: readonly ShardedPort[];
  /** By segment. */
  readonly executors: readonly Executor[];
  readonly exchange: ShardExchange;
  /** Called before every step; throws when the run was given up. */
  readonly check: () => void;
}

type Values = Map<string, DenseTensor | StringTensor>;

/** Gives the outputs that are wanted, by name, on the first shard, and nothing on the others. `feeds` are what this shard takes of the inputs, by the names of the segments. */
export async function runShard({ shard, program, executors, exchange, check, ...run }: ShardRun, feeds: Feeds, wanted: readonly string[]): Promise<Fetches> {
  const values: Values = new Map(Object.entries(feeds));
  const outputs = run.outputs.filter(({ name }) => wanted.includes(name));
  const plan = planOf(program, executors, outputs);
  for (const [i, step] of program.entries()) {
    check();
    await takeStep(step, plan[i]!.fetch, executors, exchange, values);
    for (const name of plan[i]!.last) values.delete(name);
  }
  const parts = outputs.filter(({ cut }) => cut);
  const joined = parts.length > 0 ? await exchange.join(parts.map(({ value, cut }) => ({ tensor: dense(values, value), cut: cut! })), shard === 0) : [];
  if (shard !== 0) return {};
  parts.forEach(({ value }, i) => values.set(value, joined[i]!));
  return Object.fromEntries(outputs.map(({ name, value }) => [name, values.get(value)!]));
}

async function takeStep(step: TensorStep, fetch: readonly string[], executors: readonly Executor[], exchange: ShardExchange, values: Values): Promise<void> {
  if (step.kind === 'run') {
    const executor = executors[step.segment]!;
    if (fetch.length === 0) return;
    const fetched = await executor.run(Object.fromEntries(executor.inputs.map(({ name }) => [name, values.get(name)!])), { outputs: fetch });
    for (const [name, tensor] of Object.entries(fetched)) values.set(name, tensor);
    return;
  }
  const results = step.kind === 'reduce'
    ? await exchange.sum(step.values.map(({ from }) => dense(values, from)))
    : await exchange.join(step.values.map(({ from, cut }) => ({ tensor: dense(values, from), cut })));
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
