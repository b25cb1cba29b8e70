/** Opens a model in its own process: what it is for decides what can be asked of it. */
import { PenjingError } from '@penjing/core';
import { summarizeModel } from '@penjing/runtime';
import { flowFileAt } from '../flow/flow-file.js';
import { openEmbedding } from './kinds/embedding.js';
import { openTensors } from './kinds/tensors.js';
import { openTextGeneration } from './kinds/text-generation.js';
import type { KindOpener, OpenedModel } from './model-kind.js';
import type { ModelDescription, ModelSource, Task } from './protocol.js';
import { signatureOf } from './tensor-signature.js';

/** One row per kind of model. */
const kinds: Readonly<Record<Task, KindOpener>> = { 'text-generation': openTextGeneration, embedding: openEmbedding, tensors: openTensors };

export async function openModel({ path, variant, task, threads, device, prefixCacheBytes, kvCache, stages, plan }: ModelSource, signal: AbortSignal): Promise<OpenedModel> {
  // what few models need is loaded for them
  if (stages) {
    if (kvCache) throw noCache(path, kvCache, 'runs in stages elsewhere');
    if (plan !== undefined) throw noPlan(path, 'runs in stages elsewhere', 'Leave one of `plan` and `stages` out.');
    const { openRemote } = await import('../flow/open-remote.js');
    return openRemote(stages, signal);
  }
  const flow = await flowFileAt(path);
  if (flow !== undefined) {
    if (kvCache) throw noCache(path, kvCache, 'is a flow');
    if (plan !== undefined) throw noPlan(path, 'is a flow', 'Leave `plan` out: a flow says itself what runs beside what.');
    const { openFlow } = await import('../flow/open-flow.js');
    return openFlow(flow, { threads, device }, signal);
  }
  const summary = await summarizeModel(path, { ...(variant !== undefined && { variant }), signal });
  const kind = task ?? summary.task;
  if (plan !== undefined && kind !== 'tensors') throw noPlan(path, `is for ${kind}`, 'Serve it with `"task": "tensors"`, or leave `plan` out.');
  if (kvCache && kind !== 'text-generation') throw noCache(path, kvCache, `is for ${kind}`);
  const { handlers, contextLength, hasChatTemplate = false, close } = await kinds[kind](summary, { threads, device, variant, prefixCacheBytes, kvCache, plan, thread: 'calling', signal });
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

function noCache(path: string, kvCache: string, why: string): PenjingError {
  return new PenjingError('E_UNSUPPORTED', `${path} ${why}: it keeps no keys and values that could be ${kvCache}`, { hint: 'Leave `kvCache` out, or give it to models that write text alone.' });
}
