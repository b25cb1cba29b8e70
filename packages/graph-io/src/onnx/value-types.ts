/** TypeProto to ValueType and back. What has no counterpart stays opaque, byte for byte. */
import { type Dim, type DType, dtypeOfOnnx, dtypes, type TensorType, type ValueType } from '@penjing/core';
import { decodeFields, Budget, newReader } from './decode.js';
import { encodeBytes } from './encode.js';
import { onnxLimits } from '../limits.js';
import { type DimensionProto, type ShapeProto, type TensorTypeProto, type TypeProto, typeSchema } from './schema.js';

export function readType(proto: TypeProto): ValueType {
  return modelled(proto) ?? { kind: 'opaque', bytes: encodeBytes(typeSchema, proto) };
}

function modelled(proto: TypeProto): ValueType | undefined {
  if (proto.extra) return undefined;
  const type = proto.tensor ? tensorOf('tensor', proto.tensor)
    : proto.sparse ? tensorOf('sparse', proto.sparse)
    : proto.sequence ? containerOf('sequence', proto.sequence)
    : proto.optional ? containerOf('optional', proto.optional)
    : proto.map ? mapOf(proto.map)
    : undefined;
  if (type === undefined || proto.denotation === undefined) return type;
  return { ...type, denotation: proto.denotation };
}

function tensorOf(kind: 'tensor' | 'sparse', proto: TensorTypeProto): ValueType | undefined {
  const dtype = dtypeOfOnnx.get(proto.elemType ?? 0);
  if (proto.extra || proto.shape?.extra || (dtype === undefined && proto.elemType)) return undefined;
  const type: TensorType = { kind, ...(dtype !== undefined && { dtype }) };
  if (!proto.shape) return type;
  const dims = proto.shape.dim ?? [];
  const shape: Dim[] = [];
  for (const dim of dims) {
    const size = dimOf(dim);
    if (size === undefined) return undefined;
    shape.push(size);
  }
  const denoted = dims.some((dim) => dim.denotation);
  return { ...type, shape, ...(denoted && { dimDenotations: dims.map((dim) => dim.denotation ?? '') }) };
}

/** undefined: not modelled. */
function dimOf(dim: DimensionProto): Dim | undefined {
  if (dim.extra) return undefined;
  if (dim.param !== undefined) return dim.param;
  if (dim.value === undefined) return null;
  const size = Number(dim.value);
  return Number.isSafeInteger(size) ? size : undefined;
}

function containerOf(kind: 'sequence' | 'optional', proto: NonNullable<TypeProto['sequence']>): ValueType | undefined {
  return proto.extra ? undefined : { kind, of: proto.elemType && readType(proto.elemType) };
}

function mapOf(proto: NonNullable<TypeProto['map']>): ValueType | undefined {
  const key: DType | undefined = dtypeOfOnnx.get(proto.keyType ?? 0);
  if (proto.extra || key === undefined) return undefined;
  return { kind: 'map', key, value: proto.valueType && readType(proto.valueType) };
}

export function writeType(type: ValueType): TypeProto {
  const proto = plainType(type);
  return type.denotation === undefined ? proto : { ...proto, denotation: type.denotation };
}

function plainType(type: ValueType): TypeProto {
  switch (type.kind) {
    case 'tensor': return { tensor: tensorProto(type) };
    case 'sparse': return { sparse: tensorProto(type) };
    case 'sequence': return { sequence: type.of ? { elemType: writeType(type.of) } : {} };
    case 'optional': return { optional: type.of ? { elemType: writeType(type.of) } : {} };
    case 'map': return { map: { keyType: dtypes[type.key].onnx, ...(type.value && { valueType: writeType(type.value) }) } };
    case 'opaque': return decodeType(type.bytes);
  }
}

function tensorProto(type: TensorType & { readonly dimDenotations?: readonly string[] }): TensorTypeProto {
  const shape: ShapeProto | undefined = type.shape && {
    dim: type.shape.map((dim, axis) => dimProto(dim, type.dimDenotations?.[axis])),
  };
  return { ...(type.dtype !== undefined && { elemType: dtypes[type.dtype].onnx }), ...(shape && { shape }) };
}

function dimProto(dim: Dim, denotation: string | undefined): DimensionProto {
  const size: DimensionProto = typeof dim === 'number' ? { value: BigInt(dim) } : dim === null ? {} : { param: dim };
  return denotation ? { ...size, denotation } : size;
}

function decodeType(bytes: Uint8Array): TypeProto {
  const proto: TypeProto = {};
  decodeFields(typeSchema, proto as never, { reader: newReader(bytes), base: 0, budget: new Budget(onnxLimits) }, 0);
  return proto;
}
