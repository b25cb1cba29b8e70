/** What the decomposition of a fused operator sees of its node. */
import type { Node, PenjingError, Value } from '@penjing/core';
import type { GradientOps } from '../gradient/ops.js';

export interface DecompositionContext {
  readonly node: Node;
  /** Nodes made by it stand before the fused one. */
  readonly ops: GradientOps;
  /** Input that must be there. */
  input(index: number): Value;
  /** An input that may be left out. */
  optional(index: number): Value | undefined;
  /** Whether anything reads an output. */
  reads(index: number): boolean;
  /** What several nodes of a model need, made before the first of them: masks, tables. `of`: what it is made of, `key`: how. */
  shared(of: readonly (Value | string | number | undefined)[], key: string, make: () => Value): Value;
  /** To be thrown: a form of the operator that stays as it is, and then has no gradient. */
  unsupported(what: string): PenjingError;
}

/** The outputs of one fused operator by operators that have gradients; undefined for outputs that nothing reads. */
export type Decomposition = (context: DecompositionContext) => readonly (Value | undefined)[];
