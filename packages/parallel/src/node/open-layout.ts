/** A model on the devices of a layout, as one `Executor`: the whole tree of replicas, stages, shards and branches. */
import { availableParallelism } from 'node:os';
import { cloneModel, type Engine, type Executor, inferShapes, type JobHost, type Model, PenjingError, type TaskOptions, type ValueInfo, type ValueType } from '@penjing/core';
import { extractModel } from '@penjing/core/calibrate';
import type { Device } from '../plan/device.js';
import type { Layout, PlacedPart } from '../plan/plan.js';
import { type BatchAxes, findBatch } from '../split/batch.js';
import { rowGrain } from '../split/row-grain.js';
import { provenBatch } from '../split/follow-rows.js';
import { enginesOf, shareThreads } from '../split/share-threads.js';
import { shardModel } from '../tensor/shard-model.js';
import { openChain } from './chain.js';
import { openEnsemble } from './ensemble.js';
import { inMicroBatches, openPipeline } from './pipeline.js';
import { openReplicas } from './replicas.js';
import { openRevived } from './revived.js';
import { openShards } from './open-tensor.js';
import { openTasks, type TaskPart } from './tasks.js';

export interface OpenLayoutOptions extends Pick<TaskOptions, 'signal'> {
  /** What runs models, or that of a device by its name: a device of another machine has its own. */
  readonly engine: Engine | ((device: string) => Engine);
  /** Starts a host of jobs for the shards of a tensor layout, each in a thread of its own; it is disposed of with the model. `ortJobs` of runtime is one. Tensor layouts need it. */
  readonly jobs?: (options: { readonly parallel: number; readonly threads: number }) => JobHost & AsyncDisposable;
  /** What is known of the devices; their cores are shared out among the engines on them, those of this machine among all where they are not known. */
  readonly devices?: readonly Device[];
  /**
   * The symbol of the dimension along which batches are cut: rows must not know of each other. When absent the one whose name says so, if all operators are known to keep rows apart; else batches stay whole,
   * and only requests are shared out.
   */
  readonly batch?: string;
  /** Pieces of a batch begin at multiples of this many rows; when absent of as many as equality of every bit takes (1, 2 or 4, as the operators are). */
  readonly grain?: number;
}

interface Context {
  readonly engineOf: (device: string) => Engine;
  readonly jobs: OpenLayoutOptions['jobs'];
  readonly threadsOf: (device: string) => number;
  /** The whole model with all types that follow from its nodes: engines want to know those of what a part is given. */
  readonly typed: Model;
  /** Types by name of a value. */
  readonly types: ReadonlyMap<string, ValueType>;
  /** The symbol to cut along, `undefined` to look for one. */
  readonly batch: string | undefined;
  readonly grain: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Disposing closes every engine. Outputs are those of a single engine, bit for bit, for data, pipelines and tasks of models whose rows are computed apart. Throws `E_GRAPH` for a layout that names values
 * the model does not have, `E_OPTION` for a `batch` that its outputs do not have.
 */
export async function openLayout(model: Model, layout: Layout, { engine, jobs, devices = [], batch, grain, signal }: OpenLayoutOptions): Promise<Executor> {
  const engineOf = typeof engine === 'function' ? engine : (): Engine => engine;
  const typed = cloneModel(model);
  inferShapes(typed);
  const context: Context = {
    engineOf,
    jobs,
    threadsOf: shareThreads(layout, devices, availableParallelism()),
    typed,
    types: typesOf(typed),
    batch,
    grain: grain ?? rowGrain(typed),
    signal,
  };
  if (batch !== undefined && !batchOf(model, context)) throw new PenjingError('E_OPTION', `${batch} is no dimension of an input and of all outputs`, { hint: 'Name the symbol of the batch, or leave it out.' });
  return open(model, layout, context);
}

async function open(model: Model, layout: Layout, context: Context): Promise<Executor> {
  const { signal } = context;
  signal?.throwIfAborted();
  switch (layout.kind) {
    case 'device': {
      const threads = layout.threads ?? context.threadsOf(layout.device);
      return openRevived((opening) => context.engineOf(layout.device).load(model, { threads, ...(opening && { signal: opening }) }), signal);
    }
    case 'data': {
      const replicas = await openAll(layout.replicas.map((replica) => () => open(model, replica, context)));
      if (layout.reduction === 'concat') return openReplicas({ replicas, batch: batchOf(model, context), grain: context.grain });
      return orDispose(replicas, () => openEnsemble({ replicas, reduction: layout.reduction as 'mean' | 'sum', engine: context.engineOf(enginesOf(layout)[0] ?? ''), ...(signal && { signal }) }));
    }
    case 'pipeline': {
      const pieces = { microBatches: layout.microBatches, batch: batchOf(model, context), grain: context.grain };
      const chain = await openStages(model, layout.stages, context);
      if (chain) return inMicroBatches(chain, pieces);
      const stages = await openParts(layout.stages, context);
      return orDispose(stages.map(({ work }) => work), async () => openPipeline({ ...bordersOf(model), ...pieces, stages }));
    }
    case 'tasks': {
      const parts = await openParts(layout.parts, context);
      return orDispose(parts.map(({ work }) => work), async () => openTasks({ parts, ...bordersOf(model) }));
    }
    case 'tensor': {
      const { jobs } = context;
      if (!jobs) throw new PenjingError('E_OPTION', 'a tensor layout needs threads of its own', { hint: 'Give `jobs`, such as ortJobs of @penjing/runtime.' });
      const sharded = shardModel(model, { shards: layout.devices.length, ...(layout.experts && { experts: layout.experts }) });
      const threads = Math.min(...layout.devices.map(context.threadsOf));
      return openRevived((opening) => openShards(sharded, jobs({ parallel: sharded.shards, threads }), opening), signal);
    }
  }
}

function modelsOf(parts: readonly PlacedPart[], { typed }: Context): Model[] {
  return parts.map(({ inputs, outputs }) => extractModel(typed, inputs, outputs, { keepOutputs: true }));
}

/** Stages that are one session each, all of the same engine: then it can tie them together. What is more than that this thread ties together. */
async function openStages(model: Model, parts: readonly PlacedPart[], context: Context): Promise<Executor | undefined> {
  const devices = parts.flatMap(({ layout }) => (layout.kind === 'device' ? [layout] : []));
  const engines = new Set(devices.map(({ device }) => context.engineOf(device)));
  const [engine] = engines;
  if (!engine?.loadChain || engines.size > 1 || devices.length < parts.length) return undefined;
  const stages = modelsOf(parts, context).map((part, i) => ({ model: part, threads: devices[i]!.threads ?? context.threadsOf(devices[i]!.device) }));
  return openChain({ engine, stages, ...bordersOf(model), ...(context.signal && { signal: context.signal }) });
}

function openParts(parts: readonly PlacedPart[], context: Context): Promise<(TaskPart & { readonly work: Executor })[]> {
  const models = modelsOf(parts, context);
  return openAll(models.map((part, i) => () => open(part, parts[i]!.layout, context))).then((works) => works.map((work, i) => ({ name: `part ${i + 1}`, work })));
}

/** All of them, or none: what was opened before one failed is closed. */
async function openAll(openers: readonly (() => Promise<Executor>)[]): Promise<Executor[]> {
  const settled = await Promise.allSettled(openers.map((opener) => opener()));
  const opened = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = settled.find((one) => one.status === 'rejected');
  return orDispose(opened, () => (failed ? Promise.reject(failed.reason as Error) : Promise.resolve(opened)));
}

async function orDispose<T>(opened: readonly Executor[], then: () => Promise<T>): Promise<T> {
  try {
    return await then();
  } catch (error) {
    await Promise.all(opened.map((executor) => executor[Symbol.asyncDispose]()));
    throw error;
  }
}

/** What a request to a model gives and gets. An input with a default is a weight, as engines see it. */
function bordersOf({ graph }: Model): { readonly inputs: ValueInfo[]; readonly outputs: string[] } {
  const inputs = graph.inputs.filter((value) => !value.tensor).map(({ name, type }) => ({ name, type: type ?? { kind: 'tensor' as const } }));
  return { inputs, outputs: graph.outputs.map(({ name }) => name) };
}

function batchOf(model: Model, { batch, types }: Pick<Context, 'batch' | 'types'>): BatchAxes | undefined {
  if (batch === undefined) return provenBatch(model);
  const { inputs, outputs } = bordersOf(model);
  const typed = (name: string, type?: ValueType): ValueInfo => ({ name, type: types.get(name) ?? type ?? { kind: 'tensor' } });
  return findBatch(inputs.map(({ name, type }) => typed(name, type)), outputs.map((name) => typed(name)), batch);
}

/** Of all values of the main graph; a file says little of those between. */
function typesOf({ graph }: Model): ReadonlyMap<string, ValueType> {
  const types = new Map<string, ValueType>();
  const note = ({ name, type }: { readonly name: string; readonly type?: ValueType | undefined }): void => void (type && name !== '' && types.set(name, type));
  for (const node of graph.nodes()) node.outputs.forEach(note);
  graph.inputs.forEach(note);
  return types;
}
