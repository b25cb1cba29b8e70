/** Holds what has been emitted: the tensor of every value in the order it was made, transposed once when another order is asked for. */
import { DenseTensor, denseOf, type Dim, lazy, PenjingError, type Tensor, type Value } from '@penjing/core';
import type { BuiltinOperator } from '../operators-schema.js';
import type { BuiltinOptionsInit } from '../schema.js';
import { hasLayouts, type Layout, movesNothing, permutationOf, permute, toFirst, toLast } from './layouts.js';
import { type Quantization, type TfGraph, type TfOperator, type TfTensor } from './tf-graph.js';

interface Made {
  readonly layout: Layout;
  readonly tensors: Map<Layout, TfTensor>;
}

export class Emitter {
  readonly graph: TfGraph = { inputs: [], outputs: [], operators: [] };
  readonly #made = new Map<Value, Made>();
  readonly #constants = new Map<Value, Map<string, TfTensor>>();
  readonly #numbers = new Map<TfTensor, TfTensor>();
  readonly #ints = new Map<string, TfTensor>();

  /** Records the tensor of a computed value. */
  bind(value: Value, tensor: TfTensor, layout: Layout): void {
    tensor.name = value.name;
    this.#made.set(value, { layout, tensors: new Map([[layout, tensor]]) });
  }

  /** Says that a value is what a tensor holds that has a name already. */
  alias(value: Value, tensor: TfTensor, layout: Layout): void {
    this.#made.set(value, { layout, tensors: new Map([[layout, tensor]]) });
  }

  /** The grid on which a computed value lies. */
  gridOf(value: Value): Quantization | undefined {
    const made = this.#made.get(value);
    return made?.tensors.get(made.layout)!.quantization;
  }

  has(value: Value): boolean {
    return this.#made.has(value);
  }

  /** A computed value with its axes in the given order. */
  read(value: Value, layout: Layout): TfTensor {
    const made = this.#made.get(value);
    if (!made) throw new PenjingError('E_GRAPH', `${value.name} is read before it is computed`);
    const native = made.tensors.get(made.layout)!;
    const rank = native.shape.length;
    if (made.layout === layout || !hasLayouts(rank)) return native;
    const known = made.tensors.get(layout);
    if (known) return known;
    const tensor = this.transpose(native, layout === 'last' ? toLast(rank) : toFirst(rank), `${value.name}:${layout}`);
    made.tensors.set(layout, tensor);
    return tensor;
  }

  /** The same as float32: codes are turned into numbers, once. */
  readFloat(value: Value, layout: Layout): TfTensor {
    const tensor = this.read(value, layout);
    if (!tensor.quantization) return tensor;
    let numbers = this.#numbers.get(tensor);
    if (!numbers) {
      numbers = { name: `${tensor.name}:float32`, dtype: 'float32', shape: tensor.shape };
      this.operator('DEQUANTIZE', [tensor], [numbers], { type: 'DequantizeOptions', value: {} }, value.name);
      this.#numbers.set(tensor, numbers);
    }
    return numbers;
  }

  /** Codes on a grid: of numbers, or of codes on another grid. */
  quantize(tensor: TfTensor, grid: Quantization, name: string, dtype: 'int8' | 'uint8' = 'int8'): TfTensor {
    const output: TfTensor = { name, dtype, shape: tensor.shape, quantization: grid };
    this.operator('QUANTIZE', [tensor], [output], { type: 'QuantizeOptions', value: {} }, name);
    return output;
  }

  operator(type: BuiltinOperator, inputs: readonly (TfTensor | null)[], outputs: readonly TfTensor[], options: BuiltinOptionsInit | undefined, from: string, subgraphs?: readonly TfGraph[]): void {
    const operator: TfOperator = { type, inputs: [...inputs], outputs: [...outputs], from, ...(options && { options }), ...(subgraphs && { subgraphs }) };
    this.graph.operators.push(operator);
  }

  transpose(tensor: TfTensor, perm: readonly number[], name: string): TfTensor {
    if (perm.every((axis, i) => axis === i)) return tensor;
    const shape = permute(tensor.shape, perm);
    if (movesNothing(tensor.shape, perm)) return this.reshape(tensor, shape, name);
    const output: TfTensor = { name, dtype: tensor.dtype, shape, ...quantizationOf(tensor) };
    this.operator('TRANSPOSE', [tensor, this.ints(perm)], [output], { type: 'TransposeOptions', value: {} }, name);
    return output;
  }

  /** At most one size of `shape` may be open. */
  reshape(tensor: TfTensor, shape: readonly Dim[], name: string): TfTensor {
    const sizes = shape.map((dim) => (typeof dim === 'number' ? dim : -1));
    const output: TfTensor = { name, dtype: tensor.dtype, shape, ...quantizationOf(tensor) };
    this.operator('RESHAPE', [tensor, this.ints(sizes)], [output], { type: 'ReshapeOptions', value: { newShape: sizes } }, name);
    return output;
  }

  /** An int32 list; equal ones are stored once. */
  ints(values: readonly number[], shape: readonly number[] = [values.length]): TfTensor {
    const key = `[${shape.join()}]${values.join()}`;
    let tensor = this.#ints.get(key);
    if (!tensor) this.#ints.set(key, (tensor = constantOf(`list_${this.#ints.size}`, denseOf('int32', shape, values))));
    return tensor;
  }

  /** A constant value, expanded to `rank` axes (1 in front) and permuted; stored once for every form. */
  constant(value: Value, tensor: Tensor, rank: number, layout: Layout, quantization?: Quantization): TfTensor {
    const shape = [...Array<number>(rank - tensor.shape.length).fill(1), ...tensor.shape];
    const perm = permutationOf(rank, layout);
    const key = `${rank}${perm.join()}${quantization ? 'codes' : ''}`;
    const forms = this.#constants.get(value) ?? new Map<string, TfTensor>();
    this.#constants.set(value, forms);
    let form = forms.get(key);
    if (!form) {
      const expanded = shape.length === tensor.shape.length ? tensor : reshaped(tensor, shape);
      const moved = perm.every((axis, i) => axis === i) ? expanded : movesNothing(shape, perm) ? reshaped(expanded, permute(shape, perm)) : lazy.transpose(expanded, perm);
      forms.set(key, (form = constantOf(forms.size === 0 ? value.name : `${value.name}:${forms.size}`, moved, quantization)));
    }
    return form;
  }
}

export function constantOf(name: string, content: Tensor, quantization?: Quantization): TfTensor {
  return { name, dtype: content.dtype, shape: content.shape, content, ...(quantization && { quantization }) };
}

/** Keeps small tensors in memory. */
export function reshaped(tensor: Tensor, shape: readonly number[]): Tensor {
  return tensor.kind === 'dense' ? new DenseTensor(tensor.dtype, shape, (tensor as DenseTensor).bytes) : lazy.reshape(tensor, shape);
}

export function quantizationOf(tensor: TfTensor): { quantization?: Quantization } {
  return tensor.quantization ? { quantization: tensor.quantization } : {};
}

