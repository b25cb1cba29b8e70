/** Tensors between their wire form and ONNX Runtime's, inside the worker. */
import { type DType, type DenseTensor, PenjingError, type StringTensor, decodeText, dtypes, typedView } from '@penjing/core';
import type * as ort from 'onnxruntime-node';
import type { WireTensor, WireTensors } from './wire-types.js';

/** The part of onnxruntime-node (or onnxruntime-web) that the worker uses. */
export type OrtApi = Pick<typeof ort, 'InferenceSession' | 'Tensor'>;
export type OrtTensor = ort.Tensor;
export type OrtSession = ort.InferenceSession;

/** Element types the binding can carry; bfloat16, float8 and sub-byte types stay inside the graph. */
const portable: ReadonlySet<string> = new Set<ort.Tensor.Type>([
  'float32', 'float64', 'float16', 'int8', 'int16', 'int32', 'int64',
  'uint8', 'uint16', 'uint32', 'uint64', 'bool', 'string',
]);

/** True for element types that tensors given to or taken from ONNX Runtime can have. */
export function isPortable(dtype: DType): boolean {
  return portable.has(dtype);
}

export function toOrt(api: OrtApi, { dtype, shape, data }: WireTensor): OrtTensor {
  if (!(data instanceof ArrayBuffer)) return new api.Tensor('string', data, shape);
  const view = typedView(dtype, new Uint8Array(data));
  return new api.Tensor(dtype as 'float32', view as Float32Array, shape);
}

export function allToOrt(api: OrtApi, feeds: WireTensors): Record<string, OrtTensor> {
  return Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toOrt(api, tensor)]));
}

/** A tensor of the same thread, without a copy. */
export function toOrtView(api: OrtApi, tensor: DenseTensor | StringTensor): OrtTensor {
  if (tensor.kind === 'string') return new api.Tensor('string', tensor.values.map((bytes) => decodeText(bytes)), tensor.shape);
  return new api.Tensor(tensor.dtype as 'float32', tensor.data as Float32Array, tensor.shape);
}

/** A tensor of the run as bytes that can be transferred; copies only when the buffer is shared with something else. */
export function fromOrt(name: string, tensor: OrtTensor, transfer: ArrayBuffer[]): WireTensor {
  if (!portable.has(tensor.type)) {
    throw new PenjingError('E_UNSUPPORTED', `output ${name} is ${tensor.type}, which ONNX Runtime's Node binding cannot hand over`, {
      hint: 'Add a Cast to float32 before this output, or ask for other outputs.',
    });
  }
  const dtype = tensor.type as DType;
  const shape = [...tensor.dims];
  if (dtype === 'string') return { dtype, shape, data: [...(tensor.data as string[])] };
  const { buffer, byteOffset, byteLength } = tensor.data as Uint8Array<ArrayBuffer>;
  const data = byteOffset === 0 && byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength);
  transfer.push(data);
  return { dtype, shape, data };
}

/**
 * The tensor as the binding can read it. onnxruntime-node 1.30 refuses Float16Array ("not enough space: expected 8, got 0"),
 * which its own Tensor class makes of every float16 tensor where that type exists (Node 24); the same bits as Uint16Array pass.
 */
export function feedable(tensor: OrtTensor): OrtTensor {
  if (tensor.type !== 'float16' || tensor.data instanceof Uint16Array) return tensor;
  const { buffer, byteOffset, length } = tensor.data as unknown as Uint16Array<ArrayBuffer>;
  return Object.defineProperty(tensor, 'data', { value: new Uint16Array(buffer, byteOffset, length) });
}

/** Bytes per element of a portable dtype; strings have none. */
export function elementBytes(dtype: DType): number {
  return dtypes[dtype].bits / 8;
}
