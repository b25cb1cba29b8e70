/**
 * What a file says that core has no place for, kept beside the objects so that an unchanged model is written as it
 * was: the name, comment and metadata of a TensorProto (tensors are anonymous), and the order of value_info.
 * An object that takes the place of another has none.
 */
import type { Tensor, Value } from '@penjing/core';
import type { EntryProto } from './schema.js';

export interface TensorLabel {
  readonly name?: string;
  readonly doc?: string;
  readonly metadata?: EntryProto[];
  readonly extra?: Uint8Array[];
}

const labels = new WeakMap<Tensor, TensorLabel>();

export function setLabel(tensor: Tensor, label: TensorLabel): void {
  if (label.name || label.doc || label.metadata || label.extra) labels.set(tensor, label);
}

export const labelOf = (tensor: Tensor): TensorLabel => labels.get(tensor) ?? {};

const places = new WeakMap<Value, number>();

/** Remembers that a value was listed in value_info, and where. */
export function setListed(value: Value, place: number): void {
  places.set(value, place);
}

export const listedAt = (value: Value): number | undefined => places.get(value);
