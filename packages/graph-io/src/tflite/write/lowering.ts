/** What the table of operators says of each one. */
import type { Node } from '@penjing/core';
import type { LayoutWish } from './assign-layouts.js';
import { hasInput, type LowerContext } from './lower-context.js';

export interface Lowering {
  /** Order of the axes of its images; ONNX's own by default. */
  readonly layout?: LayoutWish | ((node: Node) => LayoutWish);
  /** Inputs that are read while the model runs; all by default. Others only say how, and must be constants or have done their work in shape inference. */
  readonly reads?: readonly number[];
  readonly lower: (context: LowerContext) => void;
  /** A restriction, for the table in the documentation. */
  readonly note?: string;
}

/** Indices of the inputs that are read while the model runs. */
export function readIndices(node: Node, lowering: Lowering): number[] {
  const indices = lowering.reads ?? node.inputs.map((_, i) => i);
  return indices.filter((index) => hasInput(node, index));
}
