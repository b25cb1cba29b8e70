/** What a lowering sees of its node: inputs and attributes in TFLite's terms, and the operators it emits. */
import {
  type DenseTensor, denseOf, type Dim, type DType, type Node, type Tensor, type Value,
} from '@penjing/core';
import type { BuiltinOperator } from '../operators-schema.js';
import type { BuiltinOptionsInit } from '../schema.js';
import type { NodeLayouts } from './assign-layouts.js';
import { constantOf, Emitter } from './emitter.js';
import { type Layout, physicalAxis, physicalShape } from './layouts.js';
import { fixedShape, type Quantization, type TfGraph, type TfTensor } from './tf-graph.js';
import { type QuantizedConstant, sameGrid } from './qdq.js';
import { numbersOf } from './numbers.js';
import { unsupported } from './tf-error.js';

const NUMBERS: readonly DType[] = ['float32', 'int32', 'int64'];
const FLOATS: readonly DType[] = ['float32'];

/** Element types for which LiteRT has kernels, quantized ones apart; others end in errors, or in an abort of the whole process, when the model runs. */
const arithmeticTypes: Partial<Record<BuiltinOperator, readonly DType[]>> = {
  ADD: NUMBERS, SUB: NUMBERS, MUL: NUMBERS, MAXIMUM: NUMBERS, MINIMUM: NUMBERS, FLOOR_MOD: NUMBERS,
  DIV: ['float32', 'int32'], POW: ['float32', 'int32'], ABS: ['float32', 'int32'], NEG: NUMBERS, SQUARE: FLOATS, SUM: NUMBERS, MEAN: NUMBERS,
  EQUAL: [...NUMBERS, 'bool'], NOT_EQUAL: [...NUMBERS, 'bool'], LESS: NUMBERS, LESS_EQUAL: NUMBERS, GREATER: NUMBERS, GREATER_EQUAL: NUMBERS,
  REDUCE_MAX: NUMBERS, REDUCE_MIN: NUMBERS, REDUCE_PROD: NUMBERS, TOPK_V2: NUMBERS, CUMSUM: NUMBERS, ONE_HOT: ['int32', 'int64'],
  EXP: FLOATS, LOG: FLOATS, SQRT: FLOATS, RSQRT: FLOATS, LOGISTIC: FLOATS, TANH: FLOATS, RELU: FLOATS, RELU6: FLOATS, SOFTMAX: FLOATS, LOG_SOFTMAX: FLOATS, GELU: FLOATS,
  ELU: FLOATS, LEAKY_RELU: FLOATS, PRELU: FLOATS, HARD_SWISH: FLOATS, CEIL: FLOATS, FLOOR: FLOATS, ROUND: FLOATS, SIN: FLOATS, COS: FLOATS,
  CONV_2D: FLOATS, DEPTHWISE_CONV_2D: FLOATS, FULLY_CONNECTED: FLOATS, BATCH_MATMUL: FLOATS, RESIZE_BILINEAR: FLOATS, AVERAGE_POOL_2D: FLOATS, MAX_POOL_2D: FLOATS,
  ARG_MAX: ['float32', 'int32', 'int8', 'uint8', 'bool'], ARG_MIN: ['float32', 'int32', 'int8', 'uint8', 'bool'], SIGN: FLOATS, ATAN2: FLOATS,
  BITWISE_XOR: ['int32', 'int16', 'int8', 'uint8', 'uint32'],
  CAST: ['float32', 'int32', 'int64', 'int16', 'int8', 'uint8', 'bool'],
};

export interface EmitOptions {
  /** Shape as it lies in memory; that of the node's first output by default. */
  readonly shape?: readonly Dim[];
  /** That of the node's first output by default. */
  readonly dtype?: DType;
  readonly options?: BuiltinOptionsInit;
  readonly quantization?: Quantization;
}

export interface LowerInit {
  readonly node: Node;
  readonly opset: number;
  readonly emitter: Emitter;
  readonly layouts: NodeLayouts;
  /** Given when the node computes on int8 codes: the grid of its result. */
  readonly grid?: Quantization | undefined;
  readonly constants: ReadonlyMap<Value, QuantizedConstant>;
  /** Whether a value is an output of the graph. */
  readonly isOutput: (value: Value) => boolean;
}

export class LowerContext {
  readonly node: Node;
  readonly opset: number;
  readonly emitter: Emitter;
  readonly layouts: NodeLayouts;
  readonly grid: Quantization | undefined;
  readonly isOutput: (value: Value) => boolean;
  readonly #constants: ReadonlyMap<Value, QuantizedConstant>;
  #count = 0;

  constructor({ node, opset, emitter, layouts, grid, constants, isOutput }: LowerInit) {
    this.isOutput = isOutput;
    this.node = node;
    this.opset = opset;
    this.emitter = emitter;
    this.layouts = layouts;
    this.grid = grid;
    this.#constants = constants;
  }

  /** The same node, emitting into a graph of its own: the inside of a loop. */
  inner(): LowerContext {
    const { node, opset, layouts, grid, isOutput } = this;
    return new LowerContext({ node, opset, layouts, grid, isOutput, constants: this.#constants, emitter: new Emitter() });
  }

  /** Order of the axes of the node's images. */
  get layout(): Layout {
    return this.layouts.input;
  }

  has(index: number): boolean {
    return hasInput(this.node, index);
  }

  value(index: number): Value {
    const value = this.node.input(index);
    if (!value || value.name === '') throw this.fail(`input ${index} is missing`);
    return value;
  }

  /** Shape of an input in ONNX's order. */
  shape(index: number): readonly Dim[] {
    return shapeOf(this.value(index), this.node);
  }

  /** The same when all sizes must be known. */
  sizes(index: number): number[] {
    return fixedShape(this.shape(index)) ?? this.failOpen(this.value(index));
  }

  rank(index: number): number {
    return this.shape(index).length;
  }

  /** Shape of an output in ONNX's order. */
  outShape(index = this.#firstNamed()): readonly Dim[] {
    return shapeOf(this.node.output(index), this.node);
  }

  outSizes(index = 0): number[] {
    return fixedShape(this.outShape(index)) ?? this.failOpen(this.node.output(index));
  }

  dtype(index: number): DType {
    return dtypeOf(this.value(index), this.node);
  }

  outDtype(index = this.#firstNamed()): DType {
    return dtypeOf(this.node.output(index), this.node);
  }

  /** Content of an input that is a constant. */
  constant(index: number): Tensor | undefined {
    return this.has(index) ? this.value(index).tensor : undefined;
  }

  /** The numbers of a small constant input; undefined when it is omitted. */
  numbers(index: number): number[] | undefined {
    if (!this.has(index)) return undefined;
    const tensor = this.constant(index);
    if (tensor?.kind !== 'dense') throw this.fail(`input ${this.value(index).name} must be a constant`, 'Give the inputs of the model fixed shapes (inputShapes), so that it can be computed while converting.');
    return numbersOf(tensor as DenseTensor);
  }

  /** The list that is an attribute in old operator sets and an input in newer ones. */
  list(attribute: string, index: number): number[] | undefined {
    return this.node.ints(attribute) ?? this.numbers(index);
  }

  /** An axis as it lies in memory, in a tensor of the given rank. */
  axis(axis: number, rank: number): number {
    return physicalAxis(axis, rank, this.layout);
  }

  /** An input with its axes in the order of the node. */
  input(index: number): TfTensor {
    const { tensor } = this.value(index);
    return tensor ? this.#stored(index, tensor.shape.length) : this.#computed(index);
  }

  /** An input that broadcasts with others to `rank` axes. */
  operand(index: number, rank: number): TfTensor {
    const { tensor } = this.value(index);
    if (!tensor) return this.#computed(index);
    // A scalar stays one: kernels have short cuts for it.
    return this.#stored(index, tensor.shape.length === 0 ? 0 : rank);
  }

  #computed(index: number): TfTensor {
    const value = this.value(index);
    // Integers of ONNX are integers here, whatever they stand for.
    return this.grid || this.dtype(index) !== 'float32' ? this.emitter.read(value, this.layout) : this.emitter.readFloat(value, this.layout);
  }

  #stored(index: number, rank: number): TfTensor {
    const value = this.value(index);
    const quantized = this.grid && this.#constants.get(value);
    if (quantized) return this.emitter.constant(value, quantized.codes, rank, this.layout, { ...quantized.quantization, axis: 0 });
    return this.emitter.constant(value, value.tensor!, rank, this.layout);
  }

  /** A weight in a form of its own: always stored as this expression says. `axis` is that of the channels then. */
  weight(index: number, edit: (tensor: Tensor) => Tensor, axis = 0): TfTensor {
    const value = this.value(index);
    if (!value.tensor) throw this.fail(`${value.name} is computed while the model runs, and TFLite wants a constant`);
    const quantized = this.grid && this.#constants.get(value);
    if (quantized) return constantOf(value.name, edit(quantized.codes), { ...quantized.quantization, axis });
    return constantOf(value.name, edit(value.tensor));
  }

  /** A vector added to products of `x` and `weight`: as numbers, or as int32 codes on the grid of the products. */
  bias(tensor: Tensor, x: TfTensor, weight: TfTensor): TfTensor {
    const name = `${this.node.output().name}/bias`;
    if (!this.grid) return constantOf(name, tensor);
    const scale = weight.quantization!.scale.map((value) => value * x.quantization!.scale[0]!);
    if (tensor.kind !== 'dense') throw this.fail('its bias is too large');
    const top = 2 ** 31 - 1;
    const codes = numbersOf(tensor as DenseTensor).map((value, i) => Math.max(-top, Math.min(top, Math.round(value / scale[scale.length === 1 ? 0 : i]!))));
    return constantOf(name, denseOf('int32', tensor.shape, codes), { scale, zeroPoint: scale.map(() => 0), axis: 0 });
  }

  /** Codes on the grid of the result; anything else stays as it is. */
  onGrid(tensor: TfTensor): TfTensor {
    return !this.grid || sameGrid(tensor.quantization, this.grid) ? tensor : this.emitter.quantize(tensor, this.grid, this.#name('grid'));
  }

  floats(values: readonly number[], shape: readonly number[] = []): TfTensor {
    return constantOf(this.#name('constant'), denseOf('float32', shape, values));
  }

  /** A scalar of an element type. */
  scalar(value: number, dtype: DType): TfTensor {
    return constantOf(this.#name('constant'), denseOf(dtype, [], [value]), dtype === 'int8' ? this.grid : undefined);
  }

  tensorConstant(tensor: Tensor): TfTensor {
    return constantOf(this.#name('constant'), tensor);
  }

  /** Throws unless a computation has kernels for an element type. */
  checkType(type: BuiltinOperator, dtype: DType): void {
    const allowed = arithmeticTypes[type];
    if (allowed && !allowed.includes(dtype)) {
      throw this.fail(`${type} takes ${allowed.join(', ')}, not ${dtype}`, `Cast its operands to ${allowed[0]!}, and the result back.`);
    }
  }

  /** Appends an operator with one output. */
  emit(type: BuiltinOperator, inputs: readonly (TfTensor | null)[], options: EmitOptions = {}): TfTensor {
    if (inputs[0] && !inputs[0].quantization) this.checkType(type, inputs[0].dtype);
    const output: TfTensor = {
      name: this.#name(type.toLowerCase()),
      shape: options.shape ?? physicalShape(this.outShape(), this.layouts.output),
      ...this.#typed(options.dtype ?? this.outDtype(), options.quantization),
    };
    this.emitter.operator(type, inputs, [output], options.options, this.node.describe());
    return output;
  }

  /** Appends an operator with several outputs, each of the shape (in memory) and type given. */
  emitMany(type: BuiltinOperator, inputs: readonly (TfTensor | null)[], shapes: readonly (readonly Dim[])[], dtypes: readonly DType[], options?: BuiltinOptionsInit, subgraphs?: readonly TfGraph[]): TfTensor[] {
    const outputs = shapes.map((shape, i): TfTensor => ({ name: this.#name(type.toLowerCase()), shape, ...this.#typed(dtypes[i]!) }));
    this.emitter.operator(type, inputs, outputs, options, this.node.describe(), subgraphs);
    return outputs;
  }

  reshape(tensor: TfTensor, shape: readonly Dim[]): TfTensor {
    return this.emitter.reshape(tensor, shape, this.#name('reshape'));
  }

  transpose(tensor: TfTensor, perm: readonly number[]): TfTensor {
    return this.emitter.transpose(tensor, perm, this.#name('transpose'));
  }

  ints(values: readonly number[], shape?: readonly number[]): TfTensor {
    return this.emitter.ints(values, shape);
  }

  /** Says that output `index` is this tensor. */
  set(tensor: TfTensor, index = 0): void {
    const value = this.node.outputs[index];
    if (value && value.name !== '') this.emitter.bind(value, tensor, this.layouts.output);
  }

  /** Short for operators that are the whole node. */
  replace(type: BuiltinOperator, inputs: readonly (TfTensor | null)[], options?: BuiltinOptionsInit): void {
    this.set(this.emit(type, inputs, options ? { options } : {}));
  }

  /** An error that names the node. */
  fail(why: string, hint = 'Change the model so that it does not need this, or keep it in ONNX.'): Error {
    return unsupported(this.node, why, hint);
  }

  failOpen(value: Value): never {
    throw this.fail(`the size of ${value.name} is not known before the model runs`, 'Give the inputs of the model fixed shapes (inputShapes).');
  }

  /** What is float32 in ONNX are codes when the node computes on them. */
  #typed(dtype: DType, quantization = dtype === 'float32' || dtype === 'int8' ? this.grid : undefined): { dtype: DType; quantization?: Quantization } {
    return quantization ? { dtype: 'int8', quantization } : { dtype };
  }

  /** An output that is left out has no name, and no type. */
  #firstNamed(): number {
    return Math.max(0, this.node.outputs.findIndex(({ name }) => name !== ''));
  }

  #name(what: string): string {
    return `${this.node.output(this.#firstNamed()).name}/${what}${this.#count++ || ''}`;
  }
}

export function hasInput(node: Node, index: number): boolean {
  const value = node.input(index);
  return value !== undefined && value.name !== '';
}

export function shapeOf(value: Value, node: Node): readonly Dim[] {
  const { type } = value;
  if (value.tensor) return value.tensor.shape;
  if (type?.kind === 'tensor' && type.shape) return type.shape;
  throw unsupported(node, `the shape of ${value.name} is not known before the model runs`, 'Give the inputs of the model fixed shapes (inputShapes).');
}

export function dtypeOf(value: Value, node: Node): DType {
  if (value.tensor) return value.tensor.dtype;
  if (value.type?.kind === 'tensor' && value.type.dtype) return value.type.dtype;
  throw unsupported(node, `the element type of ${value.name} is not known`, 'Declare the types of the inputs of the model.');
}
