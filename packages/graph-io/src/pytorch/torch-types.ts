/** Names of torch's element types, as classes of storages and as dtypes. */
import type { DType } from '@penjing/core';
import type { StorageType } from './values.js';

/** By the class of a storage, in the modules `torch` and `torch.cuda`. Packed 4- and 2-bit integers are not here. */
export const storageTypes: Readonly<Record<string, StorageType>> = {
  DoubleStorage: { dtype: 'float64' },
  FloatStorage: { dtype: 'float32' },
  HalfStorage: { dtype: 'float16' },
  BFloat16Storage: { dtype: 'bfloat16' },
  LongStorage: { dtype: 'int64' },
  IntStorage: { dtype: 'int32' },
  ShortStorage: { dtype: 'int16' },
  CharStorage: { dtype: 'int8' },
  ByteStorage: { dtype: 'uint8' },
  BoolStorage: { dtype: 'bool' },
  ComplexFloatStorage: { dtype: 'complex64' },
  ComplexDoubleStorage: { dtype: 'complex128' },
  QInt8Storage: { dtype: 'int8', quantized: true },
  QUInt8Storage: { dtype: 'uint8', quantized: true },
  QInt32Storage: { dtype: 'int32', quantized: true },
};

/** By the name behind `torch.`, older names included. */
export const torchDtypes: Readonly<Record<string, DType>> = {
  float64: 'float64', double: 'float64', float32: 'float32', float: 'float32', float16: 'float16', half: 'float16', bfloat16: 'bfloat16',
  float8_e4m3fn: 'float8e4m3fn', float8_e4m3fnuz: 'float8e4m3fnuz', float8_e5m2: 'float8e5m2', float8_e5m2fnuz: 'float8e5m2fnuz', float8_e8m0fnu: 'float8e8m0',
  int64: 'int64', long: 'int64', int32: 'int32', int: 'int32', int16: 'int16', short: 'int16', int8: 'int8',
  uint64: 'uint64', uint32: 'uint32', uint16: 'uint16', uint8: 'uint8', bool: 'bool',
  complex64: 'complex64', cfloat: 'complex64', complex128: 'complex128', cdouble: 'complex128',
};
