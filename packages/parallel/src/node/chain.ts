/** Stages that an engine ties together itself, as one `Executor`: a bounded number of runs follow each other through them, past the calling thread. */
import type { ChainStage, Engine, Executor, Fetches, TaskOptions, ValueInfo } from '@penjing/core';
import { flowGraph } from '../split/flow-graph.js';
import { blamed, isLost, isLostAgain, rerunOnce } from './rerun.js';
import { Slots } from './slots.js';
import { checkNames } from './tasks.js';

export interface ChainOptions extends Pick<TaskOptions, 'signal'> {
  readonly engine: Engine;
  readonly stages: readonly ChainStage[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly string[];
  /** Runs in the stages and between them; the others wait before the first. Three times the number of stages when absent: one that runs and two that wait for each, since stages take turns in being late. */
  readonly inFlight?: number;
}

/** Undefined when the engine cannot do it, or when a value goes in and out again without a stage. Work whose worker died is done again, and after a second time alone: of all that was in the chain nobody knows which ended it. Throws `E_GRAPH` for stages that cannot run. */
export async function openChain({ engine, stages, inputs, outputs, inFlight = 3 * stages.length, signal }: ChainOptions): Promise<Executor | undefined> {
  if (!engine.loadChain || stages.length < 2 || inputs.some(({ name }) => outputs.includes(name))) return undefined;
  const graph = flowGraph(stages.map(({ model: { graph } }, i) => ({ name: `part ${i + 1}`, reads: graph.inputs.filter(({ tensor }) => !tensor).map(infoOf), gives: graph.outputs.map(infoOf) })), inputs, outputs);
  const chain = await engine.loadChain(graph.steps.map(({ index }) => stages[index]!), { outputs, ...(signal && { signal }) });
  const slots = new Slots(Math.max(1, inFlight));
  // Of those that their callers gave up since the workers began: a stage may still be at them when their places are free.
  let givenUp = 0;
  return {
    inputs,
    outputs: chain.outputs,
    async run(feeds, options = {}) {
      checkNames(graph, feeds, options.outputs);
      // An input that no stage reads is known here only.
      const read = Object.fromEntries(chain.inputs.map(({ name }) => [name, feeds[name]!]));
      const { signal, transfer = [] } = options;
      const once = async (): Promise<Fetches> => {
        try {
          return await chain.run(read, options);
        } catch (error) {
          if (isLost(error)) givenUp = 0;
          else if (signal?.aborted) givenUp++;
          throw error;
        }
      };
      if (transfer.length > 0) return within(slots.take(signal), once);
      try {
        return await within(slots.take(signal), () => rerunOnce(once, signal));
      } catch (error) {
        if (!isLostAgain(error)) throw error;
      }
      return within(slots.takeAll(signal), async () => {
        // Behind one that was given up it was not alone, and is not to blame.
        if (givenUp > 0) {
          const [first] = await Promise.allSettled([once()]);
          if (first.status === 'fulfilled') return first.value;
          if (!isLost(first.reason)) throw first.reason;
        }
        return once().catch((error: unknown) => {
          throw isLost(error) ? blamed(error as Error, 'again, with no other work in the stages') : error;
        });
      });
    },
    [Symbol.asyncDispose]: () => chain[Symbol.asyncDispose](),
  };
}

async function within<T>(place: Promise<() => void>, run: () => Promise<T>): Promise<T> {
  const free = await place;
  try {
    return await run();
  } finally {
    free();
  }
}

const infoOf = ({ name, type }: { readonly name: string; readonly type?: ValueInfo['type'] | undefined }): ValueInfo => ({ name, type: type ?? { kind: 'tensor' } });
