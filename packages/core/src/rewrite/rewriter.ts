/** What a rule sees of the graphs it rewrites, and the few ways in which it may change them. */
import { denseOf, toAttribute } from '../builder.js';
import type { DType } from '../dtype.js';
import { PenjingError } from '../errors.js';
import { attribute, type AttributeInput } from '../graph/attribute.js';
import type { Graph } from '../graph/graph.js';
import { Names } from '../graph/names.js';
import { Node } from '../graph/node.js';
import { allGraphs } from '../graph/traverse.js';
import type { ValueType } from '../graph/value-type.js';
import { Value } from '../graph/value.js';
import type { Inference } from '../infer/infer-shapes.js';
import type { Dims } from '../infer/rule.js';
import { schemaOf } from '../ops/lookup.js';
import type { WeightRecord } from '../record.js';
import { elementCount } from '../shape.js';
import type { DenseTensor, Tensor } from '../tensor.js';
import { numbersOf, scalarOf, storedTensor } from './constant-of.js';
import type { Fusions } from './rule.js';

export interface RewriterInit {
  /** The main graph, or the body of a function. */
  readonly root: Graph;
  readonly isFunction: boolean;
  readonly opsets: ReadonlyMap<string, number>;
  readonly inference: Inference;
  readonly fusions: Fusions;
  /** Folding may store more than it removes. */
  readonly allowGrowth: boolean;
  readonly records: WeightRecord[];
}

/** One round over a main graph or a function body; types are those at the start of the round. */
export class Rewriter {
  readonly root: Graph;
  readonly isFunction: boolean;
  readonly opsets: ReadonlyMap<string, number>;
  readonly fusions: Fusions;
  readonly allowGrowth: boolean;
  readonly names: Names;
  /** Values whose content a caller or an iteration gives. */
  readonly overridable: ReadonlySet<Value>;
  readonly #inference: Inference;
  readonly #outputs: Set<Value>;
  readonly #records: WeightRecord[];

  constructor(init: RewriterInit) {
    this.root = init.root;
    this.isFunction = init.isFunction;
    this.opsets = init.opsets;
    this.fusions = init.fusions;
    this.allowGrowth = init.allowGrowth;
    this.#inference = init.inference;
    this.#records = init.records;
    const graphs = [...allGraphs(init.root)];
    this.names = new Names(graphs);
    this.overridable = new Set(graphs.flatMap((graph) => graph.inputs));
    this.#outputs = new Set(graphs.flatMap((graph) => graph.outputs));
  }

  /** Version of ai.onnx. */
  get opset(): number {
    return this.opsets.get('') ?? 1;
  }

  type(value: Value | undefined): ValueType | undefined {
    return value && (this.#inference.types.get(value) ?? value.type);
  }

  dtype(value: Value | undefined): DType | undefined {
    const type = this.type(value);
    return type?.kind === 'tensor' ? type.dtype : undefined;
  }

  shape(value: Value | undefined): Dims | undefined {
    const type = this.type(value);
    return type?.kind === 'tensor' ? type.shape : undefined;
  }

  /** A shape of numbers only. */
  fixedShape(value: Value | undefined): readonly number[] | undefined {
    const shape = this.shape(value);
    return shape?.every((dim) => typeof dim === 'number') ? (shape) : undefined;
  }

  /** Elements of a small whole-number tensor as far as they are known: sizes may be symbols. */
  values(value: Value | undefined): Dims | undefined {
    if (!value) return undefined;
    return this.#inference.values.get(value) ?? numbersOf(this.constant(value));
  }

  /** Elements that are all known numbers. */
  numbers(value: Value | undefined): readonly number[] | undefined {
    const values = this.values(value);
    return values?.every((x) => typeof x === 'number') ? (values) : undefined;
  }

  /** Stored content of any size. */
  weight(value: Value | null | undefined): Tensor | undefined {
    return storedTensor(value ?? undefined, this.overridable);
  }

  /** Stored content that is in memory. */
  constant(value: Value | null | undefined): DenseTensor | undefined {
    const tensor = this.weight(value);
    return tensor?.kind === 'dense' ? (tensor as DenseTensor) : undefined;
  }

  /** The number of a constant with one element, whatever its rank. */
  scalar(value: Value | null | undefined): number | undefined {
    return scalarOf(this.constant(value));
  }

  isOutput(value: Value): boolean {
    return this.#outputs.has(value);
  }

  /** These are no outputs any more: their graph is about to go. */
  forgetOutputs(values: readonly Value[]): void {
    for (const value of values) this.#outputs.delete(value);
  }

  isUsed(value: Value): boolean {
    return value.useCount > 0 || this.isOutput(value);
  }

  /** The only node that reads a value, when it is no graph output and the node stands in the same graph. */
  onlyReader(value: Value): Node | undefined {
    if (value.useCount !== 1 || this.isOutput(value)) return undefined;
    const [use] = value.uses();
    return use!.node.graph === value.producer?.graph ? use!.node : undefined;
  }

  /** The node that computes a value, when it is of the given operator (ai.onnx) and nothing in it is the caller's. */
  producer(value: Value | null | undefined, ...opTypes: readonly string[]): Node | undefined {
    const node = value?.producer;
    return node && node.domain === '' && opTypes.includes(node.opType) && isPlain(node) ? node : undefined;
  }

  /** Axes as an attribute, or from the opset on that moved them to an input; undefined when computed, null when absent. */
  axes(node: Node, index = 1): readonly number[] | null | undefined {
    const given = node.ints('axes');
    if (given) return given;
    const input = node.input(index);
    return input ? this.numbers(input) : null;
  }

  /** Axes as Squeeze, Unsqueeze and the reductions of this opset take them: `since` is the opset that moved them to input 1. */
  axesFor(before: Node, axes: readonly number[], since = 13): { inputs: readonly Value[]; attributes: Readonly<Record<string, AttributeInput>> } {
    if (this.opset < since) return { inputs: [], attributes: { axes: attribute.ints(axes) } };
    return { inputs: [this.addNumbers(before, 'int64', axes, `${before.output(0).name}/axes`)], attributes: {} };
  }

  /** True when only one node reads the value: what computes it can go with that node. */
  isPrivate(value: Value): boolean {
    return value.useCount === 1 && !this.isOutput(value);
  }

  /** True when an operator of ai.onnx is declared at this model's opset. */
  has(opType: string): boolean {
    const schema = schemaOf('', opType, this.opset);
    return schema !== undefined && schema.sinceVersion <= this.opset;
  }

  /** True when all outputs but the first are unused. */
  onlyFirstOutput(node: Node): boolean {
    return node.outputs.every((value, i) => i === 0 || !this.isUsed(value));
  }

  /** A stored value that `before` can read. */
  addConstant(before: Node, tensor: Tensor, name: string): Value {
    const graph = graphOf(before);
    const claimed = this.names.claim(name);
    if (!this.isFunction) return graph.addInitializer(claimed, tensor);
    // Bodies of functions have no initializers.
    const value = new Value(claimed, { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape });
    graph.insertBefore(before, new Node('Constant', [], [value], { attributes: [['value', attribute.tensor(tensor)]] }));
    return value;
  }

  addNumbers(before: Node, dtype: DType, values: readonly number[] | number, name: string): Value {
    return this.addConstant(before, denseOf(dtype, typeof values === 'number' ? [] : [values.length], typeof values === 'number' ? [values] : values), name);
  }

  /** Inserts a node before another and gives its first output. */
  insert(
    before: Node,
    opType: string,
    inputs: readonly (Value | null | undefined)[],
    attributes: Readonly<Record<string, AttributeInput | undefined>> = {},
    domain = '',
  ): Value {
    const trimmed = inputs.map((value) => value ?? null);
    while (trimmed.length > 0 && trimmed.at(-1) === null) trimmed.pop();
    const base = before.outputs[0]?.name || before.name || opType;
    const out = new Value(this.names.claim(`${base}/${opType}`));
    const given = Object.entries(attributes).flatMap(([name, value]) => (value === undefined ? [] : [[name, toAttribute(value)] as const]));
    graphOf(before).insertBefore(before, new Node(opType, trimmed, [out], { domain, name: before.name && this.names.claim(`${before.name}/${opType}`), attributes: given }));
    return out;
  }

  /**
   * Lets everything that reads `old` read `by`. A graph output keeps its name: then the producer of `by` gives it out.
   * False, and nothing changed, where that cannot be: the replacement is an input, a constant, an output too, or of an outer graph.
   */
  replace(old: Value, by: Value): boolean {
    if (old === by) return false;
    if (!this.isOutput(old)) {
      old.replaceUsesWith(by);
      return true;
    }
    const [from, to] = [old.producer, by.producer];
    if (!from || !to || this.isOutput(by) || to.graph !== from.graph || this.overridable.has(by)) return false;
    from.replaceOutput(from.outputs.indexOf(old), new Value(this.names.claim(`${old.name}/unused`)));
    to.replaceOutput(to.outputs.indexOf(by), old);
    old.type ??= by.type;
    by.replaceUsesWith(old);
    return true;
  }

  /** `replace` for the first output of a node, which then goes when nothing else of it is used. */
  bypass(node: Node, by: Value): boolean {
    if (!this.replace(node.output(0), by)) return false;
    this.removeIfUnused(node);
    return true;
  }

  /** Puts a new node in the place of `node`: same first output, new everything else. */
  become(node: Node, opType: string, inputs: readonly (Value | null | undefined)[], attributes: Readonly<Record<string, AttributeInput | undefined>> = {}, domain = ''): boolean {
    const out = this.insert(node, opType, inputs, attributes, domain);
    const made = out.producer!;
    const old = node.output(0);
    node.replaceOutput(0, new Value(this.names.claim(`${old.name}/unused`)));
    made.replaceOutput(0, old);
    made.name = node.name || made.name;
    this.removeIfUnused(node);
    return true;
  }

  /** Stores a constant in the place of an output; its node goes when nothing else of it is used. */
  storeOutput(node: Node, index: number, tensor: Tensor): void {
    const old = node.output(index);
    if (this.isFunction) {
      const stored = this.addConstant(node, tensor, `${old.name}/value`);
      this.replace(old, stored);
    } else {
      node.replaceOutput(index, new Value(this.names.claim(`${old.name}/unused`)));
      old.tensor = tensor;
      old.type ??= { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape };
      if (old.type.kind === 'tensor' && old.type.dtype === tensor.dtype) old.type = { ...old.type, shape: tensor.shape };
      graphOf(node).initializers.set(old.name, old);
    }
    this.removeIfUnused(node);
  }

  removeIfUnused(node: Node): void {
    if (node.graph && !node.outputs.some((value) => this.isUsed(value))) node.graph.remove(node);
  }

  /** Notes that the content of a weight was changed. */
  record(value: Value, method: string, before: Tensor, after: Tensor): void {
    this.#records.push({
      name: value.name, method, elements: elementCount(before.shape), bytesBefore: before.byteLength, bytesAfter: after.byteLength,
    });
  }
}

/** No attribute is the caller's, as it may be in a function body. */
export function isPlain(node: Node): boolean {
  for (const attr of node.attributes.values()) if (attr.kind === 'ref') return false;
  return true;
}

function graphOf(node: Node): Graph {
  if (!node.graph) throw new PenjingError('E_GRAPH', `${node.describe()} is in no graph`);
  return node.graph;
}

