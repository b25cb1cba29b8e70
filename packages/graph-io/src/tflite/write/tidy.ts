/** Small rewrites of the finished TFLite graph: activations and biases fused, reshapes and transposes in a row joined, dead operators gone. */
import { type DenseTensor, denseOf, elementCount } from '@penjing/core';
import type { BuiltinOperator } from '../operators-schema.js';
import { activation } from '../schema.js';
import { reshaped } from './emitter.js';
import { foldFlatten } from './fold-flatten.js';
import { consumers, type TfGraph, type TfOperator, type TfTensor } from './tf-graph.js';

const fused: Partial<Record<BuiltinOperator, number>> = { RELU: activation.RELU, RELU6: activation.RELU6, RELU_N1_TO_1: activation.RELU_N1_TO_1 };

/** Operators that apply an activation to what they compute. */
const fusing: ReadonlySet<BuiltinOperator> = new Set(['CONV_2D', 'DEPTHWISE_CONV_2D', 'FULLY_CONNECTED', 'ADD', 'SUB', 'MUL', 'DIV', 'AVERAGE_POOL_2D', 'MAX_POOL_2D']);

export function tidy(graph: TfGraph): TfGraph {
  dropDead(graph);
  for (;;) {
    const changed = [joinReshapes, joinTransposes, foldFlatten, fuseBias, fuseActivations].map((step) => step(graph)).includes(true);
    if (!changed) return graph;
    dropDead(graph);
  }
}

function dropDead(graph: TfGraph): void {
  const live = new Set<TfTensor>(graph.outputs.map(({ tensor }) => tensor));
  graph.operators = graph.operators.reverse().filter(({ inputs, outputs }) => {
    if (!outputs.some((output) => live.has(output))) return false;
    for (const input of inputs) if (input) live.add(input);
    return true;
  }).reverse();
}

interface Links {
  readonly producer: ReadonlyMap<TfTensor, TfOperator>;
  /** The only operator that reads a tensor which is no output. */
  readonly only: (tensor: TfTensor) => TfOperator | undefined;
  readonly isOutput: (tensor: TfTensor) => boolean;
}

function linksOf(graph: TfGraph): Links {
  const producer = new Map(graph.operators.flatMap((operator) => operator.outputs.map((output) => [output, operator] as const)));
  const readers = consumers(graph);
  const outputs = new Set(graph.outputs.map(({ tensor }) => tensor));
  return {
    producer,
    isOutput: (tensor) => outputs.has(tensor),
    only(tensor) {
      const list = readers.get(tensor) ?? [];
      return list.length === 1 && !outputs.has(tensor) ? list[0] : undefined;
    },
  };
}

/** Makes every reader of a tensor read another. */
function redirect(graph: TfGraph, from: TfTensor, to: TfTensor): void {
  for (const operator of graph.operators) operator.inputs = operator.inputs.map((input) => (input === from ? to : input));
}

/** A reshape of a reshape reads what the first one read; one that changes nothing is gone. */
function joinReshapes(graph: TfGraph): boolean {
  const { producer, isOutput } = linksOf(graph);
  let changed = false;
  const graphInputs = new Set(graph.inputs.map(({ tensor }) => tensor));
  for (const operator of graph.operators) {
    if (operator.type !== 'RESHAPE') continue;
    let [input] = operator.inputs as [TfTensor];
    for (let before = producer.get(input); before?.type === 'RESHAPE'; before = producer.get(input)) {
      operator.inputs[0] = input = before.inputs[0]!;
      changed = true;
    }
    const output = operator.outputs[0]!;
    if (input.shape.join() !== output.shape.join() || input.content) continue;
    if (!isOutput(output)) {
      redirect(graph, output, input);
      changed = true;
    } else if (!isOutput(input) && !graphInputs.has(input) && producer.has(input)) {
      // The output takes the place of what it repeats.
      const made = producer.get(input)!;
      made.outputs = made.outputs.map((tensor) => (tensor === input ? output : tensor));
      redirect(graph, input, output);
      graph.operators = graph.operators.filter((other) => other !== operator);
      return true;
    }
  }
  return changed;
}

/** A transpose of a transpose is one, or none. */
function joinTransposes(graph: TfGraph): boolean {
  const { producer } = linksOf(graph);
  for (const operator of graph.operators) {
    if (operator.type !== 'TRANSPOSE') continue;
    const before = producer.get(operator.inputs[0]!);
    if (before?.type !== 'TRANSPOSE') continue;
    const [first, second] = [permOf(before), permOf(operator)];
    const perm = second.map((axis) => first[axis]!);
    operator.inputs[0] = before.inputs[0]!;
    if (perm.every((axis, i) => axis === i)) {
      Object.assign(operator, reshapeLike(operator));
    } else {
      operator.inputs[1] = listLike(operator.inputs[1]!, perm);
    }
    return true;
  }
  return false;
}

function reshapeLike(operator: TfOperator): Partial<TfOperator> {
  const sizes = operator.outputs[0]!.shape.map((dim) => (typeof dim === 'number' ? dim : -1));
  return { type: 'RESHAPE', inputs: [operator.inputs[0]!, listLike(operator.inputs[1]!, sizes)], options: { type: 'ReshapeOptions', value: { newShape: sizes } } };
}

const permOf = (operator: TfOperator): number[] => [...((operator.inputs[1]!.content as DenseTensor).data as Int32Array)];

function listLike(tensor: TfTensor, values: readonly number[]): TfTensor {
  return { name: `${tensor.name}:joined`, dtype: 'int32', shape: [values.length], content: denseOf('int32', [values.length], values) };
}

/** A vector added to what a FULLY_CONNECTED without bias computes is its bias. */
function fuseBias(graph: TfGraph): boolean {
  const { producer, only } = linksOf(graph);
  const gone = new Set<TfOperator>();
  for (const operator of graph.operators) {
    if (operator.type !== 'ADD' || operator.outputs[0]!.dtype !== 'float32') continue;
    for (const [a, b] of [[0, 1], [1, 0]] as const) {
      const product = operator.inputs[a]!;
      const bias = operator.inputs[b]!;
      const made = producer.get(product);
      if (made?.type !== 'FULLY_CONNECTED' || made.inputs.length !== 2 || only(product) !== operator || !bias.content) continue;
      const n = made.inputs[1]!.shape[0] as number;
      if (bias.shape.at(-1) !== n || elementCount(bias.shape as number[]) !== n || fusedOf(made) !== 0) continue;
      if (operator.outputs[0]!.shape.length !== product.shape.length) continue;
      made.inputs.push({ name: bias.name, dtype: 'float32', shape: [n], content: reshaped(bias.content, [n]) });
      made.outputs = operator.outputs;
      if (fusedOf(operator) !== 0) setFused(made, fusedOf(operator));
      gone.add(operator);
      break;
    }
  }
  graph.operators = graph.operators.filter((operator) => !gone.has(operator));
  return gone.size > 0;
}

/** An activation behind an operator that can apply it itself. */
function fuseActivations(graph: TfGraph): boolean {
  const { producer, only } = linksOf(graph);
  const gone = new Set<TfOperator>();
  for (const operator of graph.operators) {
    const code = fused[operator.type];
    const input = operator.inputs[0]!;
    const made = code === undefined ? undefined : producer.get(input);
    if (code === undefined || !made || gone.has(made) || !fusing.has(made.type) || only(input) !== operator || fusedOf(made) !== 0) continue;
    // Integers have no such kernels, except quantized ones.
    if (input.dtype !== 'float32' && !input.quantization) continue;
    setFused(made, code);
    made.outputs = operator.outputs;
    gone.add(operator);
  }
  graph.operators = graph.operators.filter((operator) => !gone.has(operator));
  return gone.size > 0;
}

const fusedOf = (operator: TfOperator): number => (operator.options?.value as { fusedActivationFunction?: number } | undefined)?.fusedActivationFunction ?? 0;

function setFused(operator: TfOperator, code: number): void {
  operator.options = { ...operator.options, value: { ...operator.options?.value, fusedActivationFunction: code } } as NonNullable<TfOperator['options']>;
}

