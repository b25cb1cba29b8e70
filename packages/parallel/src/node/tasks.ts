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
  return {
    inputs: graph.inputs,
    outputs: graph.outputs,
    async run(feeds, options = {}) {
      checkNames(graph, feeds, options.outputs);
      const free = await slots.take(options.signal);
      const once = (): Promise<Fetches> => runFlow(graph, works, feeds, options);
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

/** A value of one run: when it is there, who has still to read it, and whether its buffer may be given away to the last of them. */
interface Cell {
  readonly ready: Promise<AnyTensor>;
  set(tensor: AnyTensor, ours: boolean): void;
  readers: number;
  ours: boolean;
}

async function runFlow(graph: FlowGraph, works: readonly (Executor | TaskFunction)[], feeds: Feeds, { outputs, signal: given, transfer = [] }: RunOptions): Promise<Fetches> {
  const wanted = outputs ?? graph.outputs.map(({ name }) => name);
  const needed = neededSteps(graph, wanted);
  const cells = new Map<string, Cell>();
  for (const name of graph.inputs.map((input) => input.name)) cells.set(name, newCell());
  for (const { gives } of needed) for (const { value } of gives) cells.set(value, newCell());
  for (const { step } of needed) for (const { value } of step.inputs) cells.get(value)!.readers++;
  // What goes back to the caller has a reader that never takes it.
  for (const name of wanted) cells.get(name)!.readers++;
  for (const [name, tensor] of Object.entries(feeds)) cells.get(name)!.set(tensor, transfer.includes(name));

  const { signal, end } = linkedAbort(given);
  try {
    await Promise.all(needed.map(async ({ step, gives }) => {
      const work = works[step.index]!;
      const read = await Promise.all(step.inputs.map(async ({ own, value }) => [own, await untilAborted(cells.get(value)!.ready, signal)] as const));
      const mine = step.inputs.filter(({ value }) => cells.get(value)!.readers === 1 && cells.get(value)!.ours).map(({ own }) => own);
      const options: RunOptions = { signal, outputs: gives.map(({ own }) => own), ...(isExecutor(work) && mine.length > 0 && { transfer: mine }) };
      const fetched = await untilAborted(work.run(Object.fromEntries(read), options), signal);
      for (const { value } of step.inputs) if (--cells.get(value)!.readers === 0) cells.delete(value);
      for (const { own, value, type } of gives) cells.get(value)!.set(checked(step.name, own, fetched[own], type), isExecutor(work));
    }));
    return Object.fromEntries(await Promise.all(wanted.map(async (name) => [name, own(await cells.get(name)!.ready, feeds[name])] as const)));
  } catch (error) {
    end('another step of this run');
    // Which of two steps died first says nothing: a lost worker is told before what it brought down.
    if (!isLost(error)) given?.throwIfAborted();
    throw error;
  }
}

function newCell(): Cell {
  let resolve: (tensor: AnyTensor) => void = () => {};
  const cell: Cell = {
    ready: new Promise((done) => (resolve = done)),
    set(tensor, ours) {
      cell.ours = ours;
      resolve(tensor);
    },
    readers: 0,
    ours: false,
  };
  return cell;
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
