/** The mean or the sum of what several models say of the same inputs, as one `Executor`: y = 1/N Σ fᵢ(x). */
import { type Engine, type Executor, type Feeds, type Fetches, PenjingError, sameShape, type TaskOptions, type ValueInfo } from '@penjing/core';
import { fits } from '../split/flow-graph.js';
import { reducedInput, reductionModel } from '../split/reduction-model.js';
import { linkedAbort } from './linked-abort.js';
import { openRevived } from './revived.js';

export interface EnsembleOptions extends Pick<TaskOptions, 'signal'> {
  /** Models with the same inputs and outputs; their weights, and what is between, may differ. */
  readonly replicas: readonly Executor[];
  readonly reduction: 'mean' | 'sum';
  /** Where outputs are added up: the calling thread does not compute. */
  readonly engine: Engine;
}

/** Rounds as `reductionModel` says. Disposing disposes of the replicas. Throws `E_GRAPH` when models do not match, `E_DTYPE` for outputs that have no mean. */
export async function openEnsemble({ replicas, reduction, engine, signal }: EnsembleOptions): Promise<Executor> {
  const [first, ...others] = replicas;
  if (!first) throw new PenjingError('E_OPTION', 'there are no replicas');
  for (const other of others) for (const side of ['inputs', 'outputs'] as const) checkSame(first[side], other[side], side.slice(0, -1));
  const model = reductionModel(first.outputs, replicas.length, reduction);
  const reducer = await openRevived((opening) => engine.load(model, { threads: 1, ...(opening && { signal: opening }) }), signal);
  return {
    inputs: first.inputs,
    outputs: first.outputs,
    async run(feeds, { outputs, signal: given } = {}) {
      const { signal, end } = linkedAbort(given);
      try {
        // all outputs of each: the reducer takes all of its inputs, also for those that are not asked for
        const terms = termsOf(await Promise.all(replicas.map((replica) => replica.run(feeds, { signal }))));
        return await reducer.run(terms, { signal, transfer: Object.keys(terms), ...(outputs && { outputs }) });
      } catch (error) {
        end('another model of this ensemble');
        throw error;
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...replicas, reducer].map((executor) => executor[Symbol.asyncDispose]()));
    },
  };
}

function checkSame(a: readonly ValueInfo[], b: readonly ValueInfo[], side: string): void {
  const odd = a.find(({ name, type }) => !b.some((other) => other.name === name && fits(type, other.type))) ?? b.find(({ name }) => !a.some((other) => other.name === name));
  if (odd) throw new PenjingError('E_GRAPH', `the ${side} ${odd.name} is not the same in all models of the ensemble`, { hint: 'Give models with the same inputs and outputs.' });
}

/** Outputs by the names under which the reducer reads them. Shapes must be equal: adding would broadcast others. */
function termsOf(fetched: readonly Fetches[]): Feeds {
  return Object.fromEntries(Object.keys(fetched[0]!).flatMap((name) => fetched.map((outputs, i) => {
    const [tensor, first] = [outputs[name]!, fetched[0]![name]!];
    if (!sameShape(tensor.shape, first.shape)) throw new PenjingError('E_SHAPE', `output ${name} is [${first.shape.join(', ')}] of one model and [${tensor.shape.join(', ')}] of another`);
    return [reducedInput(name, i), tensor] as const;
  })));
}
