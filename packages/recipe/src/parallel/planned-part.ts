/** What one process of a plan over several machines computes: a stage, or a shard of one. */
import { readFile, stat } from 'node:fs/promises';
import { inferShapes, type Model, PenjingError } from '@penjing/core';
import { extractModel } from '@penjing/core/calibrate';
import { enginesOf, type Layout, MAX_PLAN_BYTES, type Part, type Plan, readPlan } from '@penjing/parallel';
import { runnableModel } from '../model-reference.js';

/** A stage of a plan. The whole model is one where it is in shards on several machines. */
export interface PlannedPart {
  readonly borders: Part | undefined;
  readonly layout: Layout;
}

export async function readPlanFile(path: string): Promise<Plan> {
  const missing = (cause: unknown): never => {
    throw new PenjingError('E_NOT_FOUND', `${path} cannot be read`, { cause, hint: 'Make a plan: `penjing plan`.' });
  };
  const { size } = await stat(path).catch(missing);
  if (size > MAX_PLAN_BYTES) throw new PenjingError('E_PLAN', `${path} takes ${size} bytes, a plan takes at most ${MAX_PLAN_BYTES}`);
  return readPlan(await readFile(path, 'utf8').catch(missing), path);
}

/** Throws `E_PLAN` for a plan that is no pipeline, nor in shards. */
export function stagesOf({ layout }: Plan, path: string): readonly PlannedPart[] {
  if (layout.kind === 'pipeline') return layout.stages.map(({ layout: own, ...borders }) => ({ borders, layout: own }));
  if (layout.kind === 'tensor') return [{ borders: undefined, layout }];
  throw new PenjingError('E_PLAN', `the layout of ${path} is no pipeline at its top, but ${layout.kind}`, { hint: 'Stages on several machines are those of a pipeline; run other layouts on one machine with `penjing run --plan`.' });
}

/** Throws `E_PLAN`. */
export function stageOf(plan: Plan, path: string, stage: number): PlannedPart {
  const stages = stagesOf(plan, path);
  const part = stages[stage];
  if (!part) throw new PenjingError('E_PLAN', `${path} has no stage ${stage}`, { hint: `Its stages are 0 to ${stages.length - 1}.` });
  return part;
}

export type ShardedLayout = Extract<Layout, { readonly kind: 'tensor' }>;

/** Shards of the stage as processes of their own. Throws `E_PLAN`, `E_OPTION`. */
export function shardsOf({ layout }: PlannedPart, stage: number, shard: number): ShardedLayout {
  if (layout.kind !== 'tensor') throw new PenjingError('E_OPTION', `stage ${stage} is not in shards, but ${layout.kind}`, { hint: 'Leave --shard out.' });
  const { length } = layout.devices;
  if (shard >= length) throw new PenjingError('E_PLAN', `stage ${stage} has no shard ${shard}`, { hint: `Its shards are 0 to ${length - 1}.` });
  return layout;
}

/** Replicas and branches of a stage talk through memory, and its shards too unless they are processes of their own. */
export function checkOneHost({ layout }: PlannedPart, { devices }: Plan, stage: number): void {
  const hosts = new Set(enginesOf(layout).map((name) => devices.find((device) => device.name === name)?.host ?? name));
  if (hosts.size <= 1) return;
  const hint = layout.kind === 'tensor'
    ? 'Shards wait for the network at every layer. Where that is worth it, start one worker for each: --shard 0, --shard 1 and so on.'
    : 'A stage runs on one machine: shards would wait for the network at every layer. Plan with a pipeline between the machines.';
  throw new PenjingError('E_PLAN', `stage ${stage} lies on ${[...hosts].join(' and ')}`, { hint });
}

/** What a stage computes, with types of all values: an engine wants those of what comes into a part, and files say little of values between nodes. */
export async function modelOf(path: string, { borders }: PlannedPart, signal: AbortSignal | undefined): Promise<{ readonly part: Model; readonly results: readonly string[] }> {
  const model = await (await runnableModel({ path }, signal)).model();
  inferShapes(model);
  const outputs = model.graph.outputs.map(({ name }) => name);
  return borders ? { part: extractModel(model, borders.inputs, borders.outputs), results: outputs.filter((name) => borders.outputs.includes(name)) } : { part: model, results: outputs };
}
