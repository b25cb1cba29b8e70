/** Computes what depends on stored values only: one model with all of it, run once by the engine. */
import { byteSize, dtypes } from '../dtype.js';
import type { Engine } from '../engine.js';
import { isPenjingError } from '../errors.js';
import { Graph } from '../graph/graph.js';
import { Model } from '../graph/model.js';
import { Node } from '../graph/node.js';
import { allGraphs } from '../graph/traverse.js';
import { tensorType } from '../graph/value-type.js';
import { Value } from '../graph/value.js';
import { elementCount } from '../shape.js';
import type { Tensor } from '../tensor.js';
import type { Budget } from './budget.js';
import { canFoldLazily, foldLazily } from './fold-lazy.js';
import { isFoldable } from './foldable.js';
import type { Rewriter } from './rewriter.js';
import { innerGraphs } from './scopes.js';
import { nodeBytes, tensorBytes } from './stored-size.js';

/** Larger inputs and results stay where they are: the calling thread computes nothing big. */
const LARGEST_TENSOR = 16 << 20;

/** Operators whose result has a size that only their input's content tells, but never more elements than the input. */
const DATA_DEPENDENT: ReadonlySet<string> = new Set(['NonZero', 'Compress', 'Unique']);

export interface FoldOptions {
  /** Without one only weights are moved. */
  readonly engine: Engine | undefined;
  readonly budget: Budget;
  /** Nodes the engine could not run. */
  readonly failed: Set<Node>;
  readonly warnings: string[];
  readonly signal?: AbortSignal | undefined;
}

/** Folds over a main graph or function body and the graphs nested in it. Gives the number of values stored. */
export async function foldConstants(context: Rewriter, model: Model, options: FoldOptions): Promise<number> {
  const { region, lazily } = constantRegion(context, options.failed, options.engine !== undefined);
  const wanted = chosen(region, context, options.budget);
  if (wanted.length === 0) return 0;
  const isLazy = (value: Value): boolean => value.producer !== undefined && lazily.has(value.producer);
  const computed = wanted.filter((value) => !isLazy(value));
  const results = computed.length > 0 ? await compute(computed, region, context, model, options) : new Map<Value, Tensor>();
  for (const value of wanted) {
    if (!isLazy(value)) continue;
    const tensor = expressionOf(value, lazily, context);
    if (tensor) results.set(value, tensor);
    else options.failed.add(value.producer!);
  }
  let stored = 0;
  for (const value of wanted) {
    const tensor = results.get(value);
    const { producer } = value;
    if (!tensor || !producer?.graph) continue;
    context.storeOutput(producer, producer.outputs.indexOf(value), tensor);
    stored++;
  }
  return stored;
}

interface Region {
  /** The nodes that can be computed now, in an order in which they can run. */
  readonly region: Set<Node>;
  /** Those over large weights, which become expressions instead. */
  readonly lazily: ReadonlySet<Node>;
}

function constantRegion(context: Rewriter, failed: ReadonlySet<Node>, hasEngine: boolean): Region {
  const region = new Set<Node>();
  const lazily = new Set<Node>();
  const visit = (graph: Graph): void => {
    for (const node of graph.nodes()) {
      const foldable = isFoldable(node) && !failed.has(node);
      const ready = foldable && hasEngine && node.inputs.every((value) => {
        if (!value || value.name === '') return true;
        if (value.producer && region.has(value.producer)) return !lazily.has(value.producer);
        const tensor = context.weight(value);
        return tensor !== undefined && (tensor.kind === 'dense' || tensor.kind === 'string') && tensor.byteLength <= LARGEST_TENSOR;
      });
      if (ready && node.outputs.every((value) => fits(value, node, context))) region.add(node);
      else if (foldable && canFoldLazily(node) && node.inputs.every((value) => !value || (value.producer && lazily.has(value.producer)) || isPlainWeight(value, context))) {
        region.add(node);
        lazily.add(node);
      }
      for (const inner of innerGraphs(node)) visit(inner);
    }
  };
  visit(context.root);
  return { region, lazily };
}

function isPlainWeight(value: Value, context: Rewriter): boolean {
  const tensor = context.weight(value);
  return tensor !== undefined && (tensor.kind === 'dense' || tensor.kind === 'lazy') && dtypes[tensor.dtype].bits >= 8;
}

/** Expressions are copied whole into jobs; what shares parts many times over would grow without end. */
const LARGEST_EXPRESSION = 256;

/** A value of the lazy part of the region as one expression over the stored weights. */
function expressionOf(value: Value, lazily: ReadonlySet<Node>, context: Rewriter): Tensor | undefined {
  let operations = 0;
  const build = (of: Value): Tensor | undefined => {
    const { producer } = of;
    if (!producer || !lazily.has(producer)) return context.weight(of);
    if (++operations > LARGEST_EXPRESSION) return undefined;
    return foldLazily(producer, producer.outputs.indexOf(of), context, (index) => {
      const input = producer.input(index);
      return input && build(input);
    });
  };
  return build(value);
}

function fits(value: Value, node: Node, context: Rewriter): boolean {
  if (value.name === '') return true;
  const shape = context.fixedShape(value);
  const dtype = context.dtype(value);
  if (dtype === undefined || (dtypes[dtype].bits < 8 && dtype !== 'string')) return false;
  if (!shape) return DATA_DEPENDENT.has(node.opType);
  return dtype === 'string' ? elementCount(shape) < 1024 : byteSize(dtype, elementCount(shape)) <= LARGEST_TENSOR;
}

/** The values at the border of the region whose storing does not cost more than it frees; the others leave the region. */
function chosen(region: Set<Node>, context: Rewriter, budget: Budget): Value[] {
  for (;;) {
    // Each fold draws on what the ones before it have left.
    const trial = budget.copy();
    const border: Value[] = [];
    let dropped = false;
    for (const node of [...region]) {
      const outside = node.outputs.filter((value) => context.isOutput(value) || value.uses().some((use) => !region.has(use.node)));
      if (outside.length === 0) continue;
      const growth = outside.reduce((sum, value) => sum + storedBytes(value, context), 0) - freedBytes(node, region, context);
      if (trial.allows(growth)) {
        trial.spend(growth);
        border.push(...outside);
        continue;
      }
      region.delete(node);
      dropped = true;
    }
    if (!dropped) {
      budget.take(trial);
      return border;
    }
    budget.remember(trial);
    // What stood behind a dropped node is no longer computable, and what stood before it is at the border now.
    for (const node of [...region]) {
      if (!node.inputs.every((value) => !value || value.name === '' || (value.producer && region.has(value.producer)) || context.weight(value))) region.delete(node);
    }
  }
}

function storedBytes(value: Value, context: Rewriter): number {
  const [shape, dtype] = [context.fixedShape(value), context.dtype(value)];
  if (!shape || !dtype) return 4096;
  // The tag, the dimensions and the name of its TensorProto.
  return (dtype === 'string' ? 16 * elementCount(shape) : byteSize(dtype, elementCount(shape))) + 2 * shape.length + value.name.length + 12;
}

/** Bytes of the nodes and weights that only this node needs. */
function freedBytes(node: Node, region: ReadonlySet<Node>, context: Rewriter): number {
  const cone = new Set([node]);
  let bytes = nodeBytes(node, (value) => context.isOutput(value));
  const weights = new Set<Value>();
  // A set grows while it is walked.
  for (const inside of cone) {
    for (const value of inside.inputs) {
      if (!value || context.isOutput(value) || !value.uses().every((use) => cone.has(use.node))) continue;
      const before = value.producer;
      if (before && region.has(before) && !cone.has(before) && before.outputs.every((out) => !context.isOutput(out) && out.uses().every((use) => cone.has(use.node)))) {
        cone.add(before);
        bytes += nodeBytes(before, (out) => context.isOutput(out));
      }
      const tensor = context.weight(value);
      if (tensor && !weights.has(value)) {
        weights.add(value);
        bytes += tensorBytes(tensor, value.name);
      }
    }
  }
  return bytes;
}

/** One model for all values; when the engine refuses it, halves of it, down to the node that it cannot run. */
async function compute(wanted: readonly Value[], region: ReadonlySet<Node>, context: Rewriter, model: Model, options: FoldOptions): Promise<Map<Value, Tensor>> {
  options.signal?.throwIfAborted();
  try {
    const { part, names } = partialModel(wanted, region, context, model);
    const executor = await options.engine!.load(part, options.signal && { signal: options.signal });
    try {
      const results = await executor.run({}, options.signal && { signal: options.signal });
      return new Map(wanted.map((value) => [value, results[names.get(value)!]!] as const));
    } finally {
      await executor[Symbol.asyncDispose]();
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    if (wanted.length > 1) {
      const half = Math.ceil(wanted.length / 2);
      const [a, b] = [await compute(wanted.slice(0, half), region, context, model, options), await compute(wanted.slice(half), region, context, model, options)];
      return new Map([...a, ...b]);
    }
    const [value] = wanted;
    if (value!.producer) options.failed.add(value!.producer);
    options.warnings.push(`${value!.name} was not folded: ${isPenjingError(error) || error instanceof Error ? error.message : String(error)}`);
    return new Map();
  }
}

/** The wanted values as outputs of a model of their own: the nodes of the region that they need, and the stored values. */
function partialModel(wanted: readonly Value[], region: ReadonlySet<Node>, context: Rewriter, model: Model): { part: Model; names: ReadonlyMap<Value, string> } {
  const needed = new Set<Node>();
  const stack = wanted.flatMap((value) => value.producer ?? []);
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (needed.has(node) || !region.has(node)) continue;
    needed.add(node);
    stack.push(...node.inputs.flatMap((value) => value?.producer ?? []));
  }
  const graph = new Graph('folded');
  const part = new Model(graph);
  part.irVersion = model.irVersion;
  for (const [domain, version] of context.opsets) if (domain === '' || domain === 'ai.onnx.ml') part.opsetImports.set(domain, version);
  const copies = new Map<Value, Value>();
  const copyOf = (value: Value): Value => {
    let copy = copies.get(value);
    if (!copy) {
      const tensor = value.producer && region.has(value.producer) ? undefined : context.weight(value);
      // Branches of an If may use the same names, so these are fresh.
      const name = `v${copies.size}`;
      copy = tensor ? graph.addInitializer(name, tensor) : new Value(name);
      copies.set(value, copy);
    }
    return copy;
  };
  for (const inner of allGraphs(context.root)) {
    for (const node of inner.nodes()) {
      if (!needed.has(node)) continue;
      graph.append(new Node(node.opType, node.inputs.map((value) => (value && value.name !== '' ? copyOf(value) : null)), node.outputs.map((value) => (value.name === '' ? new Value('') : copyOf(value))), {
        domain: node.domain, name: node.name, attributes: node.attributes,
      }));
    }
  }
  for (const value of wanted) {
    const copy = copies.get(value)!;
    copy.type = tensorType(context.dtype(value), context.shape(value));
    graph.outputs.push(copy);
  }
  return { part, names: new Map(wanted.map((value) => [value, copies.get(value)!.name])) };
}
