/** NumPy arrays and scalars inside of a pickle, as far as checkpoints have them. */
import { type DType, byteSize, elementCount, PenjingError, typedView } from '@penjing/core';
import { describe, isKind, itemsOf, numbersOf, PyObject, PyTensor, type PyValue } from './values.js';

type Builder = (args: readonly PyValue[], name: string) => PyValue;

/** By kind and width of NumPy's type strings. */
const dtypeOfCode: Readonly<Record<string, DType>> = {
  f8: 'float64', f4: 'float32', f2: 'float16', i8: 'int64', i4: 'int32', i2: 'int16', i1: 'int8', u8: 'uint64', u4: 'uint32', u2: 'uint16', u1: 'uint8', b1: 'bool',
  c8: 'complex64', c16: 'complex128',
};

/** numpy.core.multiarray.scalar(dtype, bytes): a number where it fits one. */
const scalar: Builder = ([type, bytes]) => {
  const dtype = dtypeOf(type);
  if (!dtype || !(bytes instanceof Uint8Array) || bytes.byteLength !== byteSize(dtype, 1)) return new PyObject('numpy.generic', [type ?? null]);
  if (dtype === 'bool') return bytes[0] !== 0;
  if (dtype === 'float16' || dtype.startsWith('complex')) return new PyObject('numpy.generic', [type ?? null]);
  return typedView(dtype, bytes)[0] as number | bigint;
};

/** numpy._core.numeric._frombuffer(bytes, dtype, shape, order). */
const fromBuffer: Builder = ([bytes, type, shape, order]) => {
  const array = new PyObject('numpy.ndarray');
  array.state = new PyObject('', [1, shape ?? null, type ?? null, order === 'F', bytes ?? null]);
  return array;
};

const array: Builder = () => new PyObject('numpy.ndarray');
const dtype: Builder = (args) => new PyObject('numpy.dtype', args);

export const numpyBuilders: Readonly<Record<string, Builder>> = {
  'numpy.core.multiarray._reconstruct': array,
  'numpy._core.multiarray._reconstruct': array,
  'numpy.core.multiarray.scalar': scalar,
  'numpy._core.multiarray.scalar': scalar,
  'numpy.core.numeric._frombuffer': fromBuffer,
  'numpy._core.numeric._frombuffer': fromBuffer,
  'numpy.ndarray': array,
  'numpy.dtype': dtype,
};

/** The array in a record of one; undefined for any other record. Throws `E_DTYPE` for arrays that are no plain numbers. */
export function numpyArray(value: PyObject): PyTensor | undefined {
  if (value.type !== 'numpy.ndarray') return undefined;
  const parts = isKind(value.state, 'object') ? value.state.args : itemsOf(value.state);
  const [, size, type, fortran, bytes] = parts ?? [];
  const shape = numbersOf(size);
  const dtype = dtypeOf(type);
  if (!dtype || !shape || !(bytes instanceof Uint8Array)) {
    throw new PenjingError('E_DTYPE', `a NumPy array of ${describe(isKind(type, 'object') ? type.args[0] : type)} is not read`, { hint: 'Save tensors of numbers.' });
  }
  if (fortran === true && shape.length > 1) throw new PenjingError('E_DTYPE', 'a NumPy array in Fortran order is not read', { hint: 'Save numpy.ascontiguousarray(x).' });
  if (bytes.byteLength !== byteSize(dtype, elementCount(shape))) {
    throw new PenjingError('E_TRUNCATED', `a NumPy array ${dtype} [${shape.join(', ')}] comes with ${bytes.byteLength} bytes`);
  }
  return new PyTensor({ kind: 'dense', bytes }, dtype, shape);
}

/** Little-endian only; undefined for others, and for types that are no numbers. */
function dtypeOf(value: PyValue | undefined): DType | undefined {
  if (!isKind(value, 'object') || value.type !== 'numpy.dtype') return undefined;
  const [code] = value.args;
  if (typeof code !== 'string' || code.startsWith('>') || itemsOf(value.state)?.[1] === '>') return undefined;
  return dtypeOfCode[code.replace(/^[<|=]/, '')];
}

