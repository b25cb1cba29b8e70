/** Arrays of data as the feeds of one run: found by name, with a batch of one, in the element type of the input. */
import { type DenseTensor, DenseTensor as Dense, type DType, dtypes, type Feeds, PenjingError } from '@penjing/core';
import { plainKernels } from '@penjing/kernels';
import { describeShape, type ModelInput, type ModelInputs, onlyInput } from './model-inputs.js';

/** Throws `E_DATA` for an input that the data misses, or has in another shape. */
export function arrayFeeds(inputs: ModelInputs, tensors: ReadonlyMap<string, DenseTensor>, where: string): Feeds {
  if (tensors.has('') && tensors.size === 1) {
    const input = onlyInput(inputs, 'arrays without names');
    return { [input.name]: fitted(input, tensors.get('')!, where) };
  }
  return Object.fromEntries(inputs.all.map((input, i) => {
    // Tensors of ONNX without names are those of the inputs in order.
    const tensor = tensors.get(input.name) ?? tensors.get(String(i));
    if (!tensor) throw new PenjingError('E_DATA', `${where} misses the input ${input.name}: it has ${[...tensors.keys()].join(', ')}`, { hint: `Every sample gives ${inputs.all.map(({ name }) => name).join(', ')}.` });
    return [input.name, fitted(input, tensor, where)];
  }));
}

function fitted(input: ModelInput, tensor: DenseTensor, where: string): DenseTensor {
  const shape = fitShape(input, tensor.shape);
  if (!shape) throw new PenjingError('E_DATA', `${where} has ${input.name} as [${tensor.shape.join(', ')}], the model reads ${describeShape(input.shape)}`, { hint: 'A batch of one may be left out; everything else must agree.' });
  return castTo(input, tensor, shape, where);
}

/** The shape itself, or with a batch of one before it. */
function fitShape({ shape: wanted }: ModelInput, shape: readonly number[]): readonly number[] | undefined {
  if (!wanted) return shape;
  const candidate = wanted.length === shape.length + 1 ? [1, ...shape] : shape;
  const agrees = candidate.length === wanted.length && wanted.every((dim, i) => typeof dim !== 'number' || dim === candidate[i]);
  return agrees ? candidate : undefined;
}

function castTo({ name, dtype }: ModelInput, tensor: DenseTensor, shape: readonly number[], where: string): DenseTensor {
  if (tensor.dtype === dtype) return new Dense(dtype, shape, tensor.bytes);
  const values = numbersOf(tensor);
  const { kind, bits } = dtypes[dtype];
  if (kind !== 'float') {
    const [low, high] = kind === 'bool' ? [0, 1] : kind === 'uint' ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
    const wrong = values.find((value) => !Number.isInteger(value) || value < low || value > high);
    if (wrong !== undefined) throw new PenjingError('E_DATA', `${where} has ${wrong} in ${name}, which is ${dtype}`);
  }
  return numbersAs(dtype, shape, values);
}

/** Numbers as a tensor of any type that models read. Throws `E_DTYPE` for others. */
export function numbersAs(dtype: DType, shape: readonly number[], values: Float64Array | Float32Array): DenseTensor {
  if (dtype === 'float16' || dtype === 'bfloat16') {
    const bits = new Uint16Array(values.length);
    plainKernels().fromFloat32(dtype, Float32Array.from(values), bits);
    return Dense.of(dtype, shape, bits);
  }
  const make = arrays[dtype];
  if (!make) throw new PenjingError('E_DTYPE', `data cannot be fed as ${dtype}`);
  return Dense.of(dtype, shape, make(values));
}

type Numbers = Float64Array | Float32Array;
const big = (values: Numbers): bigint[] => Array.from(values, (value) => BigInt(Math.trunc(value)));
const arrays: { readonly [Name in DType]?: (values: Numbers) => Parameters<typeof Dense.of>[2] } = {
  float32: (values) => (values instanceof Float32Array ? values : Float32Array.from(values)),
  float64: (values) => Float64Array.from(values),
  int8: (values) => Int8Array.from(values), int16: (values) => Int16Array.from(values), int32: (values) => Int32Array.from(values),
  uint8: (values) => Uint8Array.from(values), uint16: (values) => Uint16Array.from(values), uint32: (values) => Uint32Array.from(values),
  bool: (values) => Uint8Array.from(values, (value) => (value === 0 ? 0 : 1)),
  int64: (values) => BigInt64Array.from(big(values)), uint64: (values) => BigUint64Array.from(big(values)),
};

function numbersOf(tensor: DenseTensor): Float64Array {
  if (tensor.dtype === 'float16') {
    const floats = new Float32Array(tensor.byteLength / 2);
    plainKernels().toFloat32('float16', tensor.data, floats);
    return Float64Array.from(floats);
  }
  return Float64Array.from(tensor.data as ArrayLike<number | bigint> as ArrayLike<number>, Number);
}
