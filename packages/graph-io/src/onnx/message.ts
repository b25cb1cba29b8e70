/** Field tables: what a protobuf message holds, as data. The codec in `decode`, `walk` and `encode` works on them. */
import type { Tensor } from '@penjing/core';

/** Bytes of a tensor: a range of the file when read, bytes or a tensor to be loaded when written. */
export interface Payload {
  readonly length: number;
  /** Absolute offset in the file; -1 when the bytes do not stand in it in one piece. */
  readonly offset: number;
  /** Given when they are few, or when there is no offset. */
  readonly bytes?: Uint8Array;
  /** To be written: the tensor whose loaded bytes go here. */
  readonly tensor?: Tensor;
  readonly name?: string;
}

/** Fields that a message keeps undecoded, tags included, in the order of the file. */
export interface Extra {
  extra?: Uint8Array[];
}

export type ScalarKind = 'int' | 'bigint' | 'bool' | 'float' | 'double' | 'string' | 'bytes';
export type FieldKind = ScalarKind | 'message' | 'payload' | 'chunks';

/** A field of type V. `wire` is the wire type of one element, `many` marks repeated fields. */
export interface Field<V> {
  readonly id: number;
  readonly kind: FieldKind;
  readonly wire: 0 | 1 | 2 | 5;
  readonly many: boolean;
  /** Setting one member of a oneof clears the others. */
  readonly oneof?: string;
  readonly of?: () => AnySchema;
  /** Only in the type. */
  readonly _value?: V;
}

export interface NamedField extends Field<unknown> {
  readonly name: string;
}

export interface Schema<T> {
  readonly name: string;
  /** Ascending by number: the order of writing. */
  readonly fields: readonly NamedField[];
  readonly byId: ReadonlyMap<number, NamedField>;
  readonly _message?: T;
}

export type AnySchema = Schema<object>;
export type AnyMessage = Record<string, unknown> & Extra;

type Fields<T> = { readonly [K in Exclude<keyof T, 'extra'>]-?: Field<NonNullable<T[K]>> };

export function defineMessage<T extends object>(name: string, table: Fields<T>): Schema<T> {
  const fields = Object.entries<Field<unknown>>(table)
    .map(([name, field]) => ({ ...field, name }))
    .sort((a, b) => a.id - b.id);
  return { name, fields, byId: new Map(fields.map((field) => [field.id, field])) };
}

const scalar = <V>(kind: ScalarKind, wire: 0 | 1 | 2 | 5) => (id: number): Field<V> => ({ id, kind, wire, many: false });

/** int32, int64 or enum that must be a safe integer. */
export const int = scalar<number>('int', 0);
/** int64 of any value. */
export const bigint = scalar<bigint>('bigint', 0);
export const bool = scalar<boolean>('bool', 0);
export const float = scalar<number>('float', 5);
export const double = scalar<number>('double', 1);
export const string = scalar<string>('string', 2);
export const bytes = scalar<Uint8Array>('bytes', 2);

export const many = <V>(field: Field<V>): Field<V[]> => ({ id: field.id, kind: field.kind, wire: field.wire, many: true, ...(field.of && { of: field.of }) });
export const oneof = <V>(group: string, field: Field<V>): Field<V> => ({ ...field, oneof: group });

export const message = <T extends object>(id: number, of: () => Schema<T>): Field<T> => ({
  id, kind: 'message', wire: 2, many: false, of: of,
});

/** Bytes that are never read while decoding. */
export const payload = (id: number): Field<Payload> => ({ id, kind: 'payload', wire: 2, many: false });

/** A list of byte strings that are never read while decoding, in their order. */
export const payloads = (id: number): Field<Payload[]> => ({ id, kind: 'chunks', wire: 2, many: true });

/** Packed numbers that are not decoded: one chunk per occurrence; unpacked elements are gathered in chunks. */
export const chunks = (id: number, element: 'varint' | 'fixed32' | 'fixed64'): Field<Payload[]> => ({
  id, kind: 'chunks', wire: ({ varint: 0, fixed32: 5, fixed64: 1 } as const)[element], many: true,
});
