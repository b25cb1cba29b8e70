/** Nodes of a gradient graph: the arithmetic that the rules are written in, with shapes known as soon as a node stands. */
import { type AttributeInput, type DenseTensor, type Dim, type DType, dtypes, GraphBuilder, GrowingInference, type Model, type Node, type NodeOptions, PenjingError, type Value } from '@penjing/core';

/** Builds gradients at the end of a graph. Every value of the graph, and every one it gives, has the type that can be inferred. */
export class GradientOps {
  readonly #builder: GraphBuilder;
  readonly #inference: GrowingInference;
  #weights = 0;

  constructor(model: Model) {
    this.#builder = new GraphBuilder(model.graph);
    this.#inference = new GrowingInference(model);
    for (const node of model.graph.nodes()) this.#inference.add(node);
  }

  /** Elements of a small integer tensor, where all of them are known before a run. */
  knownInts(value: Value): readonly number[] | undefined {
    const values = this.#inference.values(value);
    return values?.every((item): item is number => typeof item === 'number') ? values : undefined;
  }

  /** Elements of a small tensor that is stored in the model. */
  knownNumbers(value: Value): readonly number[] | undefined {
    return value.tensor?.kind === 'dense' ? Array.from((value.tensor as DenseTensor).data, Number) : this.knownInts(value);
  }

  /** Runs `body` with `scope` added to the names of the nodes it makes. */
  scope<T>(scope: string, body: () => T): T {
    return this.#builder.scope(scope, body);
  }

  /** Nodes that `body` makes stand before a node of the graph, instead of at its end. */
  before<T>(anchor: Node, body: () => T): T {
    return this.#builder.before(anchor, body);
  }

  /** Appends a node and gives its outputs. */
  nodes(opType: string, inputs: readonly (Value | null | undefined)[], attributes: Readonly<Record<string, AttributeInput>> = {}, options: NodeOptions = {}): Value[] {
    const outputs = this.#builder.nodes(opType, inputs, attributes, options);
    this.#inference.add(outputs[0]!.producer!);
    return outputs;
  }

  /** Appends a node with one output. */
  op(opType: string, inputs: readonly (Value | null | undefined)[], attributes: Readonly<Record<string, AttributeInput>> = {}, options: NodeOptions = {}): Value {
    return this.nodes(opType, inputs, attributes, options)[0]!;
  }

  /** Makes a value an output under exactly this name. */
  output(value: Value, name: string): Value {
    return this.#builder.output(value, name);
  }

  /** A constant of some size, under a name of its own. */
  weight(name: string, tensor: DenseTensor): Value {
    return this.#builder.initializer(`gradient/${name}_${this.#weights++}`, tensor);
  }

  /** A scalar of the dtype of `like`. */
  scalar(value: number, like: Value): Value {
    return this.#builder.constant(dtypeOf(like), value);
  }

  ints(values: readonly number[]): Value {
    return this.#builder.constant('int64', values);
  }

  float32s(values: readonly number[]): Value {
    return this.#builder.constant('float32', values);
  }

  add(a: Value, b: Value): Value {
    return this.op('Add', [a, b]);
  }

  sub(a: Value, b: Value): Value {
    return this.op('Sub', [a, b]);
  }

  mul(a: Value, b: Value): Value {
    return this.op('Mul', [a, b]);
  }

  div(a: Value, b: Value): Value {
    return this.op('Div', [a, b]);
  }

  neg(a: Value): Value {
    return this.op('Neg', [a]);
  }

  /** a · factor. */
  scale(a: Value, factor: number): Value {
    return factor === 1 ? a : this.mul(a, this.scalar(factor, a));
  }

  matmul(a: Value, b: Value): Value {
    return this.op('MatMul', [a, b]);
  }

  /** Where `condition` holds: `value`; 0 elsewhere. */
  where(condition: Value, value: Value): Value {
    return this.op('Where', [condition, value, this.scalar(0, value)]);
  }

  sum(x: Value, axes: readonly number[], keepDims = true): Value {
    return axes.length === 0 ? x : this.op('ReduceSum', [x, this.ints(axes)], { keepdims: keepDims ? 1 : 0 });
  }

  mean(x: Value, axes: readonly number[]): Value {
    return this.op('ReduceMean', [x, this.ints(axes)], { keepdims: 1 });
  }

  transpose(x: Value, perm: readonly number[]): Value {
    return perm.every((axis, i) => axis === i) ? x : this.op('Transpose', [x], { perm });
  }

  /** Swaps the last two axes. */
  transposeLast(x: Value): Value {
    const rank = rankOf(x);
    return this.transpose(x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
  }

  /** (…, width) → (rows, width). */
  rows(x: Value): Value {
    const width = dimsOf(x)?.at(-1);
    if (typeof width === 'number') return this.op('Reshape', [x, this.ints([-1, width])]);
    return this.op('Reshape', [x, this.op('Concat', [this.ints([-1]), this.sizes(x, -1)], { axis: 0 })]);
  }

  /** Sizes of the axes from `from` up to `to`, an int64 vector. */
  sizes(x: Value, from: number, to = Number.MAX_SAFE_INTEGER): Value {
    const dims = dimsOf(x)?.slice(from, to);
    if (dims?.every((dim): dim is number => typeof dim === 'number')) return this.ints(dims);
    return this.op('Shape', [x], { start: from, ...(to < Number.MAX_SAFE_INTEGER && { end: to }) });
  }

  unsqueeze(x: Value, axes: readonly number[]): Value {
    return axes.length === 0 ? x : this.op('Unsqueeze', [x, this.ints(axes)]);
  }

  /** The size of a value as an int64 vector: a constant where it is known. */
  shape(x: Value): Value {
    const dims = dimsOf(x);
    return dims?.every((dim): dim is number => typeof dim === 'number') ? this.ints(dims) : this.op('Shape', [x]);
  }

  /**
   * `x`, but only once `earlier` is computed: a Reshape to its own shape plus 0 times an element of `earlier`, which engines can neither see through nor merge with `x`. It
   * moves nothing.
   */
  after(x: Value, earlier: Value): Value {
    const element = this.op('Gather', [this.op('Reshape', [earlier, this.ints([-1])]), this.ints([0])]);
    const nothing = this.mul(this.op('Cast', [this.op('IsNaN', [element])], { to: dtypes.int64.onnx }), this.ints([0]));
    const value = this.op('Reshape', [x, this.add(this.op('Shape', [x]), nothing)], { allowzero: 1 });
    if (x.type) this.#inference.refine(value, x.type);
    return value;
  }

  /** `x` with the shape of `like`, which has as many elements. */
  reshapeLike(x: Value, like: Value): Value {
    const dims = dimsOf(like);
    // One unknown size may be left for Reshape to work out.
    if (dims && dims.filter((dim) => typeof dim !== 'number').length <= 1 && !dims.includes(0)) return this.op('Reshape', [x, this.ints(dims.map((dim) => (typeof dim === 'number' ? dim : -1)))]);
    return this.op('Reshape', [x, this.shape(like)], { allowzero: 1 });
  }

  expandLike(x: Value, like: Value): Value {
    return this.op('Expand', [x, this.shape(like)]);
  }

  zerosLike(x: Value): Value {
    return this.expandLike(this.scalar(0, x), x);
  }

  /**
   * The gradient of a value that was broadcast: sums over what broadcasting repeated, so that the result has the shape of `target`.
   * Where a size is 1 or not only at run time, the axes are found there.
   */
  sumTo(x: Value, target: Value): Value {
    const [from, to] = [dimsOf(x), dimsOf(target)];
    if (!from || !to) throw new PenjingError('E_SHAPE', `the rank of ${(from ? target : x).name} is not known`, { hint: 'Give the model inputs with shapes.' });
    const extra = from.length - to.length;
    let summed = this.sum(x, [...Array(Math.max(0, extra)).keys()], false);
    const left = from.slice(extra);
    const repeated = to.flatMap((dim, axis) => (dim === 1 && left[axis] !== 1 ? [axis] : []));
    summed = this.sum(summed, repeated);
    const unsure = to.some((dim, axis) => dim !== 1 && typeof dim !== 'number' && dim !== left[axis]);
    return unsure ? this.#sumWhereOne(summed, target) : summed;
  }

  #sumWhereOne(x: Value, target: Value): Value {
    const ones = this.op('Equal', [this.op('Shape', [target]), this.ints([1])]);
    const axes = this.op('Squeeze', [this.op('NonZero', [ones]), this.ints([0])]);
    return this.op('Reshape', [this.op('ReduceSum', [x, axes], { keepdims: 1, noop_with_empty_axes: 1 }), this.op('Shape', [target])], { allowzero: 1 });
  }
}

export function dtypeOf(x: Value): DType {
  const dtype = x.type?.kind === 'tensor' ? x.type.dtype : undefined;
  if (dtype === undefined) throw new PenjingError('E_DTYPE', `the type of ${x.name} is not known`);
  return dtype;
}

export function dimsOf(x: Value): readonly Dim[] | undefined {
  return x.type?.kind === 'tensor' ? x.type.shape : undefined;
}

/** Throws `E_SHAPE` when it is not known. */
export function rankOf(x: Value): number {
  const dims = dimsOf(x);
  if (!dims) throw new PenjingError('E_SHAPE', `the rank of ${x.name} is not known`, { hint: 'Give the model inputs with shapes.' });
  return dims.length;
}

/** All axes in [0, rank). */
export function axesOf(x: Value): number[] {
  return [...Array(rankOf(x)).keys()];
}
