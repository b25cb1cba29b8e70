/** Runs the program of a sharded model on one engine, shard after shard: what `openTensor` must give, without threads. */
import { DenseTensor, type Engine, type Executor, type Feeds, type Fetches, PenjingError, type RunOptions, type StringTensor } from '@penjing/core';
import { addTerm } from './add-terms.js';
import { joinParts, takePart } from './pieces.js';
import type { ShardedModel } from './sharded-model.js';
import { infosOf } from './sharded-ports.js';

type Values = Map<string, DenseTensor | StringTensor>;

export async function openShardsInTurn(model: ShardedModel, engine: Engine): Promise<Executor> {
  const executors: Executor[][] = [];
  const dispose = async (): Promise<void> => {
    for (const executor of executors.flat()) await executor[Symbol.asyncDispose]();
  };
  try {
    for (const segments of model.segments) {
      const own: Executor[] = [];
      executors.push(own);
      for (const segment of segments) own.push(await engine.load(segment));
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  return { ...infosOf(model), run: (feeds, options) => runProgram(model, executors, feeds, options), [Symbol.asyncDispose]: dispose };
}

async function runProgram(model: ShardedModel, executors: readonly (readonly Executor[])[], feeds: Feeds, { outputs: wanted, signal }: RunOptions = {}): Promise<Fetches> {
  const shards = executors.map((_, shard): Values => new Map(model.inputs.map(({ name, value, cut }) => {
    const tensor = feeds[name];
    if (!tensor) throw new PenjingError('E_INPUT', `the input ${name} is missing`);
    return [value, cut ? takePart(dense(tensor), cut, shard, name) : tensor];
  })));
  for (const step of model.program) {
    signal?.throwIfAborted();
    if (step.kind === 'run') {
      for (const [shard, values] of shards.entries()) {
        const executor = executors[shard]![step.segment]!;
        const fetched = await executor.run(Object.fromEntries(executor.inputs.map(({ name }) => [name, values.get(name)!])), signal ? { signal } : {});
        for (const [name, tensor] of Object.entries(fetched)) values.set(name, tensor);
      }
    } else if (step.kind === 'reduce') {
      for (const { from, to } of step.values) {
        const sum = sumOf(shards.map((values) => dense(values.get(from)!)));
        for (const values of shards) values.set(to, sum);
      }
    } else {
      for (const { from, to, cut } of step.values) {
        const whole = joinParts(shards.map((values) => dense(values.get(from)!)), cut);
        for (const values of shards) values.set(to, whole);
      }
    }
  }
  const outputs = model.outputs.filter(({ name }) => wanted === undefined || wanted.includes(name));
  return Object.fromEntries(outputs.map(({ name, value, cut }) => [name, cut ? joinParts(shards.map((values) => dense(values.get(value)!)), cut) : shards[0]!.get(value)!]));
}

export function sumOf([first, ...rest]: readonly DenseTensor[]): DenseTensor {
  const sum = new Uint8Array(first!.bytes);
  for (const { bytes } of rest) addTerm(first!.dtype, sum, bytes);
  return new DenseTensor(first!.dtype, first!.shape, sum);
}

function dense(tensor: DenseTensor | StringTensor): DenseTensor {
  if (tensor.kind === 'string') throw new PenjingError('E_DTYPE', 'tensors of strings are not shared out');
  return tensor;
}
