/** What is said of an operator that computes on integers. */
import type { ValueRange } from '@penjing/core/calibrate';
import type { Node } from '@penjing/core';

interface Common {
  /** Inputs that must be on grids; every one that is not a weight or a bias when absent. */
  readonly activations?: readonly number[];
  /** Why this node cannot, or undefined. */
  readonly refuse?: (node: Node, scheme: { readonly activations: 'uint8' | 'int8' }) => string | undefined;
}

/** Multiplies by a weight: what quantization is for. */
export interface ProductRule extends Common {
  readonly kind: 'product';
  readonly weight: number;
  /** The axis of the weight that has a scale for each index; undefined: one scale for all. */
  readonly axis: (node: Node) => number | undefined;
  readonly bias?: number;
  /** The kernel gives integers only; otherwise it gives floats where the readers want them, which loses less. */
  readonly output: 'integer' | 'either';
  /** An addition of a constant behind it is its bias. */
  readonly addsBias?: boolean;
}

/** Computes from grids to a grid of its own. */
export interface ComputeRule extends Common {
  readonly kind: 'compute';
  /** Of its results, whatever the input; calibrated when absent. */
  readonly range?: ValueRange;
}

/** Moves codes: results are on the grid of input 0. */
export interface MoveRule extends Common {
  readonly kind: 'move';
}

export type IntegerRule = ProductRule | ComputeRule | MoveRule;

/** Operators by name, `domain.` before those that are not of ai.onnx. */
export type Policy = Readonly<Record<string, IntegerRule>>;

export function ruleOf(policy: Policy, node: Node): IntegerRule | undefined {
  const name = node.domain === '' ? node.opType : `${node.domain}.${node.opType}`;
  return Object.hasOwn(policy, name) ? policy[name] : undefined;
}
