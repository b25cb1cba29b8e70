/** Makes a model ready to be lowered: fixed sizes, known types, constants folded, floats of one width. */
import { attribute, cloneModel, denseOf, type DType, elementCount, type Graph, inferShapes, lazy, type Model, type Node, PenjingError, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { simplify } from '@penjing/core/rewrite';
import { foldConstants, loadSmallConstants } from './fold.js';
import { opNameOf } from './op-name.js';
import { absorbQdq, type QuantizedModel } from './qdq.js';
import { rewriteForTflite } from './rewrite.js';

export interface PrepareOptions {
  /** Sizes of inputs by name, in ONNX's order. */
  readonly inputShapes?: Readonly<Record<string, readonly number[]>>;
  /** Inputs that become constants: what only chooses a branch, as a sampling rate. */
  readonly inputValues?: Readonly<Record<string, readonly number[]>>;
  readonly signal?: AbortSignal;
}

/** A copy of the model, ready to be lowered. Throws `E_TFLITE_SHAPE` for inputs whose sizes are open in more than the batch. */
export async function prepare(original: Model, options: PrepareOptions): Promise<QuantizedModel> {
  let model = cloneModel(original);
  fixInputs(model.graph, options.inputValues ?? {});
  if ([...model.graph.nodes()].some((node) => node.opType === 'If')) model = await decideBranches(model, options);
  const { graph } = model;
  bindInputs(graph, options.inputShapes ?? {});
  widenFloats(graph);
  forgetTypes(graph);
  await loadSmallConstants(graph);
  await foldConstants(model, options.signal);
  rewriteForTflite(model);
  await loadSmallConstants(graph);
  inferShapes(model);
  const quantized = absorbQdq(model);
  await loadSmallConstants(graph);
  return quantized;
}

/** The input of a name, or an error that lists them. */
function inputOf(graph: Graph, name: string): Value {
  const value = graph.inputs.find((input) => input.name === name);
  if (!value) throw new PenjingError('E_INPUT', `the model has no input ${name}`, { hint: `Its inputs are ${graph.inputs.map((input) => input.name).join(', ')}.` });
  return value;
}

function fixInputs(graph: Graph, values: Readonly<Record<string, readonly number[]>>): void {
  for (const [name, numbers] of Object.entries(values)) {
    const value = inputOf(graph, name);
    const type = value.type?.kind === 'tensor' ? value.type : undefined;
    const shape = type?.shape?.map((dim) => (typeof dim === 'number' ? dim : numbers.length)) ?? [];
    if (!type?.dtype || numbers.length !== elementCount(shape)) throw new PenjingError('E_TFLITE_SHAPE', `input ${name} does not hold ${numbers.length} numbers`);
    graph.inputs.splice(graph.inputs.indexOf(value), 1);
    graph.replaceValue(value, graph.addInitializer(name, denseOf(type.dtype, shape, numbers)));
  }
}

/** Puts the branch that is taken in the place of every If whose condition is known. */
async function decideBranches(model: Model, { inputShapes = {}, signal }: PrepareOptions): Promise<Model> {
  for (const [name, shape] of Object.entries(inputShapes)) {
    const value = inputOf(model.graph, name);
    if (value.type?.kind === 'tensor' && !value.tensor) value.type = { ...value.type, shape };
  }
  const decide = simplify({ only: ['known', 'fold', 'inline-if', 'dead'], engine: referenceEngine(), allowGrowth: true });
  return (await decide.run(model, signal ? { signal } : {})).model;
}

function bindInputs(graph: Graph, shapes: Readonly<Record<string, readonly number[]>>): void {
  // Initializers that are listed as inputs are weights, in files of IR version 3.
  const weights = graph.inputs.filter((value) => value.tensor);
  for (const value of weights) graph.inputs.splice(graph.inputs.indexOf(value), 1);
  for (const name of Object.keys(shapes)) inputOf(graph, name);
  for (const value of graph.inputs) {
    const { type } = value;
    const given = shapes[value.name];
    if (type?.kind !== 'tensor' || !type.dtype) throw new PenjingError('E_TFLITE_SHAPE', `input ${value.name} is no tensor of a known element type`);
    if (given && type.shape && (given.length !== type.shape.length || given.some((size, i) => typeof type.shape![i] === 'number' && type.shape![i] !== size))) {
      throw new PenjingError('E_TFLITE_SHAPE', `input ${value.name} is [${type.shape.map((dim) => dim ?? '?').join(', ')}], which [${given.join(', ')}] does not fit`);
    }
    const shape = given ?? type.shape;
    const open = shape?.findIndex((dim, i) => typeof dim !== 'number' && i > 0);
    if (!shape || open !== -1) {
      throw new PenjingError('E_TFLITE_SHAPE', `input ${value.name} [${shape?.map((dim) => dim ?? '?').join(', ') ?? '?'}] has sizes that are not fixed; only the first may be open`, {
        hint: `Give its sizes, as in inputShapes: { ${JSON.stringify(value.name)}: [1, 3, 224, 224] }.`,
      });
    }
    value.type = tensorType(type.dtype, shape.map((dim) => dim ?? 'batch'));
  }
}

/** What exporters wrote beside the nodes was true for the sizes they had. */
function forgetTypes(graph: Graph): void {
  for (const node of graph.nodes()) for (const value of node.outputs) value.type = undefined;
}

const WIDENED: ReadonlySet<DType> = new Set(['float16', 'bfloat16', 'float64']);

/** TFLite computes in float32: half and double precision become that, at the borders too. */
function widenFloats(graph: Graph): void {
  const widenValue = (value: Value): void => {
    if (value.type?.kind === 'tensor' && value.type.dtype && WIDENED.has(value.type.dtype)) value.type = { ...value.type, dtype: 'float32' };
    if (value.tensor && WIDENED.has(value.tensor.dtype)) value.tensor = lazy.cast(value.tensor, 'float32');
  };
  for (const value of [...graph.inputs, ...graph.initializers.values()]) widenValue(value);
  for (const node of graph.nodes()) {
    if (opNameOf(node) === 'Cast' && [10, 11, 16].includes(node.int('to', 1))) node.attributes.set('to', attribute.int(1));
    for (const [name, attr] of node.attributes) {
      if (attr.kind === 'tensor' && WIDENED.has(attr.value.dtype)) node.attributes.set(name, attribute.tensor(lazy.cast(attr.value, 'float32')));
    }
  }
}

/** The nodes that outputs need, in execution order; `reads` says which inputs of a node are read while the model runs. */
export function neededNodes(graph: Graph, reads: (node: Node) => readonly Value[]): Node[] {
  const needed = new Set<Value>(graph.outputs);
  const nodes = [...graph.nodes()].reverse().filter((node) => {
    if (!node.outputs.some((value) => needed.has(value))) return false;
    for (const value of reads(node)) needed.add(value);
    return true;
  });
  return nodes.reverse();
}
