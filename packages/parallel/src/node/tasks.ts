/** A directed graph of models and functions as one `Executor`: branches run at the same time, a bounded number of requests is under way. */
import { DenseTensor, type Executor, type Feeds, type Fetches, PenjingError, type RunOptions, type ValueInfo, untilAborted } from '@penjing/core';
import { type FlowGraph, flowGraph, neededSteps } from '../split/flow-graph.js';
import { linkedAbort } from './linked-abort.js';
import { isLost, rerunOnce } from './rerun.js';
import { Slots } from './slots.js';

/** A step that is no model. It runs on the calling thread: what computes for long belongs into a job (`JobHost.run`). */
export interface TaskFunction {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  run(feeds: Feeds, options: Pick<RunOptions, 'signal'>): Promise<Fetches>;
}

export interface TaskPart {
  readonly name: string;
  readonly work: Executor | TaskFunction;
  /** Names of the work's inputs to names of values of the flow; the same where none is given. */
  readonly inputs?: Readonly<Record<string, string>>;
  readonly outputs?: Readonly<Record<string, string>>;
}

export interface TasksOptions {
  readonly inputs: readonly ValueInfo[];
  /** Names of the values that a run gives. */
  readonly outputs: readonly string[];
  readonly parts: readonly TaskPart[];
  /** Requests under way at the same time; the others wait before the first step. Twice the number of parts when absent: each has work, and some waiting. */
  readonly inFlight?: number;
}

type AnyTensor = Fetches[string];

/**
 * Values follow from the request alone, whatever ends first. A step begins when it has its inputs; the first error ends its own request and no other. A value that only models read moves to the last of
 * them without a copy. Work whose worker died is done again once where all steps are models. Disposing disposes of the executors. Throws `E_GRAPH` for a flow that cannot run.
 */
export function openTasks({ inputs, outputs, parts, inFlight = 2 * parts.length }: TasksOptions): Executor {
  const graph = flowGraph(parts.map(({ name, work, inputs: reads, outputs: gives }) => ({ name, reads: work.inputs, gives: work.outputs, ...(reads && { inputs: reads }), ...(gives && { outputs: gives }) })), inputs, outputs);
  const works = parts.map(({ work }) => work);
  const pure = works.every(isExecutor);
  const slots = new Slots(Math.max(1, inFlight));
  const usual = neededSteps(graph, outputs);
  return {
    inputs: graph.inputs,
    outputs: graph.outputs,
    async run(feeds, options = {}) {
      checkNames(graph, feeds, options.outputs);
      const free = await slots.take(options.signal);
      const needed = options.outputs ? neededSteps(graph, options.outputs) : usual;
      const once = (): Promise<Fetches> => runFlow(graph, needed, works, feeds, options);
      try {
        // Buffers that were given to this flow may be gone: then who gave them begins again.
        return await (pure && (options.transfer ?? []).length === 0 ? rerunOnce(once, options.signal) : once());
      } finally {
        free();
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(works.filter(isExecutor).map((work) => work[Symbol.asyncDispose]()));
    },
  };
}

function isExecutor(work: Executor | TaskFunction): work is Executor {
  return Symbol.asyncDispose in work;
}

export function checkNames(graph: Pick<FlowGraph, 'inputs' | 'outputs'>, feeds: Feeds, wanted: readonly string[] | undefined): void {
  const hint = `The inputs are ${graph.inputs.map(({ name }) => name).join(', ') || '(none)'}.`;
  for (const { name } of graph.inputs) if (!Object.hasOwn(feeds, name)) throw new PenjingError('E_INPUT', `input ${name} is missing`, { hint });
  for (const name of Object.keys(feeds)) if (!graph.inputs.some((input) => input.name === name)) throw new PenjingError('E_INPUT', `there is no input ${name}`, { hint });
  const odd = wanted?.find((name) => !graph.outputs.some((output) => output.name === name));
  if (odd !== undefined) throw new PenjingError('E_INPUT', `there is no output ${odd}`, { hint: `The outputs are ${graph.outputs.map(({ name }) => name).join(', ')}.` });
}

/** A value of one run, and whether its buffer may be given away to the last who reads it. */
interface Value {
  readonly tensor: AnyTensor;
  readonly ours: boolean;
}

async function runFlow({ inputs, outputs: all }: FlowGraph, needed: ReturnType<typeof neededSteps>, works: readonly (Executor | TaskFunction)[], feeds: Feeds, { outputs, signal: given, transfer = [] }: RunOptions): Promise<Fetches> {
  const wanted = outputs ?? all.map(({ name }) => name);
  const values = new Map<string, Value>();
  const readers = new Map<string, number>();
  const read = (name: string, more: number): number => {
    const count = (readers.get(name) ?? 0) + more;
    readers.set(name, count);
    return count;
  };
  for (const { step } of needed) for (const { value } of step.inputs) read(value, 1);
  // What goes back to the caller has a reader that never takes it.
  for (const name of wanted) read(name, 1);
  for (const { name } of inputs) values.set(name, { tensor: feeds[name]!, ours: transfer.includes(name) });

  const { signal, end } = linkedAbort(given);
  const waiting = new Set(needed);
  let left = needed.length;

  async function take({ step, gives }: (typeof needed)[number]): Promise<void> {
    const work = works[step.index]!;
    const model = isExecutor(work);
    const taken: [string, AnyTensor][] = [];
    const mine: string[] = [];
    for (const { own, value } of step.inputs) {
      const { tensor, ours } = values.get(value)!;
      taken.push([own, tensor]);
      if (model && ours && readers.get(value) === 1) mine.push(own);
    }
    const fetched = await work.run(Object.fromEntries(taken), { signal, outputs: gives.map(({ own }) => own), ...(mine.length > 0 && { transfer: mine }) });
    for (const { value } of step.inputs) if (read(value, -1) === 0) values.delete(value);
    for (const { own, value, type } of gives) values.set(value, { tensor: checked(step.name, own, fetched[own], type), ours: model });
    left--;
  }

  try {
    // One promise and one listener for all steps: each of their own is what a request of two steps costs the calling thread most, which takes that time from one of the engines.
    await untilAborted(new Promise<void>((resolve, reject) => {
      function go(): void {
        if (signal.aborted) return;
        if (left === 0) return resolve();
        for (const one of waiting) {
          if (one.step.inputs.some(({ value }) => !values.has(value))) continue;
          waiting.delete(one);
          take(one).then(go, reject);
        }
      }
      go();
    }), signal);
    return Object.fromEntries(wanted.map((name) => [name, own(values.get(name)!.tensor, feeds[name])]));
  } catch (error) {
    end('another step of this run');
    // Which of two steps died first says nothing: a lost worker is told before what it brought down.
    if (!isLost(error)) given?.throwIfAborted();
    throw error;
  }
}

/** Who runs a flow may give away what it gets: a value that passes through is not to be the caller's own. */
function own(tensor: AnyTensor, fed: AnyTensor | undefined): AnyTensor {
  return tensor === fed && tensor.kind === 'dense' ? new DenseTensor(tensor.dtype, tensor.shape, tensor.bytes.slice()) : tensor;
}

/** Functions are the user's: what they give is held against what they declare. */
function checked(step: string, name: string, tensor: AnyTensor | undefined, type: ValueInfo['type']): AnyTensor {
  if (!tensor) throw new PenjingError('E_TASK', `${step} did not give ${name}`);
  if (type.kind === 'tensor' && type.dtype !== undefined && type.dtype !== tensor.dtype) throw new PenjingError('E_TASK', `${step} gave ${name} as ${tensor.dtype}, and declares ${type.dtype}`);
  return tensor;
}
