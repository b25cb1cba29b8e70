/** One application of an operator. Inputs are set through methods so that use lists stay true. */
import { PenjingError } from '../errors.js';
import type { Tensor } from '../tensor.js';
import { type Attribute, type AttributeKind, type AttributeValues, attributeGraphs, decodeText } from './attribute.js';
import type { Graph } from './graph.js';
import { type Value } from './value.js';

export interface NodeInit {
  readonly domain?: string;
  readonly overload?: string;
  readonly name?: string;
  readonly attributes?: Iterable<readonly [string, Attribute]>;
}

export class Node {
  opType: string;
  /** '' is ai.onnx. */
  domain: string;
  overload: string;
  name: string;
  doc = '';
  readonly attributes: Map<string, Attribute>;
  readonly metadata = new Map<string, string>();
  /** Fields this version does not know, carried byte for byte. */
  extra: Uint8Array | undefined;

  /** @internal kept by Graph */
  _graph: Graph | undefined;
  /** @internal kept by Graph */
  _prev: Node | undefined;
  /** @internal kept by Graph */
  _next: Node | undefined;

  readonly #inputs: (Value | null)[] = [];
  readonly #outputs: Value[] = [];

  constructor(opType: string, inputs: readonly (Value | null)[], outputs: readonly Value[], init: NodeInit = {}) {
    this.opType = opType;
    this.domain = init.domain === 'ai.onnx' ? '' : (init.domain ?? '');
    this.overload = init.overload ?? '';
    this.name = init.name ?? '';
    this.attributes = new Map(init.attributes ?? []);
    inputs.forEach((value, index) => this.setInput(index, value));
    for (const value of outputs) this.addOutput(value);
  }

  /** The graph that holds this node; undefined after removal. */
  get graph(): Graph | undefined {
    return this._graph;
  }

  /** Inputs in order; null is an omitted optional input. */
  get inputs(): readonly (Value | null)[] {
    return this.#inputs;
  }

  /** Outputs in order; one with an empty name is an omitted optional output. */
  get outputs(): readonly Value[] {
    return this.#outputs;
  }

  input(index: number): Value | undefined {
    return this.#inputs[index] ?? undefined;
  }

  /** The output at `index`; throws when there is none. */
  output(index = 0): Value {
    const value = this.#outputs[index];
    if (!value) throw new PenjingError('E_GRAPH', `${this.describe()} has no output ${index}`);
    return value;
  }

  /** Connects an input, growing the list with omitted inputs when needed. */
  setInput(index: number, value: Value | null): void {
    while (this.#inputs.length <= index) this.#inputs.push(null);
    const old = this.#inputs[index];
    if (old) {
      const indices = old._uses.get(this);
      indices?.delete(index);
      if (indices?.size === 0) old._uses.delete(this);
    }
    this.#inputs[index] = value;
    if (value) {
      const indices = value._uses.get(this);
      if (indices) indices.add(index);
      else value._uses.set(this, new Set([index]));
    }
  }

  /** Drops inputs from `length` on. */
  truncateInputs(length: number): void {
    for (let i = this.#inputs.length - 1; i >= length; i--) this.setInput(i, null);
    this.#inputs.length = Math.min(this.#inputs.length, length);
  }

  addOutput(value: Value): void {
    if (value._producer) {
      throw new PenjingError('E_GRAPH', `${value.name} is already produced by ${value._producer.describe()}`);
    }
    value._producer = this;
    this.#outputs.push(value);
  }

  /** Gives output `index` up and puts `value` in its place: the old value then has no producer. */
  replaceOutput(index: number, value: Value): void {
    if (value._producer) throw new PenjingError('E_GRAPH', `${value.name} is already produced by ${value._producer.describe()}`);
    this.output(index)._producer = undefined;
    value._producer = this;
    this.#outputs[index] = value;
  }

  /** Drops outputs from `length` on. */
  truncateOutputs(length: number): void {
    for (const value of this.#outputs.splice(length)) value._producer = undefined;
  }

  /** Graphs held by attributes, in order. */
  subgraphs(): Graph[] {
    return [...this.attributes.values()].flatMap(attributeGraphs);
  }

  int(name: string, fallback: number): number;
  int(name: string): number | undefined;
  int(name: string, fallback?: number): number | undefined {
    const value = this.#get(name, 'int');
    return value === undefined ? fallback : safeInteger(value, name);
  }

  ints(name: string): number[] | undefined {
    return this.#get(name, 'ints')?.map((value) => safeInteger(value, name));
  }

  float(name: string, fallback: number): number;
  float(name: string): number | undefined;
  float(name: string, fallback?: number): number | undefined {
    return this.#get(name, 'float') ?? fallback;
  }

  floats(name: string): readonly number[] | undefined {
    return this.#get(name, 'floats');
  }

  string(name: string, fallback: string): string;
  string(name: string): string | undefined;
  string(name: string, fallback?: string): string | undefined {
    const value = this.#get(name, 'string');
    return value === undefined ? fallback : decodeText(value);
  }

  strings(name: string): string[] | undefined {
    return this.#get(name, 'strings')?.map(decodeText);
  }

  tensor(name: string): Tensor | undefined {
    return this.#get(name, 'tensor');
  }

  subgraph(name: string): Graph | undefined {
    return this.#get(name, 'graph');
  }

  /** `MatMul 'layer.0/q_proj'`, for messages. */
  describe(): string {
    const type = this.domain ? `${this.domain}.${this.opType}` : this.opType;
    return this.name ? `${type} '${this.name}'` : type;
  }

  #get<K extends AttributeKind>(name: string, kind: K): AttributeValues[K] | undefined {
    const found = this.attributes.get(name);
    if (found === undefined) return undefined;
    if (found.kind !== kind) {
      throw new PenjingError('E_GRAPH', `attribute ${name} of ${this.describe()} is ${found.kind}, not ${kind}`);
    }
    return found.value as AttributeValues[K];
  }
}

/** int64 attributes use INT64_MIN/MAX as "from the start / to the end": those saturate, they are never sizes. */
function safeInteger(value: bigint, name: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  if (value >= 2n ** 63n || value < -(2n ** 63n)) throw new PenjingError('E_GRAPH', `${name} is not an int64`);
  return number > 0 ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER;
}
