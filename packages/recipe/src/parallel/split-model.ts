/** Cuts a model into files of its own for every stage of a pipeline, or every shard. */
import { cloneModel, inferShapes, type Model, type Node, PenjingError, type TaskOptions, type ValueInfo } from '@penjing/core';
import { extractModel } from '@penjing/core/calibrate';
import { serializeOnnx } from '@penjing/graph-io';
import { saveLayouts } from '@penjing/graph-io/node';
import type { PipelineFolder, ShardedFolder, ShardOptions, TasksFolder } from '@penjing/parallel';
import { openOnnx } from '../inputs/onnx.js';
import { graphPath } from '../inputs/open-input.js';

interface SplitOptions extends Pick<TaskOptions, 'signal' | 'onProgress'> {
  readonly output: string;
  readonly force?: boolean;
  readonly threads?: number | undefined;
}

export interface SplitModelOptions extends SplitOptions {
  readonly stages: number;
  /** Pieces in which a batch passes through the stages; four times their number when absent, with which they wait for a fifth of the time at most. */
  readonly microBatches?: number | undefined;
}

export interface SplitBranchesOptions extends SplitOptions {
  /** Parts that may run at a time. */
  readonly tasks: number;
}

export interface ShardFilesOptions extends SplitOptions, Pick<ShardOptions, 'shards' | 'experts'> {}

interface Saved {
  readonly output: string;
  readonly bytes: number;
  /** Of each file, with what lies beside it. */
  readonly sizes: Readonly<Record<string, number>>;
  readonly seconds: number;
}

export type SplitModelResult = PipelineFolder & Saved;
export type SplitBranchesResult = TasksFolder & Saved;
export type ShardFilesResult = ShardedFolder & Saved;

/**
 * A folder with `stage-1.onnx`, … and a manifest, whole or not at all. Stages are balanced by the bytes of their weights, which are copied from file to file. Throws `E_PLAN` when the model has fewer places
 * to cut than stages are asked for.
 */
export async function splitModel(path: string, { stages, microBatches = 4 * stages, signal, ...options }: SplitModelOptions): Promise<SplitModelResult> {
  const { cutStages, provenBatch, rowGrain } = await import('@penjing/parallel');
  const source = await openOnnx(await graphPath(path), signal);
  const model = cloneModel(source);
  // A stage has to know the types of what it is given.
  inferShapes(model);
  const parts = cutStages(model, { stages });
  const files = parts.map(({ inputs, outputs }, i) => ({ file: `stage-${i + 1}.onnx`, inputs, outputs, part: extractModel(model, inputs, outputs, { keepOutputs: true }) }));
  const { inputs, outputs } = bordersOf(model);
  const axes = provenBatch(model);
  const split: PipelineFolder = {
    version: 1,
    kind: 'pipeline',
    inputs: inputs.map(({ name }) => name),
    outputs: outputs.map(({ name }) => name),
    batch: axes ? { symbol: axes.symbol, grain: rowGrain(model) } : null,
    microBatches,
    stages: files.map(({ file, ...part }) => ({ file, inputs: part.inputs, outputs: part.outputs })),
  };
  for (const { file, part } of files) checkTyped(file, part);
  return save(split, files.map(({ file, part }) => [file, part]), { ...options, ...(signal && { signal }) });
}

/**
 * A folder with `part-1.onnx`, … and a manifest, whole or not at all: branches that run at the same time, and what comes before and after them. Throws `E_PLAN` when no branches are worth the calls.
 */
export async function splitIntoBranches(path: string, { tasks, signal, ...options }: SplitBranchesOptions): Promise<SplitBranchesResult> {
  const { costBook, findBranches } = await import('@penjing/parallel');
  const model = cloneModel(await openOnnx(await graphPath(path), signal));
  inferShapes(model);
  const { nodes } = costBook(model).at(1);
  const costOf = (node: Node): number => Math.max(nodes.get(node)!.flops / CORE_FLOPS, (nodes.get(node)!.weightBytes + nodes.get(node)!.activationBytes) / CORE_BANDWIDTH);
  const all = [...model.graph.nodes()].reduce((sum, node) => sum + costOf(node), 0);
  const parts = findBranches(model, { devices: tasks, hop: all * LEAST_SHARE, costOf });
  if (parts.length === 0) throw new PenjingError('E_PLAN', `${path} has no branches that are worth running at the same time`, { hint: 'Cut it into --stages or --tensor shards.' });
  const files = parts.map(({ inputs, outputs }, i) => ({ file: `part-${i + 1}.onnx`, inputs, outputs, part: extractModel(model, inputs, outputs, { keepOutputs: true }) }));
  const { inputs, outputs } = bordersOf(model);
  const split: TasksFolder = {
    version: 1,
    kind: 'tasks',
    inputs: inputs.map(({ name }) => name),
    outputs: outputs.map(({ name }) => name),
    parts: files.map(({ file, ...part }) => ({ file, inputs: part.inputs, outputs: part.outputs })),
  };
  for (const { file, part } of files) checkTyped(file, part);
  return save(split, files.map(({ file, part }) => [file, part]), { ...options, ...(signal && { signal }) });
}

/** A core of a present server: without measurements, what weighs how much follows from these. */
const CORE_FLOPS = 50e9;
const CORE_BANDWIDTH = 10e9;
/** Of the whole: who asks for branches gets those that save at least twice this. */
const LEAST_SHARE = 0.01;

/**
 * A folder with the segments of every shard, `shard-1-segment-1.onnx`, …, and the program that all shards run in a manifest, whole or not at all. Throws `E_UNSUPPORTED` for a model whose inputs or outputs
 * are no tensors.
 */
export async function splitIntoShards(path: string, { shards, experts, signal, ...options }: ShardFilesOptions): Promise<ShardFilesResult> {
  const { shardModel } = await import('@penjing/parallel');
  const model = cloneModel(await openOnnx(await graphPath(path), signal));
  inferShapes(model);
  const { inputs, outputs, program, segments } = shardModel(model, { shards, ...(experts && { experts }) });
  const odd = [...inputs, ...outputs].find(({ type }) => type.kind !== 'tensor');
  if (odd) throw new PenjingError('E_UNSUPPORTED', `${odd.name} is no tensor: the model cannot be split into shards`);
  const files = segments.map((own, shard) => own.map((part, i): [string, Model] => [`shard-${shard + 1}-segment-${i + 1}.onnx`, part]));
  const split: ShardedFolder = { version: 1, kind: 'tensor', shards, inputs, outputs, program, files: files.map((own) => own.map(([file]) => file)) };
  return save(split, files.flat(), { ...options, ...(signal && { signal }) });
}

async function save<T extends object>(split: T, files: readonly (readonly [file: string, part: Model])[], { output, force = false, threads, signal, onProgress }: SplitOptions): Promise<T & Saved> {
  const layouts = files.map(([file, part]) => [file, serializeOnnx(part, { name: file })] as const);
  const { bytes, seconds } = await saveLayouts(output, layouts.flatMap(([, own]) => own), {
    force,
    manifest: { split },
    ...(threads !== undefined && { threads }),
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  });
  return { ...split, output, bytes, sizes: Object.fromEntries(layouts.map(([file, own]) => [file, own.reduce((sum, { size }) => sum + size, 0)])), seconds };
}

function bordersOf({ graph }: Model): { readonly inputs: ValueInfo[]; readonly outputs: ValueInfo[] } {
  const infoOf = ({ name, type }: Model['graph']['inputs'][number]): ValueInfo => ({ name, type: type ?? { kind: 'tensor' } });
  return { inputs: graph.inputs.filter((value) => !value.tensor).map(infoOf), outputs: graph.outputs.map(infoOf) };
}

/** ONNX Runtime loads no graph with an input of unknown type. */
function checkTyped(file: string, { graph }: Model): void {
  const odd = graph.inputs.find(({ type }) => type === undefined || (type.kind === 'tensor' && type.dtype === undefined));
  if (odd) throw new PenjingError('E_UNSUPPORTED', `${file} would begin at ${odd.name}, whose type does not follow from the graph`, { hint: 'Simplify the model first, or ask for another number of stages.' });
}
