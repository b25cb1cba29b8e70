/** What a gradient rule sees of a node. */
import type { DType, Node, PenjingError, Value } from '@penjing/core';
import type { GradientOps } from './ops.js';

export interface GradientContext {
  readonly node: Node;
  readonly ops: GradientOps;
  /** Input that must be there. */
  input(index: number): Value;
  /** An input that may be left out. */
  optional(index: number): Value | undefined;
  output(index?: number): Value;
  /** The gradient of the loss with respect to an output; output 0 when absent. Throws when nothing depends on it: see `gradientOf`. */
  readonly gradient: Value;
  /** The gradient of output `index`; undefined when the loss does not depend on it. */
  gradientOf(index: number): Value | undefined;
  /** The gradient of a value that comes after the node; undefined when the loss does not depend on it. */
  gradientAt(value: Value): Value | undefined;
  /** Whether the gradient of a value is asked for by name: it must be whole then. */
  isTarget(value: Value): boolean;
  /** Nodes of the forward pass that read a value. */
  readers(value: Value): readonly Node[];
  /** Output `index`, which the node is given when it has none yet. */
  require(index: number, dtype: DType): Value;
  /** Lets what reads output `index` read the value that `make` gives instead, where anything reads it; an output of the graph keeps its name. */
  substitute(index: number, make: () => Value): void;
  /** Whether the gradient of an input is wanted. */
  needs(index: number): boolean;
  /** Elements of a small integer input that are known before a run. Throws `E_UNSUPPORTED` otherwise. */
  ints(index: number): readonly number[];
  /** To be thrown: a form of the operator that has no gradient here. */
  unsupported(what: string): PenjingError;
}

/**
 * Reverse-mode differentiation of one operator: nodes that compute the gradients of its inputs from those of its outputs. Functions are called only for
 * inputs whose gradient is wanted; an input without a function has none (integers, masks).
 */
export type GradientRule = (context: GradientContext) => readonly ((() => Value) | undefined)[];
