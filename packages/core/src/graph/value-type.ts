/** The type of a graph value, as TypeProto: what it holds, not what its tensor is. */
import type { DType } from '../dtype.js';
import type { Dim } from '../shape.js';

export interface TensorType {
  readonly kind: 'tensor' | 'sparse';
  /** Absent when only the shape is known. */
  readonly dtype?: DType;
  /** Absent when even the rank is unknown. */
  readonly shape?: readonly Dim[];
}

export interface ContainerType {
  readonly kind: 'sequence' | 'optional';
  readonly of: ValueType | undefined;
}

export interface MapType {
  readonly kind: 'map';
  readonly key: DType;
  readonly value: ValueType | undefined;
}

/** A type this version does not model, carried byte for byte (serialized TypeProto). */
export interface OpaqueType {
  readonly kind: 'opaque';
  readonly bytes: Uint8Array;
}

export type ValueType = (TensorType | ContainerType | MapType | OpaqueType) & {
  /** TypeProto.denotation. */
  readonly denotation?: string;
  /** Dimension denotations by axis, when there are any. */
  readonly dimDenotations?: readonly string[];
};

export function tensorType(dtype?: DType, shape?: readonly Dim[]): TensorType {
  return { kind: 'tensor', ...(dtype === undefined ? {} : { dtype }), ...(shape === undefined ? {} : { shape }) };
}

/** `float32[batch,3,224,?]`. */
export function formatType(type: ValueType | undefined): string {
  if (type === undefined) return '?';
  switch (type.kind) {
    case 'tensor': case 'sparse': {
      const dims = type.shape?.map((dim) => dim ?? '?').join(',');
      return `${type.kind === 'sparse' ? 'sparse ' : ''}${type.dtype ?? '?'}${dims === undefined ? '' : `[${dims}]`}`;
    }
    case 'map': return `map<${type.key},${formatType(type.value)}>`;
    case 'opaque': return 'opaque';
    default: return `${type.kind}<${formatType(type.of)}>`;
  }
}
