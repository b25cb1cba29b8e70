/**
 * What a TensorProto says beside its data: a name, a comment, metadata. Tensors of core are anonymous, so it is kept
 * beside them and goes with them into a new file; a tensor that replaces another has none.
 */
import type { Tensor } from '@penjing/core';
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
