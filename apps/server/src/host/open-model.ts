/** Opens a model in its own process: what it is for decides what can be asked of it. */
import { PenjingError } from '@penjing/core';
import { type ModelSummary, summarizeModel } from '@penjing/runtime';
import { flowFileAt } from '../flow/flow-file.js';
import { openEmbedding } from './kinds/embedding.js';
import { openTensors } from './kinds/tensors.js';
import { openTextGeneration } from './kinds/text-generation.js';
import type { HostMethod, HostMethods, ModelDescription, ModelSource, Task } from './protocol.js';
import { signatureOf } from './tensor-signature.js';

export interface HandlerContext<M extends HostMethod> {
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  readonly emit: (event: HostMethods[M]['event']) => void;
}

export type Handler<M extends HostMethod = HostMethod> = (params: HostMethods[M]['params'], context: HandlerContext<M>) => Promise<HostMethods[M]['result']>;
export type Handlers = { readonly [M in HostMethod]?: Handler<M> };

/** What opening a model of some kind gives. */
export interface OpenedKind {
  readonly handlers: Handlers;
  readonly contextLength?: number | undefined;
  readonly hasChatTemplate?: boolean;
  readonly close: () => Promise<void>;
}

export interface OpenedModel {
  readonly description: ModelDescription;
  readonly handlers: Handlers;
  readonly close: () => Promise<void>;
}

/** Opens `summary.file`; `settings` are options of the runtime's loaders. */
export type KindOpener = (summary: ModelSummary, settings: KindSettings) => Promise<OpenedKind>;

export interface KindSettings extends Pick<ModelSource, 'threads' | 'device' | 'variant' | 'prefixCacheBytes' | 'plan'> {
  readonly thread: 'calling';
  readonly signal: AbortSignal;
}

/** One row per kind of model. */
const kinds: Readonly<Record<Task, KindOpener>> = { 'text-generation': openTextGeneration, embedding: openEmbedding, tensors: openTensors };

export async function openModel({ path, variant, task, threads, device, prefixCacheBytes, stages, plan }: ModelSource, signal: AbortSignal): Promise<OpenedModel> {
  // what few models need is loaded for them
  if (stages) {
    if (plan !== undefined) throw noPlan(path, 'runs in stages elsewhere', 'Leave one of `plan` and `stages` out.');
    const { openRemote } = await import('../flow/open-remote.js');
    return openRemote(stages, signal);
  }
  const flow = await flowFileAt(path);
  if (flow !== undefined) {
    if (plan !== undefined) throw noPlan(path, 'is a flow', 'Leave `plan` out: a flow says itself what runs beside what.');
    const { openFlow } = await import('../flow/open-flow.js');
    return openFlow(flow, { threads, device }, signal);
  }
  const summary = await summarizeModel(path, { ...(variant !== undefined && { variant }), signal });
  const kind = task ?? summary.task;
  if (plan !== undefined && kind !== 'tensors') throw noPlan(path, `is for ${kind}`, 'Serve it with `"task": "tensors"`, or leave `plan` out.');
  const { handlers, contextLength, hasChatTemplate = false, close } = await kinds[kind](summary, { threads, device, variant, prefixCacheBytes, plan, thread: 'calling', signal });
  const description: ModelDescription = {
    task: kind,
    inputs: summary.inputs.map(signatureOf),
    outputs: summary.outputs.map(signatureOf),
    bytes: summary.bytes,
    contextLength,
    hasChatTemplate,
  };
  return { description, handlers, close };
}

function noPlan(path: string, why: string, hint: string): PenjingError {
  return new PenjingError('E_OPTION', `${path} ${why}: a plan is for models that take and give tensors`, { hint });
}
