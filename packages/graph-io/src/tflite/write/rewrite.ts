/** Rewrites of the ONNX graph before it is lowered: what TFLite says in another way, or does not say at all. */
import {
  attribute, type DenseTensor, denseOf, type Graph, lazy, type Model, Node, normalizeAxis, type Tensor, Value,
} from '@penjing/core';
import { numbersOf } from './numbers.js';
import { opNameOf } from './op-name.js';

/** Runs every rewrite once over the graph; constants are folded and shapes known. */
export function rewriteForTflite(model: Model): void {
  const { graph } = model;
  const opset = model.opset() ?? 1;
  for (const node of [...graph.nodes()]) {
    const name = opNameOf(node);
    if (name === 'Dropout' || name === 'Identity') bypass(graph, node);
    else if (name === 'BatchNormalization') foldBatchNorm(graph, node);
    else if (name === 'Erf') fuseGelu(graph, node);
    else if (name === 'MatMul') fuseBias(graph, node);
    else if (name === 'Transpose') fuseDepthToSpace(graph, node);
    else if ((name === 'Softmax' || name === 'LogSoftmax') && opset < 13) modernSoftmax(graph, node);
  }
}

/** Lets the readers of a node read its input. */
function bypass(graph: Graph, node: Node): void {
  const input = node.input(0);
  const output = node.output();
  if (!input || node.outputs.slice(1).some((value) => value.useCount > 0 || graph.outputs.includes(value))) return;
  if (graph.outputs.includes(output)) {
    // The name of an output must stay, so the value that takes its place must be free to take it.
    if (!input.producer || graph.outputs.includes(input)) return;
    graph.replaceValue(output, input);
    graph.remove(node);
    input.name = output.name;
    return;
  }
  graph.replaceValue(output, input);
  graph.remove(node);
}

/** The only node that reads a value; undefined when there are others, or when the value is an output of the graph. */
function onlyReader(graph: Graph, value: Value): Node | undefined {
  return value.useCount === 1 && !graph.outputs.includes(value) ? value.uses()[0]!.node : undefined;
}

const dense = (value: Value | undefined): DenseTensor | undefined => (value?.tensor?.kind === 'dense' ? (value.tensor as DenseTensor) : undefined);

/** The single number of a constant. */
function scalarOf(value: Value | undefined): number | undefined {
  const tensor = dense(value);
  const numbers = tensor && tensor.bytes.length <= 8 ? numbersOf(tensor) : undefined;
  return numbers?.length === 1 ? numbers[0] : undefined;
}

/** Batch normalization behind a convolution or Gemm goes into its weights: w * a and (b - mean) * a + bias, with a = scale / sqrt(variance + epsilon). */
function foldBatchNorm(graph: Graph, node: Node): void {
  const before = node.input(0)?.producer;
  if (!before || onlyReader(graph, before.output()) !== node) return;
  const weight = before.input(1)?.tensor;
  const type = opNameOf(before);
  if (!weight || (type !== 'Conv' && type !== 'ConvTranspose')) return;
  if (type === 'ConvTranspose' && before.int('group', 1) !== 1) return;
  const parameters = [1, 2, 3, 4].map((i) => dense(node.input(i)));
  const bias = before.input(2) ? dense(before.input(2)) : null;
  if (parameters.includes(undefined) || bias === undefined || weight.dtype !== 'float32') return;
  const [scale, shift, mean, variance] = parameters.map((tensor) => numbersOf(tensor!)) as [number[], number[], number[], number[]];
  const epsilon = node.float('epsilon', 1e-5);
  const factor = scale.map((value, i) => value / Math.sqrt(variance[i]! + epsilon));
  const old = bias && numbersOf(bias);
  const channels = factor.length;
  const shape = weight.shape.map((_, i) => (i === (type === 'Conv' ? 0 : 1) ? channels : 1));
  const name = before.input(1)!.name;
  const output = node.output();
  before.setInput(1, stored(graph, `${name}:normalized`, lazy.multiply(weight, denseOf('float32', shape, factor))));
  before.setInput(2, stored(graph, `${name}:bias`, denseOf('float32', [channels], factor.map((a, i) => ((old?.[i] ?? 0) - mean[i]!) * a + shift[i]!))));
  const inner = before.output();
  graph.replaceValue(output, inner);
  graph.remove(node);
  inner.name = output.name;
}

/** An initializer whose name may be taken: by the same tensor used elsewhere. */
function stored(graph: Graph, name: string, tensor: Tensor): Value {
  let free = name;
  for (let i = 1; graph.initializers.has(free); i++) free = `${name}_${i}`;
  return graph.addInitializer(free, tensor);
}

/** A constant, quantized or not. */
const isStored = (value: Value | undefined): boolean => value !== undefined && (value.tensor ?? (value.producer?.opType === 'DequantizeLinear' ? value.producer.input(0)?.tensor : undefined)) !== undefined;

/** A vector added to a product with a weight becomes its third input, which only the lowering of MatMul knows. */
function fuseBias(graph: Graph, node: Node): void {
  const add = onlyReader(graph, node.output());
  const shapeOf = (value: Value): readonly unknown[] | undefined => (value.type?.kind === 'tensor' ? value.type.shape : undefined);
  if (add?.opType !== 'Add' || node.inputs.length !== 2 || !isStored(node.input(1)) || shapeOf(node.input(1)!)?.length !== 2) return;
  const bias = add.input(0) === node.output() ? add.input(1)! : add.input(0)!;
  const [n] = shapeOf(node.input(1)!)!.slice(-1);
  const shape = shapeOf(bias);
  if (!isStored(bias) || shape?.length !== 1 || shape[0] !== n || (shapeOf(node.output())?.length ?? 0) < 2) return;
  const output = add.output();
  const value = new Value(output.name, output.type);
  // Behind the Add: its bias may be dequantized between the two.
  graph.insertBefore(add, new Node('MatMul', [node.input(0)!, node.input(1)!, bias], [value], { name: node.name }));
  graph.replaceValue(output, value);
  graph.remove(add);
}

/** x * 0.5 * (1 + erf(x / sqrt 2)), in whatever order it is written. */
function fuseGelu(graph: Graph, erf: Node): void {
  const scaled = erf.input(0)?.producer;
  if (!scaled || (scaled.opType !== 'Div' && scaled.opType !== 'Mul') || onlyReader(graph, scaled.output()) !== erf) return;
  const [x, factor] = scalarOf(scaled.input(1)) !== undefined ? [scaled.input(0)!, scalarOf(scaled.input(1))!] : [scaled.input(1)!, scalarOf(scaled.input(0)) ?? NaN];
  const expected = scaled.opType === 'Div' ? Math.SQRT2 : Math.SQRT1_2;
  if (Math.abs(factor - expected) > 1e-5 || (scaled.opType === 'Div' && scaled.input(0) !== x)) return;
  const plus = onlyReader(graph, erf.output());
  if (plus?.opType !== 'Add' || ![scalarOf(plus.input(0)), scalarOf(plus.input(1))].includes(1)) return;
  // Two products are left: with x and with one half, or with x / 2 at once.
  let at = plus;
  const used: ('x' | 'half')[] = [];
  const other = (node: Node): 'x' | 'half' | 'both' | undefined => {
    const value = node.input(0) === at.output() ? node.input(1)! : node.input(0)!;
    if (value === x) return 'x';
    if (scalarOf(value) === 0.5) return 'half';
    const made = value.producer;
    const halved = made?.opType === 'Mul' && made.inputs.includes(x) && made.inputs.some((input) => input && scalarOf(input) === 0.5);
    return halved ? 'both' : undefined;
  };
  while (used.length < 2) {
    const next = onlyReader(graph, at.output());
    const factorKind = next?.opType === 'Mul' ? other(next) : undefined;
    if (!next || !factorKind || used.includes(factorKind as 'x')) return;
    used.push(...(factorKind === 'both' ? (['x', 'half'] as const) : [factorKind]));
    at = next;
  }
  replaceBy(graph, at, 'Gelu', [x], {});
}

/** PixelShuffle as PyTorch exports it: (N, C, r, r, H, W), transposed to (N, C, H, r, W, r), joined. */
function fuseDepthToSpace(graph: Graph, transpose: Node): void {
  if (transpose.ints('perm')?.join() !== '0,1,4,2,5,3') return;
  const split = transpose.input(0)?.producer;
  const joined = onlyReader(graph, transpose.output());
  if (split?.opType !== 'Reshape' || joined?.opType !== 'Reshape' || onlyReader(graph, split.output()) !== transpose) return;
  const [inner, outer, image] = [split.output().type, joined.output().type, split.input(0)?.type].map((type) => (type?.kind === 'tensor' ? type.shape : undefined));
  if (!inner || !outer || image?.length !== 4 || outer.length !== 4 || inner[2] !== inner[3] || typeof inner[2] !== 'number') return;
  const block = inner[2];
  if (outer[1] !== inner[1] || outer[2] !== (inner[4] as number) * block || outer[3] !== (inner[5] as number) * block) return;
  replaceBy(graph, joined, 'DepthToSpace', [split.input(0)!], { blocksize: attribute.int(block), mode: attribute.string('CRD') });
}

/** Puts another node in the place of one; what only the old one read is dead, and is not written. */
function replaceBy(graph: Graph, old: Node, opType: string, inputs: readonly Value[], attributes: Readonly<Record<string, ReturnType<typeof attribute.int>>>): void {
  const output = old.output();
  const value = new Value(output.name, output.type);
  graph.insertBefore(old, new Node(opType, inputs, [value], { name: old.name, attributes: Object.entries(attributes) }));
  graph.replaceValue(output, value);
  graph.remove(old);
}

/** Before operator set 13 a soft maximum ran over everything from `axis` (1 by default) on: the same as one axis where all others behind are 1. */
function modernSoftmax(graph: Graph, node: Node): void {
  const type = node.input(0)?.type;
  const shape = type?.kind === 'tensor' ? type.shape : undefined;
  if (!shape || shape.length === 0) return;
  const axis = normalizeAxis(node.int('axis', 1), shape.length);
  const wide = shape.map((_, i) => i).filter((i) => i >= axis && shape[i] !== 1);
  if (wide.length <= 1) {
    node.attributes.set('axis', attribute.int(wide[0] ?? axis));
    return;
  }
  // Reshaped to rows, and back.
  const rows = new Value(`${node.output().name}:rows`, flat(shape, axis, type!));
  const soft = new Value(`${node.output().name}:soft`, rows.type);
  const one = stored(graph, `${node.output().name}:shape`, denseOf('int64', [2], [0, -1]));
  graph.insertBefore(node, new Node('Reshape', [node.input(0)!, one], [rows]));
  graph.insertBefore(node, new Node(node.opType, [rows], [soft], { name: node.name, attributes: [['axis', attribute.int(-1)]] }));
  replaceBy(graph, node, 'Reshape', [soft, one], {});
}

function flat(shape: readonly (number | string | null)[], axis: number, type: NonNullable<Value['type']>): NonNullable<Value['type']> {
  const count = (dims: typeof shape): number | null => dims.reduce<number | null>((product, dim) => (product === null || typeof dim !== 'number' ? null : product * dim), 1);
  const head = shape.slice(0, axis);
  return { ...type, kind: 'tensor', shape: [head.length === 1 ? head[0]! : count(head), count(shape.slice(axis))] };
}
