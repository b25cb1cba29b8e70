/** Tensors between core's form and the form that crosses threads. */
import { DenseTensor, PenjingError, StringTensor, decodeText, encodeText } from '@penjing/core';
import type { WireTensor } from '../worker/wire-types.js';
import { isPortable } from '../worker/tensors.js';

/** Copies a tensor so that the copy can be given away; the caller's buffer is detached only where `give` is set and it holds nothing else. */
export function toWire(name: string, tensor: DenseTensor | StringTensor, give = false): WireTensor {
  if (tensor.kind === 'string') {
    return { dtype: 'string', shape: tensor.shape, data: tensor.values.map((bytes) => decodeText(bytes)) };
  }
  if (!isPortable(tensor.dtype)) {
    throw new PenjingError('E_UNSUPPORTED', `input ${name} is ${tensor.dtype}, which cannot be given to ONNX Runtime from Node`, {
      hint: 'Give float32 or float16 and let the model cast it.',
    });
  }
  const { buffer, byteOffset, byteLength } = tensor.bytes;
  const whole = give && byteLength === buffer.byteLength;
  return { dtype: tensor.dtype, shape: tensor.shape, data: whole ? (buffer as ArrayBuffer) : (buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength) };
}

export function fromWire({ dtype, shape, data }: WireTensor): DenseTensor | StringTensor {
  if (data instanceof ArrayBuffer) return new DenseTensor(dtype, shape, new Uint8Array(data));
  return new StringTensor(shape, data.map((text) => encodeText(text)));
}

/** The buffers of tensors, to be handed over with them; each once, although two tensors may share one. */
export function buffersOf(tensors: Readonly<Record<string, WireTensor>>): ArrayBuffer[] {
  return [...new Set(Object.values(tensors).flatMap(({ data }) => (data instanceof ArrayBuffer ? [data] : [])))];
}
