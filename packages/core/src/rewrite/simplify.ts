/** The pass that makes a graph smaller without changing what it computes. */
import type { Engine } from '../engine.js';
import { PenjingError } from '../errors.js';
import { assertSound } from '../graph/check.js';
import type { Model } from '../graph/model.js';
import { modelGraphs } from '../graph/traverse.js';
import type { Pass, PassContext, PassResult } from '../pass.js';
import { rewriteToFixpoint } from './driver.js';
import type { Fusions } from './rule.js';
import { rules } from './rules.js';
import { upgradeOpset } from './upgrade-opset.js';

export interface SimplifyOptions {
  /** Computes what depends on constants only; that of the pass context when absent. Without one such nodes stay. */
  readonly engine?: Engine;
  /** Operators that fusions may make; `standard` when absent. */
  readonly fusions?: Fusions;
  /** Raises ai.onnx to this version first, see `upgradeOpset`; a model that is younger stays. */
  readonly opset?: number;
  /** Only these rules, by name; see `simplifyRules`. */
  readonly only?: readonly string[];
  /** All rules but these. */
  readonly skip?: readonly string[];
  /** Inputs with a default stay inputs, as callers may override them; otherwise their defaults become constants. */
  readonly keepDefaults?: boolean;
  /** Folding may store more bytes than it removes. */
  readonly allowGrowth?: boolean;
}

export interface SimplifyResult extends PassResult {
  /** Nodes of all graphs and functions, Constant nodes aside. */
  readonly nodesBefore: number;
  readonly nodesAfter: number;
  /** How often each rule applied. */
  readonly applied: Readonly<Record<string, number>>;
}

export interface SimplifyPass extends Pass {
  run(model: Model, context: PassContext): Promise<SimplifyResult>;
}

/** Names of the rules, in the order in which they are tried; `fold`, `known`, `common`, `weights`, `dead` are the steps over whole graphs. */
export const simplifyRules: readonly string[] = ['known', 'fold', 'common', 'weights', 'dead', ...rules.map((rule) => rule.name)];

/**
 * Folds constants, infers shapes, removes what is dead, double or without effect, folds scales and shifts into weights
 * and finds the operators that exporters spell out, to a fixpoint, in subgraphs and function bodies too. Names and order
 * of graph outputs stay, and the file never grows unless `allowGrowth` says so. Outputs are equal up to the rounding
 * of float32. Throws `E_OPTION` for an unknown rule name,
 * `E_OPSET` where the operator set cannot be raised.
 */
export function simplify(options: SimplifyOptions = {}): SimplifyPass {
  for (const name of [...(options.only ?? []), ...(options.skip ?? [])]) {
    if (!simplifyRules.includes(name)) throw new PenjingError('E_OPTION', `simplify has no rule ${name}`, { hint: `Its rules are ${simplifyRules.join(', ')}.` });
  }
  const enabled = (name: string): boolean => (options.only?.includes(name) ?? true) && !options.skip?.includes(name);
  return {
    name: 'simplify',
    async run(original, context) {
      const nodesBefore = countNodes(original);
      const raised = options.opset !== undefined && options.opset > (original.opset() ?? 1);
      if (raised) upgradeOpset(original, options.opset);
      const { model, applied, warnings, records } = await rewriteToFixpoint(original, {
        engine: options.engine ?? context.engine,
        fusions: options.fusions ?? 'standard',
        rules: rules.filter((rule) => enabled(rule.name)),
        enabled,
        keepDefaults: options.keepDefaults ?? false,
        allowGrowth: options.allowGrowth ?? false,
        signal: context.signal,
        onProgress: context.onProgress,
      });
      const modified = raised || Object.keys(applied).length > 0;
      if (modified) model.origin = undefined;
      assertSound(model);
      return { model, modified, records, warnings, nodesBefore, nodesAfter: countNodes(model), applied };
    },
  };
}

function countNodes(model: Model): number {
  let count = 0;
  for (const graph of modelGraphs(model)) for (const node of graph.nodes()) if (node.opType !== 'Constant' || node.domain !== '') count++;
  return count;
}
