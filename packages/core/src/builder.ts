/** Short node construction for converters, passes and tests. */
import { dtypes, type DType, bytesOf } from './dtype.js';
import { PenjingError } from './errors.js';
import { attribute, type Attribute, type AttributeInput } from './graph/attribute.js';
import { Graph } from './graph/graph.js';
import { Names } from './graph/names.js';
import { Node } from './graph/node.js';
import type { ValueType } from './graph/value-type.js';
import { Value } from './graph/value.js';
import type { Shape } from './shape.js';
import { DenseTensor, type Tensor } from './tensor.js';

export interface NodeOptions {
  readonly name?: string;
  readonly domain?: string;
  /** Names of the outputs; generated when absent. */
  readonly outputs?: readonly string[];
  /** Number of outputs when they are not named. */
  readonly outputCount?: number;
}

/** Appends nodes to a graph under a path of scopes, with names that do not collide. */
export class GraphBuilder {
  readonly graph: Graph;
  readonly #names: Names;
  readonly #scopes: string[] = [];
  /** Where nodes go: the graph, or a subgraph of one of its nodes. */
  #target: Graph;
  /** The node that new ones stand before; the end of the graph when undefined. */
  #anchor: Node | undefined;
  readonly #constants = new Map<string, Value>();

  /** `outer`: names that are taken outside of a subgraph. */
  constructor(graph: Graph, outer?: Names) {
    this.graph = graph;
    this.#target = graph;
    this.#names = outer ?? new Names([graph]);
  }

  /** For a subgraph of this graph, with names that collide neither inside nor outside. */
  inner(graph: Graph): GraphBuilder {
    const builder = new GraphBuilder(graph, this.#names);
    builder.#scopes.push(...this.#scopes);
    return builder;
  }

  /** Runs `body` with `scope` added to the path of the names it makes. */
  scope<T>(scope: string, body: () => T): T {
    this.#scopes.push(scope);
    try {
      return body();
    } finally {
      this.#scopes.pop();
    }
  }

  /** Nodes that `body` makes stand before a node of the graph, instead of at its end. */
  before<T>(anchor: Node, body: () => T): T {
    const outer = this.#anchor;
    this.#anchor = anchor;
    try {
      return body();
    } finally {
      this.#anchor = outer;
    }
  }

  /**
   * A graph of the nodes that `body` makes, for the branches of If: its outputs are the values that `body` gives, each
   * made by such a node. Weights and constants stay in the outer graph, where all branches see them.
   */
  subgraph(name: string, body: () => readonly Value[]): Graph {
    const [outer, anchor] = [this.#target, this.#anchor];
    const inner = new Graph(name);
    [this.#target, this.#anchor] = [inner, undefined];
    try {
      inner.outputs.push(...this.scope(name, body));
    } finally {
      [this.#target, this.#anchor] = [outer, anchor];
    }
    return inner;
  }

  input(name: string, type: ValueType): Value {
    const value = new Value(this.#names.claim(name), type);
    this.graph.inputs.push(value);
    return value;
  }

  /** Makes a value an output under exactly this name. Throws `E_GRAPH` when another value has it. */
  output(value: Value, name: string, type?: ValueType): Value {
    if (value.name !== name) {
      if (!value.producer) throw new PenjingError('E_GRAPH', `${name} would rename the input ${value.name}`);
      if (this.#names.has(name)) throw new PenjingError('E_GRAPH', `the output ${name} would take the name of another value`);
      value.name = this.#names.claim(name);
    }
    if (type) value.type = type;
    this.graph.outputs.push(value);
    return value;
  }

  /** A named weight. */
  initializer(name: string, tensor: Tensor): Value {
    return this.graph.addInitializer(this.#names.claim(name), tensor);
  }

  /** A small constant; equal constants are made once. */
  constant(dtype: DType, values: readonly number[] | number, shape?: Shape): Value {
    const list = typeof values === 'number' ? [values] : values;
    const dims = shape ?? (typeof values === 'number' ? [] : [list.length]);
    // -0 is written as 0 by join.
    const key = `${dtype}[${dims.join(',')}]${list.map((item) => (Object.is(item, -0) ? '-0' : item)).join(',')}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const value = this.initializer(`constant_${this.#constants.size}`, denseOf(dtype, dims, list));
    this.#constants.set(key, value);
    return value;
  }

  /** Appends a node and gives its outputs. */
  nodes(
    opType: string,
    inputs: readonly (Value | null | undefined)[],
    attributes: Readonly<Record<string, AttributeInput>> = {},
    options: NodeOptions = {},
  ): Value[] {
    const path = [...this.#scopes, options.name ?? opType].join('/');
    const name = this.#names.claim(path);
    const count = options.outputs?.length ?? options.outputCount ?? 1;
    const outputs = Array.from({ length: count }, (_, i) => {
      const given = options.outputs?.[i];
      if (given !== undefined) return new Value(given === '' ? '' : this.#names.claim(given));
      return new Value(this.#names.claim(count === 1 ? `${name}.out` : `${name}.out${i}`));
    });
    const trimmed = inputs.map((value) => value ?? null);
    while (trimmed.length > 0 && trimmed.at(-1) === null) trimmed.pop();
    const node = new Node(opType, trimmed, outputs, {
      name,
      ...(options.domain === undefined ? {} : { domain: options.domain }),
      attributes: Object.entries(attributes).map(([key, value]) => [key, toAttribute(value)] as const),
    });
    if (this.#anchor) this.#target.insertBefore(this.#anchor, node);
    else this.#target.append(node);
    return outputs;
  }

  /** Appends a node with one output. */
  op(
    opType: string,
    inputs: readonly (Value | null | undefined)[],
    attributes: Readonly<Record<string, AttributeInput>> = {},
    options: NodeOptions = {},
  ): Value {
    return this.nodes(opType, inputs, attributes, options)[0]!;
  }
}

/**
 * A dense tensor from plain numbers. Throws `E_DTYPE` for a number that an integer type does not hold, and for halves,
 * smaller floats and packed types, which are made from bits instead.
 */
export function denseOf(dtype: DType, shape: Shape, values: readonly number[]): DenseTensor {
  const { kind, bits } = dtypes[dtype];
  if (kind === 'string' || bits < 8 || (kind === 'float' && bits < 32)) {
    throw new PenjingError('E_DTYPE', `${dtype} constants are made from bits, not numbers`);
  }
  if (kind === 'int' || kind === 'uint' || kind === 'bool') {
    const [low, high] = kind === 'bool' ? [0, 1] : kind === 'int' ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
    // 2 ** 63 - 1 rounds up to 2 ** 63, which is outside.
    const wrong = values.find((value) => !Number.isInteger(value) || value < low || value > high || (bits === 64 && value === high));
    if (wrong !== undefined) throw new PenjingError('E_DTYPE', `${wrong} is no ${dtype}`);
  }
  const data = ((): DenseTensor['data'] => {
    switch (dtypes[dtype].array) {
      case 'BigInt64Array': return BigInt64Array.from(values, BigInt);
      case 'BigUint64Array': return BigUint64Array.from(values, BigInt);
      case 'Float32Array': return Float32Array.from(values);
      case 'Float64Array': return Float64Array.from(values);
      case 'Int32Array': return Int32Array.from(values);
      case 'Uint32Array': return Uint32Array.from(values);
      case 'Int16Array': return Int16Array.from(values);
      case 'Uint16Array': return Uint16Array.from(values);
      case 'Int8Array': return Int8Array.from(values);
      case 'Uint8Array': return Uint8Array.from(values);
    }
  })();
  return new DenseTensor(dtype, shape, bytesOf(data));
}

/** An attribute from a plain value. */
export function toAttribute(input: AttributeInput): Attribute {
  if (typeof input === 'number') return Number.isSafeInteger(input) ? attribute.int(input) : attribute.float(input);
  if (typeof input === 'bigint') return attribute.int(input);
  if (typeof input === 'string') return attribute.string(input);
  if (!Array.isArray(input)) return input as Attribute;
  const list = input as readonly (number | bigint | string)[];
  // An empty list is one of integers: axes, sizes, permutations.
  if (list.every((item) => typeof item === 'bigint' || Number.isSafeInteger(item))) return attribute.ints(list as number[]);
  if (list.every((item) => typeof item === 'string')) return attribute.strings(list);
  return attribute.floats(list as number[]);
}
