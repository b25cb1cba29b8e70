/** A flow as one model: each of its models in a thread of its own, branches at the same time. */
import { availableParallelism } from 'node:os';
import { type Engine, type Executor, GraphBuilder, Model, PenjingError, type TensorType, tensorType, type ValueInfo } from '@penjing/core';
import { openEnsemble, openRevived, openTasks, type TaskPart } from '@penjing/parallel/node';
import { ortEngine, summarizeModel } from '@penjing/runtime';
import { inferWith } from '../host/kinds/tensors.js';
import type { OpenedModel } from '../host/model-kind.js';
import type { ModelSource } from '../host/protocol.js';
import { signatureOf } from '../host/tensor-signature.js';
import { type FlowStep, modelsOf, readFlow } from './flow-file.js';

interface FlowOptions extends Pick<ModelSource, 'threads' | 'device'> {
  readonly engine?: ReturnType<typeof ortEngine>;
}

/**
 * What no step gives is an input of the whole. A model whose thread dies is opened again. Throws `E_GRAPH` for steps that do not fit together, `E_CONFIG`, what opening the models throws, and the reason of the signal;
 * then nothing stays open.
 */
export async function openFlow(file: string, { threads, device, engine = ortEngine() }: FlowOptions, signal: AbortSignal): Promise<OpenedModel> {
  const { steps, outputs, inFlight } = await readFlow(file);
  const count = steps.reduce((sum, step) => sum + modelsOf(step).length, 0);
  const share = Math.max(1, Math.floor((threads ?? availableParallelism()) / count));
  const opened: (TaskPart & { readonly work: Executor })[] = [];
  let bytes = 0;
  const open = async (path: string, step: FlowStep): Promise<Executor> => {
    const summary = await summarizeModel(path, { ...(step.variant !== undefined && { variant: step.variant }), signal });
    bytes += summary.bytes;
    return openRevived((opening) => engine.loadFile(summary.file, { threads: step.threads ?? share, ...(device !== undefined && { device }), ...(opening && { signal: opening }) }), signal);
  };
  try {
    for (const [i, step] of steps.entries()) {
      opened.push({ name: step.name ?? `step ${i + 1}`, work: await openStep(step, open, engine, signal), ...(step.inputs && { inputs: step.inputs }), ...(step.outputs && { outputs: step.outputs }) });
    }
    const flow = openTasks({ parts: opened, inputs: inputsOf(opened), outputs, ...(inFlight !== undefined && { inFlight }) });
    return {
      description: { task: 'tensors', inputs: flow.inputs.map(signatureOf), outputs: flow.outputs.map(signatureOf), bytes, contextLength: undefined, hasChatTemplate: false, platform: 'ensemble' },
      handlers: { infer: inferWith(async () => flow) },
      close: async () => flow[Symbol.asyncDispose](),
    };
  } catch (error) {
    await disposeAll(opened.map(({ work }) => work));
    throw error;
  }
}

async function openStep(step: FlowStep, open: (path: string, step: FlowStep) => Promise<Executor>, engine: Engine, signal: AbortSignal): Promise<Executor> {
  const models: Executor[] = [];
  try {
    for (const path of modelsOf(step)) models.push(await open(path, step));
    const [first, ...others] = models;
    if (others.length === 0 || step.reduction === undefined) return first!;
    return step.reduction === 'concat' ? await openJoined(models, engine, signal) : await openEnsemble({ replicas: models, reduction: step.reduction, engine, signal });
  } catch (error) {
    await disposeAll(models);
    throw error;
  }
}

const disposeAll = async (executors: readonly Executor[]): Promise<void> => void (await Promise.all(executors.map((executor) => executor[Symbol.asyncDispose]())));

/** What models say of the same inputs, one behind the other along the last axis. */
async function openJoined(models: readonly Executor[], engine: Engine, signal: AbortSignal): Promise<Executor> {
  const { inputs, outputs } = models[0]!;
  const place = (name: string, i: number): string => `${i}:${name}`;
  const parts = models.map((work, i): TaskPart => ({ name: `model ${i + 1}`, work, outputs: Object.fromEntries(work.outputs.map(({ name }) => [name, place(name, i)])) }));
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  for (const output of outputs) {
    const types = models.map((each) => tensorNamed(each, output.name));
    const terms = types.map(({ dtype, shape }, i) => b.input(place(output.name, i), tensorType(dtype, shape)));
    b.output(b.op('Concat', terms, { axis: -1 }), output.name, joined(types));
  }
  const joiner = await openRevived((opening) => engine.load(model, { threads: 1, ...(opening && { signal: opening }) }), signal);
  try {
    return openTasks({ parts: [...parts, { name: 'concat', work: joiner }], inputs, outputs: outputs.map(({ name }) => name) });
  } catch (error) {
    await joiner[Symbol.asyncDispose]();
    throw error;
  }
}

function tensorNamed({ outputs }: Executor, name: string): TensorType {
  const type = outputs.find((output) => output.name === name)?.type;
  if (type?.kind === 'tensor' && type.dtype) return type;
  throw new PenjingError('E_GRAPH', `not every model gives a tensor ${name}: they cannot be joined`, { hint: 'Give models with the same inputs and outputs.' });
}

/** The last size is the sum where all are known. */
function joined(types: readonly TensorType[]): TensorType {
  const [{ dtype, shape }] = types as [TensorType];
  const last = types.map((type) => type.shape?.at(-1));
  return tensorType(dtype, shape && [...shape.slice(0, -1), last.every((size) => typeof size === 'number') ? last.reduce((a, b) => a + b, 0) : null]);
}

/** Of the first that reads each: the flow holds the others against it. */
function inputsOf(parts: readonly TaskPart[]): ValueInfo[] {
  const given = new Set(parts.flatMap(({ work, outputs = {} }) => work.outputs.map(({ name }) => outputs[name] ?? name)));
  const inputs = new Map<string, ValueInfo>();
  for (const { work, inputs: reads = {} } of parts) {
    for (const { name, type } of work.inputs) {
      const value = reads[name] ?? name;
      if (!given.has(value) && !inputs.has(value)) inputs.set(value, { name: value, type });
    }
  }
  return [...inputs.values()];
}
