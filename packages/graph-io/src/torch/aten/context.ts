/** What the rows of the ATen table build with: a graph whose types are known as it grows, and short forms of common nodes. */
import {
  attribute, type Attribute, type AttributeInput, denseOf, type Dim, type DType, dtypes, elementCount, type Graph, GraphBuilder, GrowingInference, lazy, type Model, type NodeOptions, PenjingError,
  type Tensor, tensorType, type Value,
} from '@penjing/core';
import { atenLimits } from '../../limits.js';
import { isFloat, type PromotionOperand, promoteTypes, resultType } from './promote.js';
import { isFloatScalar, isSym, type Operand, plainNumber, type Scalar, type Sym, type SymInt } from './values.js';

type Attributes = Readonly<Record<string, AttributeInput>>;
type Inputs = readonly (Value | null | undefined)[];

/** Elements that are followed while shapes are computed; larger constants are weights. */
const MAX_FOLDED = 64;

/** One graph under construction. The model must say its opset before. */
export class AtenContext {
  readonly model: Model;
  builder: GraphBuilder;
  readonly opset: number;
  readonly #inference: GrowingInference;
  readonly #halves = new Map<string, Value>();
  #sizes = new Map<Value, Map<number, Sym>>();
  /** The operator in hand, for messages: `aten.linear.default`. */
  operator = '';

  constructor(model: Model, builder: GraphBuilder = new GraphBuilder(model.graph)) {
    this.model = model;
    this.builder = builder;
    this.opset = model.opset() ?? 21;
    this.#inference = new GrowingInference(model);
  }

  /** Something that a row cannot express: `E_UNSUPPORTED` naming the operator. */
  unsupported(what: string, hint?: string): PenjingError {
    return new PenjingError('E_UNSUPPORTED', `${this.operator}: ${what}`, { ...(hint === undefined ? {} : { hint }), details: { operator: this.operator } });
  }

  /** Appends a node and infers its outputs; one whose integers are all known becomes a constant instead. */
  ops(type: string, inputs: Inputs, attributes: Attributes = {}, options: NodeOptions = {}): Value[] {
    const outputs = this.builder.nodes(type, inputs, attributes, options);
    const node = outputs[0]!.producer!;
    this.#inference.add(node);
    // A copy is asked for where a value of its own is needed.
    if (outputs.length === 1 && type !== 'Identity') {
      const folded = this.#folded(outputs[0]!);
      if (folded) {
        this.builder.graph.remove(node);
        return [folded];
      }
    }
    return outputs;
  }

  op(type: string, inputs: Inputs, attributes: Attributes = {}, options: NodeOptions = {}): Value {
    return this.ops(type, inputs, attributes, options)[0]!;
  }

  #folded(value: Value): Value | undefined {
    const values = this.values(value);
    const type = value.type;
    if (!values || values.length > MAX_FOLDED || type?.kind !== 'tensor' || !type.dtype || !type.shape) return undefined;
    if (!['int64', 'int32', 'bool'].includes(type.dtype) || !values.every((item) => Number.isSafeInteger(item))) return undefined;
    if (!type.shape.every((dim) => typeof dim === 'number') || elementCount(type.shape) !== values.length) return undefined;
    return this.builder.constant(type.dtype, values as number[], type.shape);
  }

  /** Builds a subgraph whose results are what `body` gives; it reads outer values by reference. */
  inner(graph: Graph, body: () => readonly Value[]): { readonly graph: Graph; readonly outputs: number } {
    const [builder, sizes] = [this.builder, this.#sizes];
    this.builder = builder.inner(graph);
    // What is computed inside must not be read outside.
    this.#sizes = new Map();
    try {
      for (const value of body()) {
        const fresh = value.producer?.graph === graph && !graph.outputs.includes(value);
        graph.outputs.push(fresh ? value : this.op('Identity', [value]));
      }
      return { graph, outputs: graph.outputs.length };
    } finally {
      this.builder = builder;
      this.#sizes = sizes;
    }
  }

  /**
   * A number of elements, or of nodes, that a row makes one by one. Throws `E_LIMIT` for one beyond those of real models:
   * what a damaged program says of a size must not fill the memory.
   */
  count(number: number, most: number = atenLimits.elements): number {
    if (Number.isSafeInteger(number) && number >= 0 && number <= most) return number;
    throw new PenjingError('E_LIMIT', `${this.operator}: ${number} elements or parts are to be made one by one, at most ${most} are`, { details: { operator: this.operator } });
  }

  // ---- what is known of a value

  values(value: Value): readonly Dim[] | undefined {
    return this.#inference.values(value);
  }

  /** Adds what is known of a value from elsewhere; false when it contradicts what was inferred. */
  refine(value: Value, dtype: DType, shape: readonly Dim[]): boolean {
    return this.#inference.refine(value, tensorType(dtype, shape));
  }

  /** Throws `E_UNSUPPORTED` when it is not known. */
  dtype(value: Value): DType {
    const dtype = value.type?.kind === 'tensor' ? value.type.dtype : undefined;
    if (!dtype) throw this.unsupported(`the element type of ${value.name} is not known`);
    return dtype;
  }

  /** Sizes, symbols, or null where unknown. Throws `E_UNSUPPORTED` when not even the rank is known. */
  dims(value: Value): readonly Dim[] {
    const shape = value.type?.kind === 'tensor' ? value.type.shape : undefined;
    if (!shape) throw this.unsupported(`the number of axes of ${value.name} is not known`, 'Give the shapes of the inputs.');
    return shape;
  }

  rank(value: Value): number {
    return this.dims(value).length;
  }

  /** An axis in [0, rank); a tensor without axes takes 0 and -1, as PyTorch does. */
  axis(axis: number, rank: number): number {
    const at = axis < 0 ? axis + Math.max(rank, 1) : axis;
    if (at < 0 || at >= Math.max(rank, 1)) throw this.unsupported(`axis ${axis} is outside a tensor of ${rank} axes`);
    return at;
  }

  axes(list: readonly number[] | number | null, rank: number): number[] {
    if (list === null) return Array.from({ length: rank }, (_, i) => i);
    return (typeof list === 'number' ? [list] : list).map((axis) => this.axis(axis, rank));
  }

  // ---- constants and element types

  int64(values: readonly number[] | number): Value {
    return this.builder.constant('int64', values);
  }

  /** A constant of any element type, halves included; integers take the whole part. */
  constant(dtype: DType, values: readonly number[] | number, shape?: readonly number[]): Value {
    const { kind, bits } = dtypes[dtype];
    if (kind !== 'float' || bits >= 32) {
      const whole = (x: number): number => (kind === 'float' ? x : kind === 'bool' ? Number(x !== 0) : Math.trunc(x));
      return this.builder.constant(dtype, typeof values === 'number' ? whole(values) : values.map(whole), shape);
    }
    const list = typeof values === 'number' ? [values] : values;
    const dims = shape ?? (typeof values === 'number' ? [] : [list.length]);
    const key = `${dtype}[${dims.join()}]${list.join()}`;
    const known = this.#halves.get(key);
    if (known) return known;
    const value = this.builder.initializer(`constant_${dtype}_${this.#halves.size}`, lazy.cast(denseOf('float32', dims, list), dtype));
    this.#halves.set(key, value);
    return value;
  }

  /** A float attribute, also of a whole number. */
  float(value: number): Attribute {
    return attribute.float(value);
  }

  cast(value: Value, dtype: DType): Value {
    if (this.dtype(value) === dtype) return value;
    return this.op('Cast', [value], { to: dtypes[dtype].onnx });
  }

  // ---- operands of mixed types

  promotion(operand: Operand): PromotionOperand {
    if (typeof operand === 'number') return { dtype: Number.isInteger(operand) ? 'int64' : 'float32', weight: 'number' };
    if (typeof operand === 'boolean') return { dtype: 'bool', weight: 'number' };
    if (isFloatScalar(operand)) return { dtype: 'float32', weight: 'number' };
    if (isSym(operand)) return { dtype: this.dtype(operand.value), weight: 'number' };
    return { dtype: this.dtype(operand), weight: this.rank(operand) === 0 ? 'zeroDim' : 'tensor' };
  }

  resultType(operands: readonly Operand[]): DType {
    return resultType(operands.map((operand) => this.promotion(operand)));
  }

  /** An operand as a tensor of an element type; numbers become constants without axes. */
  tensor(operand: Operand, dtype: DType): Value {
    if (isSym(operand)) return this.cast(this.scalarOf(operand), dtype);
    const number = typeof operand === 'object' && !isFloatScalar(operand) ? undefined : plainNumber(operand);
    return number === undefined ? this.cast(operand as Value, dtype) : this.constant(dtype, number);
  }

  /** Operands brought to their common type. */
  promoted(operands: readonly Operand[], least?: DType): Value[] {
    let dtype = this.resultType(operands);
    if (least && !isFloat(dtype)) dtype = promoteTypes(dtype, least);
    return operands.map((operand) => this.tensor(operand, dtype));
  }

  // ---- sizes

  /** A size of a tensor: a number when known, otherwise computed. */
  size(value: Value, axis: number): SymInt {
    const dims = this.dims(value);
    const at = this.axis(axis, dims.length);
    const dim = dims[at];
    if (typeof dim === 'number') return dim;
    let known = this.#sizes.get(value);
    if (!known) this.#sizes.set(value, (known = new Map<number, Sym>()));
    let sym = known.get(at);
    if (!sym) known.set(at, (sym = { kind: 'sym', value: this.op('Shape', [value], { start: at, end: at + 1 }) }));
    return sym;
  }

  sizes(value: Value): SymInt[] {
    return this.dims(value).map((_, axis) => this.size(value, axis));
  }

  /** The symbol (or number) of a size, null when it has none. */
  dim(size: SymInt): Dim {
    return typeof size === 'number' ? size : (this.values(size.value)?.[0] ?? null);
  }

  /** Arithmetic on sizes; known results are numbers. */
  math(op: 'Add' | 'Sub' | 'Mul' | 'Div' | 'Mod' | 'Max' | 'Min', a: SymInt, b: SymInt): SymInt {
    return this.sym(this.op(op, [this.vector([a]), this.vector([b])]));
  }

  product(sizes: readonly SymInt[]): SymInt {
    return sizes.reduce((a, b) => (a === 1 ? b : b === 1 ? a : this.math('Mul', a, b)), 1);
  }

  /** A number in a tensor of shape [1]: plain when it is known. */
  sym(value: Value): SymInt {
    const [known] = this.values(value) ?? [];
    return typeof known === 'number' && this.dtype(value) === 'int64' ? known : { kind: 'sym', value };
  }

  /** int64 [n]. */
  vector(sizes: readonly SymInt[]): Value {
    if (sizes.every((size) => typeof size === 'number')) return this.int64(sizes);
    if (sizes.length === 1) return this.cast((sizes[0] as Sym).value, 'int64');
    const parts: Value[] = [];
    let run: number[] = [];
    for (const size of sizes) {
      if (typeof size === 'number') {
        run.push(size);
        continue;
      }
      if (run.length > 0) parts.push(this.int64(run));
      run = [];
      parts.push(this.cast(size.value, 'int64'));
    }
    if (run.length > 0) parts.push(this.int64(run));
    return this.op('Concat', parts, { axis: 0 });
  }

  /** A tensor without axes from a number of the graph. */
  scalarOf(scalar: Scalar, dtype?: DType): Value {
    if (!isSym(scalar)) {
      const number = plainNumber(scalar)!;
      return this.constant(dtype ?? this.promotion(scalar).dtype, number);
    }
    const flat = this.op('Squeeze', [scalar.value, this.int64([0])]);
    return dtype ? this.cast(flat, dtype) : flat;
  }

  // ---- movement

  /** To the given sizes, at most one of them -1. A size that is computed is left open or copied where that is possible. */
  reshape(value: Value, sizes: readonly SymInt[]): Value {
    const dims = this.dims(value);
    const same = sizes.length === dims.length && sizes.every((size, i) => {
      const dim = this.dim(size);
      return dim !== null && dim === dims[i];
    });
    if (same) return value;
    if (sizes.includes(0)) return this.op('Reshape', [value, this.vector(sizes)], { allowzero: 1 });
    const target = sizes.map((size, i): SymInt => {
      const dim = typeof size === 'number' ? null : this.dim(size);
      return dim !== null && dim === dims[i] ? 0 : size;
    });
    const computed = target.filter((size) => typeof size !== 'number');
    if (computed.length === 1 && !target.includes(-1)) target[target.indexOf(computed[0]!)] = -1;
    return this.op('Reshape', [value, this.vector(target)]);
  }

  transpose(value: Value, perm: readonly number[]): Value {
    return perm.every((axis, i) => axis === i) ? value : this.op('Transpose', [value], { perm });
  }

  /** Two axes exchanged. */
  swap(value: Value, a: number, b: number): Value {
    const perm = this.axes(null, this.rank(value));
    const [x, y] = [this.axis(a, perm.length), this.axis(b, perm.length)];
    if (perm.length > 0) [perm[x], perm[y]] = [perm[y]!, perm[x]!];
    return this.transpose(value, perm);
  }

  unsqueeze(value: Value, axes: readonly number[]): Value {
    return axes.length === 0 ? value : this.op('Unsqueeze', [value, this.int64(axes)]);
  }

  squeeze(value: Value, axes: readonly number[]): Value {
    return axes.length === 0 ? value : this.op('Squeeze', [value, this.int64(axes)]);
  }

  /** To the given sizes; -1 keeps a size. */
  expand(value: Value, sizes: readonly SymInt[]): Value {
    const dims = this.dims(value);
    const added = sizes.length - dims.length;
    const same = added === 0 && sizes.every((size, i) => {
      const dim = this.dim(size);
      return size === -1 || (dim !== null && dim === dims[i]);
    });
    if (same) return value;
    return this.op('Expand', [value, this.vector(sizes.map((size) => (size === -1 ? 1 : size)))]);
  }

  /** A slice [start, end) of one axis. */
  slice(value: Value, axis: number, start: SymInt, end: SymInt, step = 1): Value {
    return this.op('Slice', [value, this.vector([start]), this.vector([end]), this.int64([axis]), step === 1 ? null : this.int64([step])]);
  }

  concat(values: readonly Value[], axis: number): Value {
    return values.length === 1 ? values[0]! : this.op('Concat', values, { axis });
  }

  /** A weight in another form: computed lazily when it is stored, by nodes when it is computed. */
  weight(value: Value, suffix: string, stored: (tensor: Tensor) => Tensor, computed: (value: Value) => Value): Value {
    if (!value.tensor || this.builder.graph.inputs.includes(value)) return computed(value);
    return this.builder.initializer(`${value.name}.${suffix}`, stored(value.tensor));
  }
}
