/** Runs a model node by node; every value stays until the run ends, so this is for tests and small graphs. */
import { isPenjingError, PenjingError } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { Model } from '../graph/model.js';
import type { Node } from '../graph/node.js';
import { modelGraphs } from '../graph/traverse.js';
import type { Value } from '../graph/value.js';
import { calledFunction, instantiate } from '../ops/instantiate.js';
import { type OpName, opName } from '../ops/lookup.js';
import { elementCount } from '../shape.js';
import { type SparseTensor, type StringTensor, type Tensor, toDense } from '../tensor.js';
import { allocate, arrayOf, fromTensor, type Item, type NdArray, numbers } from './array.js';
import { KernelContext } from './kernel.js';
import { kernelsByOp } from './kernels.js';

/** Functions may call functions; deeper nesting than this is taken for recursion, which ONNX forbids. */
const MAX_CALL_DEPTH = 64;

type Constants = ReadonlyMap<Tensor, NdArray>;

/** Everything stored in a model, in memory. */
export async function loadConstants(model: Model, signal?: AbortSignal): Promise<Constants> {
  const constants = new Map<Tensor, NdArray>();
  for (const graph of modelGraphs(model)) {
    const stored = [...graph.initializers.values()].flatMap((value) => value.tensor ?? []);
    for (const node of graph.nodes()) {
      for (const attr of node.attributes.values()) if (attr.kind === 'tensor' || attr.kind === 'sparseTensor') stored.push(attr.value);
    }
    for (const tensor of stored) {
      signal?.throwIfAborted();
      if (!constants.has(tensor)) constants.set(tensor, await readTensor(tensor));
    }
  }
  // Defaults of function attributes may hold tensors too.
  for (const fn of model.functions) {
    for (const attr of fn.attributeDefaults.values()) if (attr.kind === 'tensor') constants.set(attr.value, await readTensor(attr.value));
  }
  return constants;
}

async function readTensor(tensor: Tensor): Promise<NdArray> {
  if (tensor.kind === 'string') return fromTensor(tensor as StringTensor);
  if (tensor.kind === 'sparse') return readSparse(tensor as SparseTensor);
  return fromTensor(await toDense(tensor));
}

async function readSparse(tensor: SparseTensor): Promise<NdArray> {
  const values = await readTensor(tensor.values);
  const indices = numbers(await readTensor(tensor.indices));
  const rank = tensor.indices.shape.length === 2 ? tensor.indices.shape[1]! : 1;
  const out = allocate(tensor.dtype, elementCount(tensor.shape)) as Float64Array;
  for (let i = 0; i < values.data.length; i++) {
    let at = 0;
    for (let d = 0; d < rank; d++) at = rank === 1 ? indices[i]! : at * tensor.shape[d]! + indices[i * rank + d]!;
    out[at] = (values.data as Float64Array)[i]!;
  }
  return arrayOf(tensor.dtype, tensor.shape, out);
}

export class Interpreter {
  readonly #model: Model;
  readonly #constants: Constants;
  readonly #bodies = new Map<Node, Graph>();
  #depth = 0;

  constructor(model: Model, constants: Constants) {
    this.#model = model;
    this.#constants = constants;
  }

  /** Outputs of the main graph, for inputs by name. */
  run(feeds: ReadonlyMap<string, Item>, signal?: AbortSignal): Item[] {
    const values = new Map<Value, Item>();
    const { graph } = this.#model;
    for (const value of graph.inputs) {
      const item = feeds.get(value.name);
      if (item) values.set(value, item);
    }
    return this.#graph(graph, values, this.#model.opsetImports, signal);
  }

  #graph(graph: Graph, values: Map<Value, Item>, opsets: ReadonlyMap<string, number>, signal?: AbortSignal): Item[] {
    for (const value of graph.initializers.values()) {
      const constant = value.tensor && this.#constants.get(value.tensor);
      if (constant && !(graph.inputs.includes(value) && values.has(value))) values.set(value, constant);
    }
    for (const node of graph.nodes()) {
      signal?.throwIfAborted();
      const outputs = this.#node(node, values, opsets, signal);
      node.outputs.forEach((value, i) => {
        const item = outputs[i];
        if (item) values.set(value, item);
        else values.delete(value);
      });
    }
    return graph.outputs.map((value) => {
      const item = values.get(value);
      if (!item) throw new PenjingError('E_ENGINE', `${value.name} was not computed`);
      return item;
    });
  }

  #node(node: Node, values: Map<Value, Item>, opsets: ReadonlyMap<string, number>, signal?: AbortSignal): readonly (Item | undefined)[] {
    const items = node.inputs.map((value) => {
      if (!value || value.name === '') return undefined;
      const item = values.get(value);
      if (!item) throw new PenjingError('E_INPUT', `${node.describe()} reads ${value.name}, which has no value`);
      return item;
    });
    while (items.length > 0 && items.at(-1) === undefined) items.pop();
    const fn = calledFunction(this.#model, node);
    const kernel = kernelsByOp[opName(node.domain, node.opType) as OpName];
    if (!fn && !kernel) {
      throw new PenjingError('E_UNSUPPORTED', `the reference engine has no kernel for ${node.describe()}`, {
        hint: 'Run the model with the ONNX Runtime engine of @penjing/runtime.',
        details: { node: node.name, op: opName(node.domain, node.opType) },
      });
    }
    try {
      if (fn) return this.#call(node, items, signal);
      const opset = opsets.get(node.domain) ?? 1;
      const subgraph = (graph: Graph, inputs: readonly Item[]): Item[] => {
        graph.inputs.forEach((value, i) => inputs[i] && values.set(value, inputs[i]));
        return this.#graph(graph, values, opsets, signal);
      };
      return kernel!(new KernelContext(node, opset, items, subgraph, (name) => this.#attribute(node, name)));
    } catch (error) {
      if (isPenjingError(error) || signal?.aborted) throw error;
      throw new PenjingError('E_ENGINE', `${node.describe()} failed: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }

  #attribute(node: Node, name: string): NdArray | undefined {
    const attr = node.attributes.get(name);
    return attr?.kind === 'tensor' || attr?.kind === 'sparseTensor' ? this.#constants.get(attr.value) : undefined;
  }

  #call(node: Node, items: readonly (Item | undefined)[], signal?: AbortSignal): Item[] {
    const fn = calledFunction(this.#model, node)!;
    let body = this.#bodies.get(node);
    if (!body) this.#bodies.set(node, (body = instantiate(fn, node)));
    if (++this.#depth > MAX_CALL_DEPTH) throw new PenjingError('E_GRAPH', `${node.describe()} calls itself`);
    const values = new Map<Value, Item>();
    body.inputs.forEach((value, i) => items[i] && values.set(value, items[i]));
    try {
      return this.#graph(body, values, fn.opsetImports, signal);
    } finally {
      this.#depth--;
    }
  }
}

