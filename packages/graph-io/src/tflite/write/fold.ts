/** Computes at conversion what does not depend on the inputs: movements of weights stay lazy, small results come from the reference engine. */
import {
  type Attribute, DenseTensor, denseOf, type Dim, type DType, dtypeOfOnnx, elementCount, Graph, inferShapes, lazy, Model, Node, normalizeAxis, type Tensor, toDense, Value,
} from '@penjing/core';
import { runReference } from '@penjing/core/reference';
import { numbersOf } from './numbers.js';
import { opNameOf } from './op-name.js';

/** Constants up to this are loaded: parameters and vectors over channels. Larger ones are weights, which stay on disk. */
const LOADED_BYTES = 1 << 16;

/** The reference engine is slow and keeps everything in memory: larger results are left to the model. */
const FOLDED_ELEMENTS = 1 << 18;

/** Results differ from run to run, or are no tensors. */
const NEVER = /^(Random|Multinomial|Bernoulli|If|Loop|Scan|Sequence|SplitToSequence|Optional|ConcatFromSequence|QuantizeLinear$|DequantizeLinear$)/;

/** Infers and folds until nothing changes. Nodes that became constants are gone, their outputs are initializers. */
export async function foldConstants(model: Model, signal?: AbortSignal): Promise<void> {
  const { graph } = model;
  for (const node of [...graph.nodes()]) if (opNameOf(node) === 'Constant') foldConstantNode(graph, node);
  for (;;) {
    inferShapes(model);
    let changed = false;
    for (const node of graph.nodes()) {
      signal?.throwIfAborted();
      changed = (await foldNode(model, node)) || changed;
    }
    if (!changed) return;
  }
}

export async function loadSmallConstants(graph: Graph): Promise<void> {
  for (const value of graph.initializers.values()) {
    const { tensor } = value;
    if (tensor?.kind === 'lazy' && tensor.byteLength <= LOADED_BYTES) value.tensor = await toDense(tensor);
  }
}

async function foldNode(model: Model, node: Node): Promise<boolean> {
  const { graph } = model;
  const [output] = node.outputs;
  if (!output || node.subgraphs().length > 0 || NEVER.test(node.opType) || model.functions.some((fn) => fn.name === node.opType && fn.domain === node.domain)) return false;
  if (node.opType === 'Shape' || node.opType === 'Size') {
    const sizes = foldShape(node);
    if (!sizes) return false;
    become(graph, node, [sizes]);
    return true;
  }
  const picked = pickSizes(node);
  if (picked) {
    become(graph, node, [picked]);
    return true;
  }
  const inputs = node.inputs.map((value) => (value && value.name !== '' ? value.tensor : null));
  if (inputs.includes(undefined) || node.inputs.some((value) => value && graph.inputs.includes(value))) return false;
  const tensors = inputs as readonly (Tensor | null)[];
  const moved = moveLazily(node, tensors);
  if (moved) {
    become(graph, node, [moved]);
    return true;
  }
  const count = (type: Value['type']): number => (type?.kind === 'tensor' && type.shape?.every((dim) => typeof dim === 'number') ? elementCount(type.shape) : Infinity);
  const total = node.outputs.reduce((sum, value) => sum + (value.name === '' ? 0 : count(value.type)), 0);
  if (total > FOLDED_ELEMENTS || tensors.some((tensor) => tensor && elementCount(tensor.shape) > FOLDED_ELEMENTS)) return false;
  const results = await compute(model, node, tensors);
  if (!results) return false;
  become(graph, node, results);
  return true;
}

/** Runs one node; undefined when the reference engine cannot. */
async function compute(model: Model, node: Node, tensors: readonly (Tensor | null)[]): Promise<Tensor[] | undefined> {
  const single = new Model(new Graph('folded'));
  single.irVersion = model.irVersion;
  for (const [domain, version] of model.opsetImports) single.opsetImports.set(domain, version);
  const inputs = await Promise.all(tensors.map(async (tensor, i) => tensor && single.graph.addInitializer(`input_${i}`, tensor.kind === 'lazy' ? await toDense(tensor) : tensor)));
  const outputs = node.outputs.map((value) => new Value(value.name));
  single.graph.append(new Node(node.opType, inputs, outputs, { domain: node.domain, name: node.name, attributes: node.attributes }));
  const named = outputs.filter(({ name }) => name !== '');
  single.graph.outputs.push(...named);
  try {
    const results = await runReference(single, {});
    return results.every((result): result is DenseTensor => result !== null && !Array.isArray(result) && (result as Tensor).kind === 'dense') ? results : undefined;
  } catch {
    // The model keeps the node, and whoever writes it says what is wrong.
    return undefined;
  }
}

/** Sizes that are all known. */
function foldShape(node: Node): Tensor | undefined {
  const type = node.input(0)?.type;
  if (type?.kind !== 'tensor' || !type.shape) return undefined;
  const start = node.int('start', 0);
  const shape = type.shape.slice(start, node.int('end'));
  if (!shape.every((dim) => typeof dim === 'number')) return undefined;
  return node.opType === 'Size' ? denseOf('int64', [], [elementCount(shape)]) : denseOf('int64', [shape.length], shape);
}

/** Sizes that are known, picked out of a shape that is not known as a whole (the batch is open). */
function pickSizes(node: Node): Tensor | undefined {
  const shape = node.input(0)?.producer;
  const type = shape?.opType === 'Shape' && !shape.attributes.has('start') && !shape.attributes.has('end') ? shape.input(0)?.type : undefined;
  if (type?.kind !== 'tensor' || !type.shape || node.domain !== '') return undefined;
  const lists = node.inputs.slice(1).map((value) => (value?.tensor?.kind === 'dense' ? numbersOf(value.tensor as DenseTensor) : undefined));
  if (lists.includes(undefined)) return undefined;
  let picked: readonly (Dim | undefined)[] = [];
  if (node.opType === 'Gather' && node.int('axis', 0) === 0) picked = lists[0]!.map((index) => type.shape!.at(index));
  else if (node.opType === 'Slice' && lists.length >= 2 && (lists[3]?.[0] ?? 1) === 1) picked = type.shape.slice(lists[0]![0], lists[1]![0]);
  if (picked.length === 0 || !picked.every((dim) => typeof dim === 'number')) return undefined;
  return denseOf('int64', node.opType === 'Gather' ? node.input(1)!.tensor!.shape : [picked.length], picked);
}

type Mover = (node: Node, x: Tensor, shape: readonly number[]) => Tensor;

/** Operators on weights that need no arithmetic. */
const movers: Readonly<Record<string, Mover>> = {
  Identity: (_, x) => x,
  Cast: (node, x) => lazy.cast(x, dtypeOfOnnx.get(node.int('to')!) ?? x.dtype),
  Transpose: (node, x) => lazy.transpose(x, node.ints('perm') ?? x.shape.map((_, i) => x.shape.length - 1 - i)),
  Reshape: (_, x, shape) => lazy.reshape(x, shape),
  Flatten: (_, x, shape) => lazy.reshape(x, shape),
  Squeeze: (_, x, shape) => lazy.reshape(x, shape),
  Unsqueeze: (_, x, shape) => lazy.reshape(x, shape),
};

/** Casts that round as ONNX does; others (from floats to integers, to bool) are left to the reference engine. */
const castable: ReadonlySet<DType> = new Set(['float32', 'float16', 'bfloat16', 'float64']);

function moveLazily(node: Node, tensors: readonly (Tensor | null)[]): Tensor | undefined {
  const [x] = tensors;
  const type = node.output().type;
  if (!x || x.byteLength <= LOADED_BYTES || x.kind === 'string' || x.kind === 'sparse' || node.domain !== '') return undefined;
  const shape = type?.kind === 'tensor' && type.shape?.every((dim) => typeof dim === 'number') ? (type.shape as number[]) : undefined;
  if (node.opType === 'Concat' && tensors.every((tensor) => tensor !== null)) return lazy.concat(tensors, normalizeAxis(node.int('axis')!, x.shape.length));
  const mover = movers[node.opType];
  if (!mover || !shape) return undefined;
  if (node.opType === 'Cast' && !(castable.has(x.dtype) && castable.has(dtypeOfOnnx.get(node.int('to')!) ?? 'string'))) return undefined;
  return mover(node, x, shape);
}

/** The node's outputs become initializers. */
function become(graph: Graph, node: Node, tensors: readonly Tensor[]): void {
  const named = node.outputs.filter(({ name }) => name !== '');
  named.forEach((value, i) => {
    const tensor = tensors[i]!;
    const constant = new Value(value.name, { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape }, tensor);
    graph.replaceValue(value, constant);
    graph.initializers.set(value.name, constant);
  });
  graph.remove(node);
}

function foldConstantNode(graph: Graph, node: Node): void {
  const tensor = constantOf(node);
  if (tensor) become(graph, node, [tensor]);
}

function constantOf(node: Node): Tensor | undefined {
  const of = (name: string): Attribute | undefined => node.attributes.get(name);
  const stored = node.tensor('value');
  if (stored) return stored;
  if (of('value_int')) return new DenseTensor('int64', [], new Uint8Array(BigInt64Array.of(BigInt(node.int('value_int')!)).buffer));
  const ints = node.ints('value_ints');
  if (ints) return denseOf('int64', [ints.length], ints);
  if (of('value_float')) return denseOf('float32', [], [node.float('value_float')!]);
  const floats = node.floats('value_floats');
  return floats && denseOf('float32', [floats.length], floats);
}
