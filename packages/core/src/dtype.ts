/**
 * The one table of element types: names, widths and the code each file format gives them.
 * Half and smaller floats are kept as raw bits; sub-byte types are packed, first element in the low bits.
 */
import { PenjingError } from './errors.js';

type ArrayName =
  | 'Float32Array' | 'Float64Array' | 'Int8Array' | 'Int16Array' | 'Int32Array' | 'BigInt64Array'
  | 'Uint8Array' | 'Uint16Array' | 'Uint32Array' | 'BigUint64Array';

export interface DTypeInfo {
  /** Bits per element; 0 for strings, whose size is not fixed. */
  readonly bits: number;
  readonly kind: 'float' | 'int' | 'uint' | 'bool' | 'complex' | 'string';
  /** TensorProto.DataType of ONNX. */
  readonly onnx: number;
  /** Element type of the typed array that views the raw bits. */
  readonly array: ArrayName;
  readonly safetensors?: string;
  readonly torch?: string;
  /** ggml_type of the plain (unblocked) type. */
  readonly gguf?: number;
  /** TensorType of TensorFlow Lite. */
  readonly tflite?: number;
}

// prettier-ignore
const table = {
  float64:        { bits: 64, kind: 'float', onnx: 11, array: 'Float64Array', safetensors: 'F64', torch: 'float64', gguf: 28, tflite: 10 },
  float32:        { bits: 32, kind: 'float', onnx: 1, array: 'Float32Array', safetensors: 'F32', torch: 'float32', gguf: 0, tflite: 0 },
  float16:        { bits: 16, kind: 'float', onnx: 10, array: 'Uint16Array', safetensors: 'F16', torch: 'float16', gguf: 1, tflite: 1 },
  bfloat16:       { bits: 16, kind: 'float', onnx: 16, array: 'Uint16Array', safetensors: 'BF16', torch: 'bfloat16', gguf: 30, tflite: 18 },
  float8e4m3fn:   { bits: 8, kind: 'float', onnx: 17, array: 'Uint8Array', safetensors: 'F8_E4M3', torch: 'float8_e4m3fn' },
  float8e4m3fnuz: { bits: 8, kind: 'float', onnx: 18, array: 'Uint8Array', safetensors: 'F8_E4M3FNUZ', torch: 'float8_e4m3fnuz' },
  float8e5m2:     { bits: 8, kind: 'float', onnx: 19, array: 'Uint8Array', safetensors: 'F8_E5M2', torch: 'float8_e5m2' },
  float8e5m2fnuz: { bits: 8, kind: 'float', onnx: 20, array: 'Uint8Array', safetensors: 'F8_E5M2FNUZ', torch: 'float8_e5m2fnuz' },
  float8e8m0:     { bits: 8, kind: 'float', onnx: 24, array: 'Uint8Array', safetensors: 'F8_E8M0', torch: 'float8_e8m0fnu' },
  float4e2m1:     { bits: 4, kind: 'float', onnx: 23, array: 'Uint8Array', safetensors: 'F4', torch: 'float4_e2m1fn_x2' },
  int64:          { bits: 64, kind: 'int', onnx: 7, array: 'BigInt64Array', safetensors: 'I64', torch: 'int64', gguf: 27, tflite: 4 },
  int32:          { bits: 32, kind: 'int', onnx: 6, array: 'Int32Array', safetensors: 'I32', torch: 'int32', gguf: 26, tflite: 2 },
  int16:          { bits: 16, kind: 'int', onnx: 5, array: 'Int16Array', safetensors: 'I16', torch: 'int16', gguf: 25, tflite: 7 },
  int8:           { bits: 8, kind: 'int', onnx: 3, array: 'Int8Array', safetensors: 'I8', torch: 'int8', gguf: 24, tflite: 9 },
  int4:           { bits: 4, kind: 'int', onnx: 22, array: 'Uint8Array', tflite: 17 },
  int2:           { bits: 2, kind: 'int', onnx: 26, array: 'Uint8Array', tflite: 19 },
  uint64:         { bits: 64, kind: 'uint', onnx: 13, array: 'BigUint64Array', safetensors: 'U64', torch: 'uint64', tflite: 12 },
  uint32:         { bits: 32, kind: 'uint', onnx: 12, array: 'Uint32Array', safetensors: 'U32', torch: 'uint32', tflite: 15 },
  uint16:         { bits: 16, kind: 'uint', onnx: 4, array: 'Uint16Array', safetensors: 'U16', torch: 'uint16', tflite: 16 },
  uint8:          { bits: 8, kind: 'uint', onnx: 2, array: 'Uint8Array', safetensors: 'U8', torch: 'uint8', tflite: 3 },
  uint4:          { bits: 4, kind: 'uint', onnx: 21, array: 'Uint8Array', tflite: 20 },
  uint2:          { bits: 2, kind: 'uint', onnx: 25, array: 'Uint8Array' },
  bool:           { bits: 8, kind: 'bool', onnx: 9, array: 'Uint8Array', safetensors: 'BOOL', torch: 'bool', tflite: 6 },
  complex64:      { bits: 64, kind: 'complex', onnx: 14, array: 'Float32Array', safetensors: 'C64', torch: 'complex64', tflite: 8 },
  complex128:     { bits: 128, kind: 'complex', onnx: 15, array: 'Float64Array', torch: 'complex128', tflite: 11 },
  string:         { bits: 0, kind: 'string', onnx: 8, array: 'Uint8Array', tflite: 5 },
} as const satisfies Record<string, DTypeInfo>;

/** Name of an element type, spelled as ONNX and ONNX Runtime spell it. */
export type DType = keyof typeof table;

export const dtypes: Readonly<Record<DType, DTypeInfo>> = table;

export const dtypeNames = Object.keys(table) as readonly DType[];

function inverse<K>(key: (info: DTypeInfo) => K | undefined): ReadonlyMap<K, DType> {
  const map = new Map<K, DType>();
  for (const name of dtypeNames) {
    const code = key(dtypes[name]);
    if (code !== undefined) map.set(code, name);
  }
  return map;
}

/** DType by TensorProto.DataType. */
export const dtypeOfOnnx = inverse((info) => info.onnx);
/** DType by safetensors `dtype` string. */
export const dtypeOfSafetensors = inverse((info) => info.safetensors);

/** A view of `bytes` with the typed array of `dtype`; copies only when the bytes are not aligned for it. */
export function typedView(dtype: DType, bytes: Uint8Array): TypedArray {
  const ctor = constructors[dtypes[dtype].array];
  const width = ctor.BYTES_PER_ELEMENT;
  // Not bytes.slice(): that of a Node Buffer is a view at the same address.
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
  return new ctor(aligned.buffer as ArrayBuffer, aligned.byteOffset, Math.floor(aligned.byteLength / width));
}

/** The raw bytes behind a typed array. */
export function bytesOf(array: TypedArray): Uint8Array {
  return new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
}

export type TypedArray =
  | Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | BigInt64Array
  | Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

const constructors = {
  Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, BigInt64Array,
  Uint8Array, Uint16Array, Uint32Array, BigUint64Array,
} as const;

/** Bytes that `count` elements take when packed without padding between rows. */
export function byteSize(dtype: DType, count: number): number {
  const { bits } = dtypes[dtype];
  if (bits === 0) throw new PenjingError('E_DTYPE', 'string tensors have no fixed byte size');
  const bytes = bits >= 8 ? count * (bits / 8) : Math.ceil((count * bits) / 8);
  if (!Number.isSafeInteger(bytes)) {
    throw new PenjingError('E_SHAPE', `${count} elements of ${dtype} exceed the addressable size`);
  }
  return bytes;
}
