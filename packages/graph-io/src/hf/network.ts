/** What the blocks build on: a graph under a path of modules, with the weights of a checkpoint at hand. */
import {
  type AttributeInput, denseOf, GraphBuilder, type Graph, lazy, type NodeOptions, type Shape, type Tensor, type Value,
} from '@penjing/core';
import type { Task } from './architecture.js';
import type { AttentionForm } from './blocks/attention.js';
import type { BlockPolicy } from './blocks/matrix.js';
import type { PackedLinear } from './packed-weights.js';
import type { FloatDType, Weights } from './weights.js';

export interface NetworkOptions {
  readonly weights: Weights;
  /** Type of weights and activations. */
  readonly dtype: FloatDType;
  readonly opset: number;
  readonly attention: AttentionForm;
  /** What the graph is for. */
  readonly task: Task;
  /** The head uses the embedding table. */
  readonly tied: boolean;
  /** What becomes of weights that are quantized already. */
  readonly blocks: BlockPolicy;
}

type Attributes = Readonly<Record<string, AttributeInput>>;

/** Modules are named as in the checkpoint: `model.layers.0.self_attn`. */
export class Network {
  readonly builder: GraphBuilder;
  readonly weights: Weights;
  readonly dtype: FloatDType;
  readonly opset: number;
  readonly attention: AttentionForm;
  readonly task: Task;
  readonly tied: boolean;
  readonly blocks: BlockPolicy;
  readonly #known = new Map<string, Value>();
  readonly #sums = new Map<Value, Map<number, Value>>();
  readonly #orders = new Map<Value, Map<string, Value>>();
  #path = '';

  constructor(graph: Graph, options: NetworkOptions) {
    this.builder = new GraphBuilder(graph);
    this.weights = options.weights;
    this.dtype = options.dtype;
    this.opset = options.opset;
    this.attention = options.attention;
    this.task = options.task;
    this.tied = options.tied;
    this.blocks = options.blocks;
  }

  /** Runs `body` inside the module `name`; weights and nodes it makes carry the name. */
  module<T>(name: string, body: () => T): T {
    const outer = this.#path;
    this.#path = outer === '' ? name : `${outer}.${name}`;
    try {
      return this.builder.scope(name, body);
    } finally {
      this.#path = outer;
    }
  }

  /** A weight of this module, as stored; layers that share weights get the same value. */
  weight(name: string, shape: Shape): Value {
    return this.#once('weight', name, (full) => this.weights.take(full, shape));
  }

  /** A tensor of the checkpoint by its name inside this module; in the network's type unless `dtype` says otherwise. */
  stored(name: string, shape: Shape, dtype: FloatDType = this.dtype): Tensor {
    return this.weights.take(this.#full(name), shape, dtype);
  }

  /** The same, in the type that the checkpoint has it in. */
  raw(name: string, shape: Shape): Tensor {
    return this.weights.find(this.#full(name), shape);
  }

  has(name: string): boolean {
    return this.weights.has(this.#full(name));
  }

  /** A layer inside this module that GPTQ or AWQ have quantized. */
  packed(module: string, inputs: number, outputs: number): PackedLinear | undefined {
    return this.weights.packed(this.#full(module), inputs, outputs);
  }

  /** Columns of x (…, width) in another order: once for all layers that take the same x in the same order. */
  reordered(x: Value, order: readonly number[]): Value {
    let known = this.#orders.get(x);
    if (!known) this.#orders.set(x, (known = new Map<string, Value>()));
    const key = order.join();
    let turned = known.get(key);
    if (!turned) known.set(key, (turned = this.op('Gather', [x, this.derived('order', denseOf('int64', [order.length], order))], { axis: -1 })));
    return turned;
  }

  /** A weight of this module that is made from what the checkpoint stores; layers that share weights get the same value. */
  derived(name: string, tensor: Tensor): Value {
    return this.#once('derived', name, () => tensor);
  }

  op(type: string, inputs: readonly (Value | undefined)[], attributes: Attributes = {}, options: NodeOptions = {}): Value {
    return this.builder.op(type, inputs, attributes, { name: options.name ?? type, ...options });
  }

  /** A node of com.microsoft. */
  contrib(type: string, inputs: readonly (Value | undefined)[], attributes: Attributes = {}, outputCount = 1): Value[] {
    return this.builder.nodes(type, inputs, attributes, { domain: 'com.microsoft', outputCount });
  }

  /** int64 constant: a list, or a scalar. */
  ints(values: readonly number[] | number): Value {
    return this.builder.constant('int64', values);
  }

  /** float32 constant. */
  float32(values: readonly number[] | number, shape?: Shape): Value {
    return this.builder.constant('float32', values, shape);
  }

  /** Scalar constant of the network's own type. */
  scalar(value: number): Value {
    if (this.dtype === 'float32') return this.float32(value);
    const name = `constant_${this.dtype}_${value}`;
    const known = this.builder.graph.initializers.get(name);
    return known ?? this.builder.initializer(name, lazy.cast(denseOf('float32', [], [value]), this.dtype));
  }

  /** `value` in float32, where precision matters; nothing to do in a float32 network. */
  widen(value: Value): Value {
    return this.dtype === 'float32' ? value : this.op('Cast', [value], { to: FLOAT });
  }

  /** `value` back in the network's own type. */
  narrow(value: Value): Value {
    return this.dtype === 'float32' ? value : this.op('Cast', [value], { to: FLOAT16 });
  }

  /** Sums of x (…, width) over blocks of its last axis, (batch, seq, blocks): once for all layers that take the same x. */
  blockSums(x: Value, blockSize: number, width: number): Value {
    let sums = this.#sums.get(x);
    if (!sums) this.#sums.set(x, (sums = new Map<number, Value>()));
    let sum = sums.get(blockSize);
    if (!sum) {
      const blocked = this.op('Reshape', [x, this.ints([0, 0, width / blockSize, blockSize])]);
      sums.set(blockSize, (sum = this.op('ReduceSum', [blocked, this.ints([-1])], { keepdims: 0 })));
    }
    return sum;
  }

  #full(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  #once(kind: string, name: string, make: (full: string) => Tensor): Value {
    const full = this.#full(name);
    const key = `${kind} ${full}`;
    const value = this.#known.get(key) ?? this.builder.initializer(full, make(full));
    this.#known.set(key, value);
    return value;
  }
}

const FLOAT = 1;
const FLOAT16 = 10;
