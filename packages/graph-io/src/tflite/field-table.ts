/** What a FlatBuffer table holds, as data: the reader and the writer both work on these field tables. */
import type { Tensor } from '@penjing/core';

export type ScalarType = 'bool' | 'int8' | 'uint8' | 'int32' | 'uint32' | 'int64' | 'uint64' | 'float32';
export type ElementType = ScalarType | 'uint16';

/** Bytes of one element. */
export const widths: Readonly<Record<ElementType, number>> = {
  bool: 1, int8: 1, uint8: 1, uint16: 2, int32: 4, uint32: 4, int64: 8, uint64: 8, float32: 4,
};

/** A range of the file. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * A field that reads as R and is written from W. `bytes` is a vector of bytes that is never decoded: a range when read, bytes or a tensor
 * (whose loaded bytes go there) when written. `union` takes two slots: `id` is its type, `id + 1` its table.
 */
export interface Field<R, W = R> {
  readonly id: number;
  readonly kind: 'scalar' | 'scalars' | 'string' | 'bytes' | 'table' | 'tables' | 'union';
  readonly type?: ElementType;
  /** What an absent scalar reads as; a scalar with this value is not written. */
  readonly fallback?: number | boolean;
  readonly of?: AnyTable;
  /** Members by name, in the order of their codes; code 0 is none. */
  readonly members?: Readonly<Record<string, AnyTable>>;
  /** Only in the type. */
  readonly _read?: R;
  readonly _write?: W;
}

export type AnyField = Field<unknown>;

export interface Table<F extends Readonly<Record<string, AnyField>>> {
  readonly name: string;
  readonly fields: F;
}

export type AnyTable = Table<Readonly<Record<string, AnyField>>>;

/** A table as it is read: scalars always, everything else when the file has it. */
export type ReadOf<T> = T extends Table<infer F> ? { -readonly [K in keyof F]: F[K] extends Field<infer R, unknown> ? R : never } : never;
/** A table as it is written: absent fields are left out of the file. */
export type WriteOf<T> = T extends Table<infer F> ? { readonly [K in keyof F]?: (F[K] extends { readonly _write?: infer W } ? W : never) | undefined } : never;

type Members = Readonly<Record<string, AnyTable>>;
export type ReadUnion<M extends Members> = { [K in keyof M]: { readonly type: K; readonly value: ReadOf<M[K]> } }[keyof M];
export type WriteUnion<M extends Members> = { [K in keyof M]: { readonly type: K; readonly value: WriteOf<M[K]> } }[keyof M];

export function table<F extends Readonly<Record<string, AnyField>>>(name: string, fields: F): Table<F> {
  return { name, fields };
}

const scalar = (type: ScalarType) => (id: number, fallback = 0): Field<number> => ({ id, kind: 'scalar', type, fallback });

export const int8 = scalar('int8');
export const uint8 = scalar('uint8');
export const int32 = scalar('int32');
export const uint32 = scalar('uint32');
/** Beyond 2^53 a number is refused, not rounded. */
export const int64 = scalar('int64');
export const uint64 = scalar('uint64');
export const float32 = scalar('float32');
export const bool = (id: number, fallback = false): Field<boolean> => ({ id, kind: 'scalar', type: 'bool', fallback });

type Optional<R, W = R> = Field<R | undefined, W>;

const vector = (type: ElementType) => (id: number): Optional<readonly number[]> => ({ id, kind: 'scalars', type });

export const int32s = vector('int32');
export const int64s = vector('int64');
export const uint16s = vector('uint16');
export const uint8s = vector('uint8');
export const float32s = vector('float32');
export const string = (id: number): Optional<string> => ({ id, kind: 'string' });
export const bytes = (id: number): Optional<ByteRange, Uint8Array | Tensor> => ({ id, kind: 'bytes' });

export const one = <T extends AnyTable>(id: number, of: T): Optional<ReadOf<T>, WriteOf<T>> => ({ id, kind: 'table', of });
export const many = <T extends AnyTable>(id: number, of: T): Optional<readonly ReadOf<T>[], readonly WriteOf<T>[]> => ({ id, kind: 'tables', of });
export const union = <M extends Members>(id: number, members: M): Optional<ReadUnion<M>, WriteUnion<M>> => ({ id, kind: 'union', members });
