/** The tensors of a subgraph while it becomes a graph: constants, computed values in either place of the channels, quantization. */
import { bytesOf, DenseTensor, type DType, dtypes, type Graph, type GraphBuilder, lazy, LazyTensor, PenjingError, type Shape, type Tensor, tensorType, type Value } from '@penjing/core';
import type { TfliteSubgraph, TfliteTensor } from '../open-tflite.js';
import { constantFirst, TO_FIRST, TO_LAST } from './places.js';
import type { TfliteArithmetic, TfliteProgram } from './program.js';

/** `last` as TFLite has it, `first` as (batch, channels, height, width). */
export type Place = 'first' | 'last';

/** A value in the places it was made or asked for. */
interface Known {
  readonly floats: Partial<Record<Place, Value>>;
  /**
   * The stored integers of a quantized tensor. They are what is moved: a Transpose between DequantizeLinear and a convolution
   * makes ONNX Runtime 1.30 insert a QuantizeLinear without its zero point ("output_dtype INT8 does not match …").
   */
  readonly integers: Partial<Record<Place, Value>>;
  /** The same integers less their zero point, as float32: what exact arithmetic computes with. */
  readonly codes: Partial<Record<Place, Value>>;
}

const MOVES = { first: TO_FIRST, last: TO_LAST } as const;

/** Scales of one tensor: one, or one per slice of `axis`. */
export interface Scales {
  readonly scales: readonly number[];
  readonly zeroPoints: readonly number[];
  readonly axis: number;
}

export class TfliteValues {
  readonly program: TfliteProgram;
  /** Where nodes go: the graph of the subgraph, or a body in it while `within` runs. */
  builder: GraphBuilder;
  readonly #subgraph: TfliteSubgraph;
  readonly #number: number;
  readonly #known = new Map<number, Known>();
  /** Constants that an operator computed from constants: float16 weights, widened. */
  readonly #folded = new Map<number, Tensor>();
  readonly #loaded = new Map<string, Value>();
  /** Resource variables by the tensors that hold their handles. */
  readonly handles = new Map<number, string>();

  constructor(builder: GraphBuilder, program: TfliteProgram, subgraph: number) {
    this.builder = builder;
    this.program = program;
    this.#number = subgraph;
    this.#subgraph = program.subgraph(subgraph);
  }

  get arithmetic(): TfliteArithmetic {
    return this.program.arithmetic;
  }

  /** The largest sum of absolute weights for one output; undefined when it was not worked out. */
  weightSum(index: number): number | undefined {
    return this.program.loaded(this.#number).sums.get(index);
  }

  /** Makes a graph for the body of a Scan or a Loop: values outside may be used in it, weights must have been made before. */
  within(graph: Graph, body: () => void): void {
    const outer = this.builder;
    this.builder = outer.inner(graph);
    try {
      body();
    } finally {
      this.builder = outer;
    }
  }

  tensor(index: number): TfliteTensor {
    return this.#subgraph.tensors[index]!;
  }

  /** The element type of a value in the graph: quantized tensors are computed in float32. */
  dtype(index: number): DType {
    return this.scales(index) ? 'float32' : this.tensor(index).dtype;
  }

  /** Undefined for tensors that are not quantized; floats sometimes carry a range and no scale. */
  scales(index: number): Scales | undefined {
    const { dtype, quantization } = this.tensor(index);
    const scales = quantization?.scale ?? [];
    if (scales.length === 0 || dtypes[dtype].kind === 'float' || dtypes[dtype].kind === 'bool') return undefined;
    if (quantization?.details) {
      throw new PenjingError('E_TFLITE_OPERATOR', `${this.tensor(index).name} is quantized as ${quantization.details.type}, which is not read`);
    }
    const given = quantization?.zeroPoint ?? [];
    return { scales, zeroPoints: scales.map((_, i) => given[i] ?? given[0] ?? 0), axis: quantization?.quantizedDimension ?? 0 };
  }

  /** The content of a constant as it is stored; undefined for computed values. */
  constant(index: number): Tensor | undefined {
    const folded = this.#folded.get(index);
    if (folded) return folded;
    const { data, dtype, shape, sparsity } = this.tensor(index);
    if (sparsity) return this.program.loaded(this.#number).dense.get(index);
    if (!data) return shape.includes(0) ? new DenseTensor(dtype, shape, new Uint8Array(0)) : undefined;
    return lazy.source(this.program.file.source, data.offset, dtype, shape);
  }

  /** Makes a computed tensor a constant: what follows takes it as one. */
  fold(index: number, tensor: Tensor): void {
    this.#folded.set(index, tensor);
  }

  /** The numbers of a short constant; undefined for anything else. */
  numbers(index: number): readonly number[] | undefined {
    return this.program.loaded(this.#number).numbers.get(index);
  }

  /** A weight, brought into shape by `move` and dequantized; its slices move to `axis`. */
  weight(index: number, move: (tensor: Tensor) => Tensor = (tensor) => tensor, axis = 0): Value {
    const tensor = this.constant(index);
    const { name } = this.tensor(index);
    if (!tensor) throw new PenjingError('E_TFLITE_OPERATOR', `${name} is computed, where only a constant weight is read`);
    const scales = this.scales(index);
    if (!scales) {
      const moved = move(dtypes[tensor.dtype].kind === 'float' ? lazy.cast(tensor, 'float32') : tensor);
      return this.#initializer(name, moved);
    }
    const stored = this.#initializer(`${name}_quantized`, move(tensor));
    return this.dequantize(stored, tensor.dtype, { ...scales, axis });
  }

  dequantize(stored: Value, dtype: DType, { scales, zeroPoints, axis }: Scales): Value {
    const perTensor = scales.length === 1;
    const scale = this.builder.constant('float32', perTensor ? scales[0]! : scales);
    // biases beside int16 have 64 bits, which DequantizeLinear does not take; they are vectors, so that scales broadcast
    if (dtype === 'int64') return this.builder.op('Mul', [this.builder.op('Cast', [stored], { to: dtypes.float32.onnx }), scale]);
    // int32 has no zero point in ONNX; TFLite's is 0
    const zero = dtype === 'int32' ? undefined : this.#integers(dtype, perTensor ? [] : [scales.length], zeroPoints);
    return this.builder.op('DequantizeLinear', [stored, scale, zero], perTensor ? {} : { axis });
  }

  quantize(value: Value, dtype: DType, { scales, zeroPoints }: Scales): Value {
    return this.builder.op('QuantizeLinear', [value, this.builder.constant('float32', scales[0]!), this.#integers(dtype, [], zeroPoints)]);
  }

  /** The graph takes this value under the name and type of the tensor. */
  input(index: number, value: Value): void {
    const scales = this.scales(index);
    this.#known.set(index, scales ? { floats: {}, integers: { last: value }, codes: {} } : { floats: { last: value }, integers: {}, codes: {} });
  }

  /** What an operator made; quantized tensors are rounded to their grid, so that every later reader sees what TFLite sees. */
  define(index: number, value: Value, place: Place = 'last'): void {
    const scales = this.scales(index);
    const integers = scales ? { [place]: this.quantize(value, this.tensor(index).dtype, scales) } : {};
    this.#known.set(index, { floats: scales ? {} : { [place]: value }, integers, codes: {} });
  }

  /** Integers that are those of a quantized tensor already. */
  defineStored(index: number, value: Value, place: Place): void {
    this.#known.set(index, { floats: {}, integers: { [place]: value }, codes: {} });
  }

  /** What exact arithmetic made of a quantized tensor: its integers less the zero point, as float32 and in range. */
  defineCodes(index: number, value: Value, place: Place = 'last'): void {
    this.#known.set(index, { floats: {}, integers: {}, codes: { [place]: value } });
  }

  /** The integers of a tensor with one scale, less the zero point, as float32. */
  codes(index: number, place: Place): Value {
    const known = this.#known.get(index);
    if (!known) return this.weightCodes(index, place === 'first' ? (tensor) => lazy.transpose(tensor, TO_FIRST) : undefined);
    const there = known.codes[place];
    if (there) return there;
    if (Object.keys(known.codes).length > 0) return (known.codes[place] = this.#moved(known.codes, place));
    const integers = (known.integers[place] ??= this.#moved(known.integers, place));
    return (known.codes[place] = this.#centred(integers, this.scales(index)!.zeroPoints));
  }

  /** A constant of a quantized tensor, stored in its own element type, less its zero point. */
  weightCodes(index: number, move: (tensor: Tensor) => Tensor = (tensor) => tensor): Value {
    const tensor = this.constant(index);
    const { name } = this.tensor(index);
    if (!tensor) throw new PenjingError('E_TFLITE', `${name} is used before anything computes it`);
    // packed integers become int8: ONNX Runtime makes its own product of DequantizeLinear and MatMul, which rounds activations in its way
    const bytes = dtypes[tensor.dtype].bits < 8 ? lazy.cast(tensor, 'int8') : tensor;
    const stored = this.#initializer(`${name}_quantized`, move(bytes));
    return this.#centred(stored, this.scales(index)?.zeroPoints ?? [0]);
  }

  #centred(integers: Value, zeroPoints: readonly number[]): Value {
    const floats = this.builder.op('Cast', [integers], { to: dtypes.float32.onnx });
    return zeroPoints[0] === 0 ? floats : this.builder.op('Sub', [floats, this.builder.constant('float32', zeroPoints[0]!)]);
  }

  /** A state of an operator after it ran: a variable tensor becomes an output of the graph. Others are only read. */
  keep(index: number, value: Value): void {
    const tensor = this.tensor(index);
    if (!tensor.isVariable) return;
    if (this.builder.graph !== this.program.main.graph) throw new PenjingError('E_TFLITE_OPERATOR', `${tensor.name} is a state that changes in a branch or a loop, which is not read`);
    this.define(index, value);
    const resource = this.program.resource(tensor.name);
    resource.value = this.stored(index);
    resource.assigned = true;
  }

  /** A zero, for ConstantOfShape. */
  zeroTensor(): Tensor {
    return new DenseTensor('float32', [1], new Uint8Array(4));
  }

  /**
   * A variable tensor that nothing computed: an input of the graph, zeros before the first run. It has no default: onnxruntime-node 1.30
   * gives no way to feed an input that has one.
   */
  #variable(index: number): Value {
    const { name, dtype, shape } = this.tensor(index);
    this.input(index, this.program.main.input(name, tensorType(dtype, shape)));
    return this.last(index);
  }

  /** As TFLite has it. */
  last(index: number): Value {
    const known = this.#known.get(index);
    if (!known && this.tensor(index).isVariable && this.constant(index) === undefined) return this.#variable(index);
    return known ? this.#placed(index, known, 'last') : this.#constantValue(index);
  }

  /** A picture with its channels second. */
  first(index: number): Value {
    const known = this.#known.get(index);
    if (known) return this.#placed(index, known, 'first');
    return this.weight(index, (tensor) => lazy.transpose(tensor, TO_FIRST), FIRST_AXIS[this.scales(index)?.axis ?? 0]);
  }

  #placed(index: number, { floats, integers, codes }: Known, place: Place): Value {
    const there = floats[place];
    if (there) return there;
    const scales = this.scales(index);
    if (!scales) return (floats[place] = this.#moved(floats, place));
    if (Object.keys(codes).length > 0) return (floats[place] = this.builder.op('Mul', [this.codes(index, place), this.builder.constant('float32', scales.scales[0]!)]));
    return (floats[place] = this.dequantize((integers[place] ??= this.#moved(integers, place)), this.tensor(index).dtype, scales));
  }

  /** From the other place. */
  #moved(values: Partial<Record<Place, Value>>, place: Place): Value {
    const other = values[place === 'first' ? 'last' : 'first'];
    return this.builder.op('Transpose', [other!], { perm: MOVES[place] });
  }

  /** True for a constant operand that has a form beside channels-first pictures. */
  hasFirst(index: number): boolean {
    const tensor = this.constant(index);
    return tensor !== undefined && constantFirst(tensor) !== undefined && (this.scales(index)?.scales.length ?? 1) === 1;
  }

  /** That form. */
  constantFirst(index: number): Value {
    return this.weight(index, (tensor) => constantFirst(tensor)!);
  }

  constantCodesFirst(index: number): Value {
    return this.weightCodes(index, (tensor) => constantFirst(tensor)!);
  }

  isConstant(index: number): boolean {
    return !this.#known.has(index);
  }

  /** True when some operator made this picture channels-first: what follows had better stay there. */
  isFirst(index: number): boolean {
    const known = this.#known.get(index);
    return (known?.floats.first ?? known?.integers.first ?? known?.codes.first) !== undefined && this.tensor(index).shape.length === 4;
  }

  /** The stored integers of a quantized tensor, or the value itself: what the graph gives as an output. */
  stored(index: number): Value {
    const scales = this.scales(index);
    if (!scales || this.isConstant(index)) return this.last(index);
    const { integers, codes } = this.#known.get(index)!;
    if (integers.last) return integers.last;
    if (Object.keys(codes).length === 0) return (integers.last = this.#moved(integers, 'last'));
    const [zero] = scales.zeroPoints;
    const centred = this.codes(index, 'last');
    const shifted = zero === 0 ? centred : this.builder.op('Add', [centred, this.builder.constant('float32', zero!)]);
    return (integers.last = this.builder.op('Cast', [shifted], { to: dtypes[this.tensor(index).dtype].onnx }));
  }

  /** The same of an operand, constants included. */
  storedOperand(index: number): Value {
    if (!this.isConstant(index)) return this.stored(index);
    const tensor = this.constant(index);
    const { name } = this.tensor(index);
    if (!tensor) throw new PenjingError('E_TFLITE', `${name} is used before anything computes it`);
    return this.#initializer(name, tensor);
  }

  /** Numbers that ONNX wants in int64: shapes, axes, sizes. */
  int64(index: number): Value {
    const numbers = this.numbers(index);
    if (numbers) return this.builder.constant('int64', numbers, this.tensor(index).shape);
    const value = this.last(index);
    return this.tensor(index).dtype === 'int64' ? value : this.builder.op('Cast', [value], { to: dtypes.int64.onnx });
  }

  #constantValue(index: number): Value {
    const { name, shape, data } = this.tensor(index);
    if (!data && !this.#folded.has(index) && !shape.includes(0)) {
      throw new PenjingError('E_TFLITE', `${name} is used before anything computes it`);
    }
    return this.weight(index, undefined, this.scales(index)?.axis);
  }

  /** Names are those of the file; tensors that share a name, or forms of one tensor, get numbers. */
  #initializer(name: string, tensor: Tensor): Value {
    const key = tensor instanceof LazyTensor ? JSON.stringify(tensor.expr) : undefined;
    const known = key === undefined ? undefined : this.#loaded.get(key);
    if (known) return known;
    const value = this.builder.initializer(name, tensor);
    if (key !== undefined) this.#loaded.set(key, value);
    return value;
  }

  #integers(dtype: DType, shape: Shape, values: readonly number[]): Value {
    if (dtypes[dtype].bits >= 8) return this.builder.constant(dtype, shape.length === 0 ? values[0]! : values, shape);
    // packed types have no numbers of their own
    const wide = bytesOf(Int8Array.from(shape.length === 0 ? [values[0]!] : values));
    return this.builder.initializer(`zero_point_${dtype}`, lazy.cast(new DenseTensor('int8', shape, wide), dtype));
  }
}

const FIRST_AXIS = [0, 2, 3, 1] as const;
