/** What a pickle can hold: plain data, and records of objects that nobody ever runs. */
import type { DType } from '@penjing/core';

export type PyValue = null | boolean | number | bigint | string | Uint8Array | PyTuple | PyList | PyDict | PySet | PyGlobal | PyObject | PyStorage | PyTensor;

export class PyTuple {
  readonly kind = 'tuple';
  constructor(readonly items: readonly PyValue[]) {}
}

export class PyList {
  readonly kind = 'list';
  readonly items: PyValue[] = [];
}

const empty: ReadonlyMap<PyValue, PyValue> = new Map();

/** A dict, an OrderedDict, or another class that is one. */
export class PyDict {
  readonly kind = 'dict';
  #entries: Map<PyValue, PyValue> | undefined;

  /** In order of insertion. Numbers, strings and None are keys by value, everything else by identity. */
  get entries(): ReadonlyMap<PyValue, PyValue> {
    return this.#entries ?? empty;
  }

  get(key: string): PyValue | undefined {
    return this.#entries?.get(key);
  }

  set(key: PyValue, value: PyValue): void {
    (this.#entries ??= new Map()).set(key, value);
  }
}

export class PySet {
  readonly kind = 'set';
  readonly items: PyValue[] = [];
}

/** A class or function by name. It is never looked up, let alone called. */
export class PyGlobal {
  readonly kind = 'global';
  constructor(readonly name: string) {}
}

/** An object as its pickle describes it: class, constructor arguments, state. */
export class PyObject {
  readonly kind = 'object';
  state: PyValue = null;
  /** Items and entries, when the class is a list or a dict. */
  readonly items: PyValue[] = [];
  readonly dict = new PyDict();
  constructor(readonly type: string, readonly args: readonly PyValue[] = []) {}

  /** An attribute out of the state; undefined when there is none. */
  get(name: string): PyValue | undefined {
    return isDict(this.state) ? this.state.get(name) : undefined;
  }
}

/** Bytes outside of the pickle. */
export class PyStorage {
  readonly kind = 'storage';
  constructor(
    readonly key: string,
    /** Undefined for bytes without a type. */
    readonly type: StorageType | undefined,
    /** Elements, or bytes without a type. */
    readonly count: number,
    /** Elements of the storage in front of this one, which is a part of it (files before torch 1.6). */
    readonly offset = 0,
  ) {}
}

/** Element type as torch names it; quantized integers are integers here. */
export interface StorageType {
  readonly dtype: DType;
  readonly quantized?: boolean;
}

export type Quantizer =
  | { readonly kind: 'tensor'; readonly scale: number; readonly zeroPoint: number }
  | { readonly kind: 'channel'; readonly scales: PyTensor; readonly zeroPoints: PyTensor; readonly axis: number };

export class PyTensor {
  readonly kind = 'tensor';
  constructor(
    readonly source: StridedSource | DenseSource | SparseSource,
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly quantizer?: Quantizer,
  ) {}
}

export interface StridedSource {
  readonly kind: 'strided';
  readonly storage: PyStorage;
  /** First element. */
  readonly offset: number;
  /** Elements between neighbours along each axis. */
  readonly strides: readonly number[];
}

/** Bytes inside of the pickle, row-major: NumPy arrays. */
export interface DenseSource {
  readonly kind: 'dense';
  readonly bytes: Uint8Array;
}

/** Coordinates (rank, nonzeros) and values (nonzeros). */
export interface SparseSource {
  readonly kind: 'sparse';
  readonly indices: PyTensor;
  readonly values: PyTensor;
}

type Kind = Extract<PyValue, { kind: string }>['kind'];
type OfKind<K extends Kind> = Extract<PyValue, { kind: K }>;

export function isKind<K extends Kind>(value: PyValue | undefined, kind: K): value is OfKind<K> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}

export const isDict = (value: PyValue | undefined): value is PyDict => isKind(value, 'dict');

/** The items of a list, tuple or set. */
export function itemsOf(value: PyValue | undefined): readonly PyValue[] | undefined {
  return isKind(value, 'tuple') || isKind(value, 'list') || isKind(value, 'set') ? value.items : undefined;
}

/** Longer lists of numbers are no shape, no stride, no argument of a module. */
const MAX_NUMBERS = 1024;

/** The numbers of a short list or tuple; undefined when it is anything else. */
export function numbersOf(value: PyValue | undefined): number[] | undefined {
  const items = itemsOf(value);
  if (!items || items.length > MAX_NUMBERS) return undefined;
  const numbers = items.filter((item) => typeof item === 'number');
  return numbers.length === items.length ? numbers : undefined;
}

/** How a value is called in messages. */
export function describe(value: PyValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'None';
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`;
  if (typeof value !== 'object') return typeof value === 'string' ? JSON.stringify(value.slice(0, 60)) : String(value);
  switch (value.kind) {
    case 'global': return value.name;
    case 'object': return `a ${value.type}`;
    default: return `a ${value.kind}`;
  }
}
