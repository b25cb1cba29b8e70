/** How the error of a smaller model grows along its layers: activations at the cuts between blocks, side by side. */
import { basename, dirname } from 'node:path';
import { blocks, cloneModel, denseOf, type DType, dtypes, type Feeds, GraphBuilder, inferShapes, type Model, storedTensors, type TaskOptions, Value } from '@penjing/core';
import type { Device } from '@penjing/runtime';
import { loadRuntime } from './load-runtime.js';
import { openOnnx } from './inputs/onnx.js';
import { graphBytes } from './inputs/open-input.js';

export interface LayerError {
  /** Name of the value at the cut. */
  readonly name: string;
  readonly snrDb: number;
  readonly maxError: number;
}

export interface LayerErrorOptions extends TaskOptions {
  /** Paths of ONNX files, or models in memory. */
  readonly reference: string | Model;
  readonly model: string | Model;
  /** Of the reference, where it is in memory. */
  readonly tokenizerFolder: string | undefined;
  readonly text: string | undefined;
  readonly threads: number | undefined;
  readonly device?: Device | undefined;
}

/** Tokens, or random inputs, that the activations are compared on: enough for an average, little memory. */
const TOKENS = 64;
// Both graphs are loaded once more with their extra outputs; beyond this that would cost more than it tells.
const MAX_BYTES = 2 ** 31;
const MAX_LAYERS = 256;

/** Empty for models too large to be loaded once more, and for those that read something else or compute nothing under the same name. */
export async function compareLayers(options: LayerErrorOptions): Promise<LayerError[]> {
  const { reference, model, text, tokenizerFolder, threads, device, signal, seed } = options;
  const sizes = await Promise.all([reference, model].map(async (each) => (typeof each === 'string' ? graphBytes(each) : weightBytes(each))));
  if (sizes.some((bytes) => bytes > MAX_BYTES)) return [];
  const [a, b] = await Promise.all([reference, model].map(async (each) => (typeof each === 'string' ? openOnnx(each, signal) : cloneModel(each)))) as [Model, Model];
  readAs(b, a);
  if (!sameInputs(a, b)) return [];
  const names = commonCuts(a, b);
  if (names.length === 0) return [];
  for (const graph of [a, b]) exposeOnly(graph, names);
  const runtime = await loadRuntime();
  const folder = tokenizerFolder ?? (typeof reference === 'string' ? modelFolder(reference) : undefined);
  const tokens = text === undefined || folder === undefined ? undefined : (await runtime.loadTokenizer(folder)).encode(text.slice(0, TOKENS * 16)).slice(0, TOKENS);
  const { outputs } = await runtime.compareModels(a, b, { feeds: [feedsFor(a, runtime, tokens, seed ?? 0)], ...(threads !== undefined && { threads }), ...(device !== undefined && { device }), ...(signal && { signal }) });
  const order = new Map(names.map((name, i) => [name, i]));
  return outputs
    .map(({ name, snrDb, maxError }) => ({ name, snrDb, maxError }))
    .sort((x, y) => order.get(x.name)! - order.get(y.name)!);
}

function weightBytes(model: Model): number {
  let bytes = 0;
  for (const { tensor } of storedTensors(model)) bytes += tensor.byteLength;
  return bytes;
}

/** A half-precision model wants half-precision inputs: it is given those of the other, and a Cast. */
function readAs(model: Model, other: Model): void {
  const { graph } = model;
  const wanted = new Map(other.graph.inputs.map(({ name, type }) => [name, floatType(type)]));
  for (const [i, input] of [...graph.inputs].entries()) {
    const [own, theirs] = [floatType(input.type), wanted.get(input.name)];
    if (!own || !theirs || own === theirs || input.tensor) continue;
    const given = new Value(input.name, { ...input.type, kind: 'tensor', dtype: theirs });
    const b = new GraphBuilder(graph);
    input.replaceUsesWith(b.before([...graph.nodes()][0]!, () => b.op('Cast', [given], { to: dtypes[own].onnx }, { outputs: [`${input.name} as ${own}`] })));
    graph.inputs.splice(i, 1, given);
  }
}

const floatType = (type: Value['type']): DType | undefined => (type?.kind === 'tensor' && type.dtype !== undefined && dtypes[type.dtype].kind === 'float' ? type.dtype : undefined);

function sameInputs(a: Model, b: Model): boolean {
  const types = (model: Model): string =>
    model.graph.inputs.map(({ name, type }) => `${name}:${type?.kind === 'tensor' ? type.dtype : type?.kind}`).sort().join();
  return types(a) === types(b);
}

/** Activations at the ends of the blocks of `a` that `b` computes too, in order. */
function commonCuts(a: Model, b: Model): string[] {
  inferShapes(a);
  inferShapes(b);
  const known = valuesByName(b);
  const names = blocks(a).flatMap((block) => block.activations.map(({ name }) => name));
  const cuts = [...new Set(names)].filter((name) => {
    const other = known.get(name);
    return other !== undefined && isFloat(other) && !name.startsWith('present.');
  });
  if (cuts.length <= MAX_LAYERS) return cuts;
  const step = cuts.length / MAX_LAYERS;
  return Array.from({ length: MAX_LAYERS }, (_, i) => cuts[Math.floor(i * step)]!);
}

function exposeOnly(model: Model, names: readonly string[]): void {
  const values = valuesByName(model);
  model.graph.outputs.splice(0, model.graph.outputs.length, ...names.map((name) => values.get(name)!));
  model.origin = undefined;
}

function valuesByName(model: Model): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const node of model.graph.nodes()) for (const value of node.outputs) values.set(value.name, value);
  return values;
}

function isFloat(value: Value): boolean {
  const dtype = value.type?.kind === 'tensor' ? value.type.dtype : undefined;
  return dtype !== undefined && dtypes[dtype].kind === 'float';
}

/** Tokens of the text for a language model, seeded random inputs otherwise. */
function feedsFor(model: Model, runtime: Awaited<ReturnType<typeof loadRuntime>>, tokens: readonly number[] | undefined, seed: number): Feeds {
  const inputs = model.graph.inputs
    .filter((value) => !model.graph.initializers.has(value.name))
    .map(({ name, type }) => ({ name, type: type ?? ({ kind: 'tensor' } as const) }));
  const length = tokens?.length ?? TOKENS;
  const dims = { batch_size: 1, sequence_length: length, total_sequence_length: length, past_sequence_length: 0 };
  const feeds = runtime.randomFeeds(inputs, { seed, dims });
  return tokens && 'input_ids' in feeds ? { ...feeds, input_ids: denseOf('int64', [1, length], tokens) } : feeds;
}

/** The folder that holds config.json and the tokenizer: one up from `onnx/`. */
export function modelFolder(file: string): string {
  const folder = dirname(file);
  return basename(folder) === 'onnx' ? dirname(folder) : folder;
}
