/** Models of others with known outputs, as TFLite: each is converted, or refused with a reason. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DenseTensor, type DType, lazy, memorySource, type Model, PenjingError, type Tensor, toDense, type Value } from '@penjing/core';
import { convertHuggingFaceGraphs, openHuggingFaceFolder, openPt2, type Task, type TfliteOptions } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { recordedRuns } from './hf-recorded.js';
import { backendCases } from './onnx-backend.js';
import { recordedOf } from './pt2-cases.js';
import { sweepFiles } from './pt2-sweep.js';
import { convert } from './tflite-peer.js';

export interface CorpusCase {
  readonly name: string;
  /** A model of its own at every call. */
  readonly model: () => Promise<Model>;
  readonly feeds: Readonly<Record<string, DenseTensor>>;
  readonly expected: Readonly<Record<string, DenseTensor>>;
}

export interface Converted extends CorpusCase {
  readonly bytes: Uint8Array;
  /** True when inputs that only say how (shapes, axes, kernels) had to become constants: TFLite wants them so. */
  readonly baked: boolean;
}

export interface Refused {
  readonly name: string;
  readonly code: string;
  readonly why: string;
  readonly hint: string | undefined;
}

export async function tryConvert(each: CorpusCase, options: TfliteOptions = {}): Promise<Converted | Refused> {
  const attempt = async (baked: boolean): Promise<Converted> => {
    const model = await each.model();
    const feeds = baked ? bake(model, each.feeds) : each.feeds;
    const inputShapes = Object.fromEntries(model.graph.inputs.filter(({ name }) => feeds[name]).map(({ name }) => [name, feeds[name]!.shape]));
    return { ...each, feeds, baked, bytes: await convert(model, { inputShapes, ...options }) };
  };
  try {
    return await attempt(false);
  } catch (first) {
    try {
      if (Object.keys(each.feeds).length < 2) throw first;
      return await attempt(true);
    } catch {
      const typed = first instanceof PenjingError ? first : undefined;
      return { name: each.name, code: typed?.code ?? 'UNTYPED', why: String((first as Error).message), hint: typed?.hint };
    }
  }
}

/** Every input but the first becomes a constant; the first is fed. */
function bake({ graph }: Model, feeds: Readonly<Record<string, DenseTensor>>): Record<string, DenseTensor> {
  const kept = graph.inputs[0]!;
  for (const value of graph.inputs.splice(1)) graph.replaceValue(value, graph.addInitializer(`${value.name}:baked`, feeds[value.name]!));
  return { [kept.name]: feeds[kept.name]! };
}

const wide: ReadonlySet<DType> = new Set(['float16', 'float64']);

/** As the files take and give it: in float32. */
async function widened(tensor: Tensor): Promise<DenseTensor> {
  const dense = await toDense(tensor);
  return wide.has(dense.dtype) ? toDense(lazy.cast(dense, 'float32')) : dense;
}

async function named(values: readonly Value[], tensors: readonly Tensor[]): Promise<Record<string, DenseTensor>> {
  return Object.fromEntries(await Promise.all(values.map(async ({ name }, i) => [name, await widened(tensors[i]!)] as const)));
}

/** Element types that TFLite does not have, and values that are no tensors: not asked of the converter. */
const isForeign = (value: Value): boolean =>
  value.type?.kind !== 'tensor' || /^(string|bfloat16|complex|float[468]e|u?int[24]$)/.test(value.type.dtype ?? 'string');

/** The ONNX backend tests of single operators. */
export async function* backendOperators(): AsyncGenerator<CorpusCase> {
  for (const test of ['node', 'simple', 'pytorch-converted', 'pytorch-operator'].flatMap(backendCases)) {
    const model = await test.model().catch(() => undefined);
    if (!model || model.graph.inputs.length === 0 || [...model.graph.inputs, ...model.graph.outputs].some(isForeign)) continue;
    const [set] = await test.sets();
    if (!set || set.inputs.length < model.graph.inputs.length || set.outputs.length < model.graph.outputs.length) continue;
    yield {
      name: test.name, model: () => test.model(),
      feeds: await named(model.graph.inputs, set.inputs as Tensor[]), expected: await named(model.graph.outputs, set.outputs as Tensor[]),
    };
  }
}

async function program(name: string, bytes: Uint8Array, recorded: Uint8Array): Promise<CorpusCase | undefined> {
  const open = (): Promise<Model> => openPt2(memorySource(bytes, name));
  const model = await open().catch(() => undefined);
  if (!model || [...model.graph.inputs, ...model.graph.outputs].some(isForeign)) return undefined;
  const { inputs, outputs } = await recordedOf(recorded);
  const ports = model.graph.inputs;
  if (ports.length !== inputs.length || ports.length === 0 || model.graph.outputs.length !== outputs.length) return undefined;
  return { name, model: open, feeds: await named(ports, inputs), expected: await named(model.graph.outputs, outputs) };
}

/** What torch.export wrote of the networks of torchvision, and of others. */
export async function* programs(): AsyncGenerator<CorpusCase> {
  const folder = fileURLToPath(new URL('../fixtures/pt2/models', import.meta.url));
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.pt2') && !name.includes('decomposed'))) {
    const name = file.replace('.pt2', '');
    const each = await program(name, readFileSync(join(folder, file)), readFileSync(join(folder, `${name}.safetensors`)));
    if (each) yield each;
  }
}

/** One program for each operator of ATen. */
export async function* atenPrograms(): AsyncGenerator<CorpusCase> {
  const files = sweepFiles();
  for (const [path, bytes] of files) {
    // Random, or whatever stood in memory.
    if (!path.endsWith('.pt2') || /^(rand|empty)/.test(path)) continue;
    const each = await program(path.replace('.pt2', '').replaceAll('/', '+'), bytes, files.get(path.replace(/\.pt2$/, '.safetensors'))!);
    if (each) yield each;
  }
}

/** Checkpoints of the encoders of transformers, with each of their heads. */
export const encoders = (): AsyncGenerator<CorpusCase> => recordedModels('encoders');

/** Embedders of sentence-transformers, whose pooling is part of the graph. */
export const sentences = (): AsyncGenerator<CorpusCase> => recordedModels('sentences');

async function* recordedModels(fixtures: string): AsyncGenerator<CorpusCase> {
  const folder = fileURLToPath(new URL(`../fixtures/${fixtures}`, import.meta.url));
  const { cases } = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as { readonly cases: readonly { readonly name: string; readonly tasks: readonly Task[]; readonly causal?: boolean }[] };
  for (const { name, tasks, causal } of cases) {
    for (const [i, task] of tasks.entries()) {
      const open = async (): Promise<Model[]> => [...(await convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(join(folder, name))), { attention: 'standard', ...(i > 0 && { task }) })).values()];
      const models = await open();
      for (const [run, { inputs, outputs }] of await recordedRuns(join(folder, name, 'expected.safetensors'), task)) {
        // a decoder may compute anything for padding
        if (causal && run !== 'single') continue;
        const at = models.findIndex(({ graph }) => graph.inputs.map((value) => value.name).sort().join() === Object.keys(inputs).sort().join());
        if (at < 0) continue;
        const { graph } = models[at]!;
        const expected = await named(graph.outputs.filter((value) => outputs[value.name]), graph.outputs.flatMap((value) => outputs[value.name] ?? []));
        yield { name: `${name}+${task}+${run}`, model: async () => (await open())[at]!, feeds: inputs, expected };
        break;
      }
    }
  }
}
