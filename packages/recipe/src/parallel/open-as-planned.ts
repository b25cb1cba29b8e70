/** A model as an `Executor`: on one device, on those of a plan, or from the folder that a split of it made. */
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Executor, type Model, PenjingError, type ValueInfo } from '@penjing/core';
import { readManifest } from '@penjing/graph-io/node';
import type { PipelineFolder, Plan, ShardedFolder, SplitFolder, TasksFolder } from '@penjing/parallel';
import type { Device } from '@penjing/runtime';
import { openOnnx } from '../inputs/onnx.js';
import { graphPath } from '../inputs/open-input.js';
import { loadRuntime } from '../load-runtime.js';
import { layoutEngine, sharing } from './layout-engine.js';

export interface OpenAsPlannedOptions {
  /** Path of a plan. */
  readonly plan?: string | undefined;
  /** As `SessionOptions.device`, for every engine. */
  readonly device?: Device | undefined;
  /** Threads of the one engine; a plan and a split share out the cores. */
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Throws `E_PLAN` for a plan or a folder that says what cannot be, `E_OPTION` for options that would be ignored. */
export async function openAsPlanned(path: string, options: OpenAsPlannedOptions = {}): Promise<Executor> {
  const { plan, device, threads, signal } = options;
  const split = await readSplit(path);
  if (plan !== undefined && split) throw new PenjingError('E_OPTION', `${path} is split already: it runs without a plan`);
  if (threads !== undefined && (plan !== undefined || split)) throw new PenjingError('E_OPTION', 'a plan shares out the threads itself', { hint: 'Leave --threads out; a device of a plan may have `threads`.' });
  if (split) return split.kind === 'tensor' ? openSharded(path, split, options) : openSplit(path, split, options);
  const file = await graphPath(path);
  if (plan !== undefined) return openPlan(file, plan, options);
  const { ortEngine } = await loadRuntime();
  return ortEngine({ device, threads }).loadFile(file, { signal });
}

async function openPlan(file: string, planPath: string, { device, signal }: OpenAsPlannedOptions): Promise<Executor> {
  const { enginesOf, MAX_PLAN_BYTES, readPlan } = await import('@penjing/parallel');
  const { openLayout } = await import('@penjing/parallel/node');
  const { ortJobs } = await loadRuntime();
  const { layout, devices } = readPlan(await readText(planPath, MAX_PLAN_BYTES), planPath);
  refuseShardsApart(layout, devices, planPath);
  refuseOtherMachines(devices, enginesOf(layout), planPath);
  const model = await openOnnx(file, signal);
  const engine = await layoutEngine(model, layout, { file, device });
  return openLayout(model, layout, { engine, jobs: ortJobs, devices, ...(signal && { signal }) });
}

/** The stages or branches as they lie in the folder, each in an engine of its own with an equal share of the cores; stages hand on their values past this thread. */
async function openSplit(folder: string, split: PipelineFolder | TasksFolder, { device, signal }: OpenAsPlannedOptions): Promise<Executor> {
  const { findBatch } = await import('@penjing/parallel');
  const { inMicroBatches, openChain, openPipeline, openRevived, openTasks } = await import('@penjing/parallel/node');
  const { ortEngine } = await loadRuntime();
  const { availableParallelism } = await import('node:os');
  const files = (split.kind === 'tasks' ? split.parts : split.stages).map(({ file }) => join(folder, file));
  const threads = Math.max(1, Math.floor(availableParallelism() / files.length));
  const engine = ortEngine({ device, threads, ...sharing(files.length) });
  const models = await Promise.all(files.map((file) => openOnnx(file, signal)));
  const infoOf = (side: 'inputs' | 'outputs', name: string): ValueInfo => {
    const found = models.flatMap(({ graph }) => graph[side]).find((value) => value.name === name && !value.tensor);
    if (!found) throw new PenjingError('E_PLAN', `no part of ${folder} has ${name}`);
    return { name, type: found.type ?? { kind: 'tensor' } };
  };
  const [inputs, wanted] = [split.inputs.map((name) => infoOf('inputs', name)), split.outputs.map((name) => infoOf('outputs', name))];
  const { outputs } = split;
  const pieces = split.kind === 'pipeline' && { microBatches: split.microBatches, batch: split.batch ? findBatch(inputs, wanted, split.batch.symbol) : undefined, ...(split.batch && { grain: split.batch.grain }) };
  if (pieces) {
    const chain = await openChain({ engine, stages: models.map((model, i) => ({ model, file: files[i]!, threads })), inputs, outputs, ...(signal && { signal }) });
    if (chain) return inMicroBatches(chain, pieces);
  }
  const opened = await Promise.allSettled(files.map((file) => openRevived(() => engine.loadFile(file, { signal }))));
  const works = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  try {
    for (const one of opened) if (one.status === 'rejected') throw one.reason;
    const parts = works.map((work, i) => ({ name: basename(files[i]!), work }));
    return pieces ? openPipeline({ stages: parts, inputs, outputs, ...pieces }) : openTasks({ parts, inputs, outputs });
  } catch (error) {
    await Promise.all(works.map((work) => work[Symbol.asyncDispose]()));
    throw error;
  }
}

/** A thread for every shard. Their segments are weights in files, which each of them reads itself. */
async function openSharded(folder: string, { shards, inputs, outputs, program, files }: ShardedFolder, { device, signal }: OpenAsPlannedOptions): Promise<Executor> {
  if (device !== undefined && device !== 'cpu') throw new PenjingError('E_OPTION', 'shards run on cores of this machine', { hint: 'Leave --device out.' });
  const { openShards } = await import('@penjing/parallel/node');
  const { ortJobs } = await loadRuntime();
  const { availableParallelism } = await import('node:os');
  const segments: Model[][] = [];
  for (const own of files) segments.push(await Promise.all(own.map((file) => openOnnx(join(folder, file), signal))));
  return openShards({ shards, inputs, outputs, program, segments, layers: [] }, ortJobs({ parallel: shards, threads: Math.max(1, Math.floor(availableParallelism() / shards)) }), signal);
}

async function readSplit(path: string): Promise<SplitFolder | undefined> {
  const manifest = await readManifest(path);
  if (manifest?.['split'] === undefined) return undefined;
  const { readSplitFolder } = await import('@penjing/parallel');
  return readSplitFolder(manifest['split'], join(path, 'penjing.json'));
}

/** A plan may hold them, forced: then each is a process of its own, on its machine. A device that names no host is one by itself, as for the planner. */
function refuseShardsApart(layout: Plan['layout'], devices: Plan['devices'], planPath: string): void {
  if (layout.kind === 'tensor') {
    const hosts = new Set(layout.devices.map((name) => devices.find((device) => device.name === name)?.host ?? name));
    if (hosts.size <= 1) return;
    throw new PenjingError('E_UNSUPPORTED', `${planPath} has shards of one model on ${[...hosts].join(' and ')}: they exchange sums several times a layer`, {
      hint: 'Start a worker for each of them (`penjing worker --stage 0 --shard 0 …`) and run with --stages; or plan without --across-hosts. Devices of one machine have the same `host`.',
    });
  }
  const inner = layout.kind === 'data' ? layout.replicas : layout.kind === 'pipeline' ? layout.stages.map((stage) => stage.layout) : layout.kind === 'tasks' ? layout.parts.map((part) => part.layout) : [];
  for (const each of inner) refuseShardsApart(each, devices, planPath);
}

function refuseOtherMachines(devices: Plan['devices'], used: readonly string[], planPath: string): void {
  const hosts = new Set(devices.flatMap(({ name, host }) => (host !== undefined && used.includes(name) ? [host] : [])));
  if (hosts.size <= 1) return;
  throw new PenjingError('E_UNSUPPORTED', `${planPath} is for several machines: ${[...hosts].join(', ')}`, { hint: 'Start a stage on each of them, or plan for the devices of this one.' });
}

async function readText(path: string, most: number): Promise<string> {
  const file = await open(path).catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `${path} cannot be read`, { cause, hint: 'Give the path of a plan, as `penjing plan` writes it.' });
  });
  try {
    const { size } = await file.stat();
    if (size > most) throw new PenjingError('E_LIMIT', `${path} is larger than ${most} bytes`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
