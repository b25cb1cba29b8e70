/** What a rewrite is: operators it starts at, and one function that looks and rewrites. */
import type { Node } from '../graph/node.js';
import type { OpName } from '../ops/lookup.js';
import type { Rewriter } from './rewriter.js';

/**
 * `clean` removes and folds; `fuse` finds the larger operators that exporters spell out, before `merge` folds constants
 * into weights and would disturb their patterns. A phase runs to its fixpoint, then again with the next one added.
 */
export type RulePhase = 'clean' | 'fuse' | 'merge';

export interface Rule {
  readonly name: string;
  readonly phase: RulePhase;
  /** Operators at which it may apply; every one when absent. */
  readonly ops?: readonly OpName[];
  /** It stores new constants, which in a tiny model may take more than what goes. */
  readonly stores?: true;
  /** Rewrites around a node, no attribute of which is the caller's of a function, when the pattern and the condition hold. Gives true when it changed anything. */
  apply(node: Node, context: Rewriter): boolean;
}

/** Which operators a fusion may make: none, those of ai.onnx at the model's opset, or ONNX Runtime's own too. */
export type Fusions = 'none' | 'standard' | 'onnxruntime';
