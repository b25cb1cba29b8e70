/** Short node construction for converters, passes and tests. */
import { dtypes, type DType, bytesOf } from './dtype.js';
import { PenjingError } from './errors.js';
import { attribute, type Attribute, type AttributeInput } from './graph/attribute.js';
import type { Graph } from './graph/graph.js';
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
  readonly #taken = new Set<string>();
  readonly #scopes: string[] = [];
  readonly #constants = new Map<string, Value>();

  constructor(graph: Graph) {
    this.graph = graph;
    for (const value of [...graph.inputs, ...graph.initializers.values()]) this.#taken.add(value.name);
    for (const node of graph.nodes()) for (const value of node.outputs) this.#taken.add(value.name);
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

  input(name: string, type: ValueType): Value {
    const value = new Value(this.#claim(name), type);
    this.graph.inputs.push(value);
    return value;
  }

  output(value: Value, name: string, type?: ValueType): Value {
    if (value.name !== name) {
      if (!value.producer) throw new PenjingError('E_GRAPH', `${name} would rename the input ${value.name}`);
      value.name = this.#claim(name);
    }
    if (type) value.type = type;
    this.graph.outputs.push(value);
    return value;
  }

  /** A named weight. */
  initializer(name: string, tensor: Tensor): Value {
    return this.graph.addInitializer(this.#claim(name), tensor);
  }

  /** A small constant; equal constants are made once. */
  constant(dtype: DType, values: readonly number[] | number, shape?: Shape): Value {
    const list = typeof values === 'number' ? [values] : values;
    const dims = shape ?? (typeof values === 'number' ? [] : [list.length]);
    const key = `${dtype}[${dims.join(',')}]${list.join(',')}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const value = this.graph.addInitializer(this.#claim(`constant_${this.#constants.size}`), denseOf(dtype, dims, list));
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
    const name = this.#claim(path, '');
    const count = options.outputs?.length ?? options.outputCount ?? 1;
    const outputs = Array.from({ length: count }, (_, i) => {
      const given = options.outputs?.[i];
      if (given !== undefined) return new Value(given === '' ? '' : this.#claim(given));
      return new Value(this.#claim(count === 1 ? `${name}.out` : `${name}.out${i}`));
    });
    const trimmed = inputs.map((value) => value ?? null);
    while (trimmed.length > 0 && trimmed.at(-1) === null) trimmed.pop();
    const node = new Node(opType, trimmed, outputs, {
      name,
      ...(options.domain === undefined ? {} : { domain: options.domain }),
      attributes: Object.entries(attributes).map(([key, value]) => [key, toAttribute(value)] as const),
    });
    this.graph.append(node);
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

  #claim(base: string, suffix = ''): string {
    let name = base + suffix;
    for (let i = 1; this.#taken.has(name); i++) name = `${base}_${i}${suffix}`;
    this.#taken.add(name);
    return name;
  }
}

/** A dense tensor from plain numbers; halves and smaller floats must be made from bits instead. */
export function denseOf(dtype: DType, shape: Shape, values: readonly number[]): DenseTensor {
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
  if (dtypes[dtype].kind === 'float' && dtypes[dtype].bits < 32) {
    throw new PenjingError('E_DTYPE', `${dtype} constants are made from bits, not numbers`);
  }
  return new DenseTensor(dtype, shape, bytesOf(data));
}

function toAttribute(input: AttributeInput): Attribute {
  if (typeof input === 'number') return Number.isInteger(input) ? attribute.int(input) : attribute.float(input);
  if (typeof input === 'bigint') return attribute.int(input);
  if (typeof input === 'string') return attribute.string(input);
  if (!Array.isArray(input)) return input as Attribute;
  const list = input as readonly (number | bigint | string)[];
  if (list.every((item) => typeof item === 'string')) return attribute.strings(list);
  if (list.every((item) => typeof item === 'bigint' || Number.isInteger(item))) return attribute.ints(list as number[]);
  return attribute.floats(list as number[]);
}
