/** Rewrites a model for a later operator set: a table of what changed, operator by operator and version by version. */
import { PenjingError } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { Model } from '../graph/model.js';
import type { Node } from '../graph/node.js';
import { allGraphs } from '../graph/traverse.js';
import { inferFacts } from '../infer/infer-shapes.js';
import { isPlain, Rewriter } from './rewriter.js';
import { freezeInputs } from './scopes.js';
import { adaptersOf, type OpsetAdapter } from './opset-adapters.js';

/** Older models broadcast by attributes and name their axes otherwise; hardly any is left. */
export const OLDEST_OPSET = 7;
export const NEWEST_OPSET = 25;

/** The version of the file format that came with an operator set, from the release table of ONNX. */
const irVersions: readonly (readonly [opset: number, ir: number])[] = [[25, 13], [24, 12], [23, 11], [21, 10], [19, 9], [15, 8], [12, 7], [11, 6], [10, 5], [9, 4], [7, 3]];

export interface OpsetUpgrade {
  /** ai.onnx before. */
  readonly from: number;
  readonly to: number;
  /** Nodes that had to be written otherwise, by operator. */
  readonly adapted: Readonly<Record<string, number>>;
}

/**
 * Raises ai.onnx to `target` in place, in subgraphs and function bodies too; other domains stay. Throws `E_OPSET` for a target
 * outside 7…25 or below the model's own, and for nodes that cannot be rewritten, naming each; the model is then as it was.
 * Source: the operator changelog of ONNX.
 */
export function upgradeOpset(model: Model, target: number): OpsetUpgrade {
  const from = model.opset() ?? 1;
  if (!Number.isInteger(target) || target > NEWEST_OPSET || target < OLDEST_OPSET) {
    throw new PenjingError('E_OPSET', `opset ${target} is none of ${OLDEST_OPSET} to ${NEWEST_OPSET}`, { hint: 'Choose one that your runtime knows; 21 suits most.' });
  }
  if (from > target) throw new PenjingError('E_OPSET', `the model has opset ${from}; it cannot be lowered to ${target}`, { hint: 'Convert it again from its source.' });
  const inference = inferFacts(model);
  const roots = [
    { root: model.graph, opsets: model.opsetImports, isFunction: false },
    ...model.functions.map((fn) => ({ root: fn.body, opsets: fn.opsetImports, isFunction: true })),
  ].filter(({ opsets }) => (opsets.get('') ?? target) < target);
  const contexts = roots.map((place) => new Rewriter({ ...place, inference, fusions: 'none', allowGrowth: true, records: [] }));
  const refusals = contexts.flatMap((c) => refusalsIn(c, target));
  if (refusals.length > 0) {
    throw new PenjingError('E_OPSET', `${refusals.length} nodes cannot be raised to opset ${target}: ${refusals.slice(0, 5).join('; ')}`, {
      hint: 'Keep the opset of the model, or export it again at the opset you need.', details: { nodes: refusals.length },
    });
  }
  if (roots.length > 0 && model.irVersion < 4) freezeInputs(model);
  const adapted: Record<string, number> = {};
  for (const c of contexts) for (const node of allNodesOf(c.root)) adapt(node, c, target, adapted);
  for (const { opsets } of roots) opsets.set('', target);
  model.irVersion = Math.max(model.irVersion, irVersions.find(([opset]) => opset <= target)![1]);
  if (roots.length > 0) model.origin = undefined;
  return { from, to: target, adapted };
}

const allNodesOf = (root: Graph): Node[] => [...allGraphs(root)].flatMap((graph) => [...graph.nodes()]).filter((node) => node.domain === '');

/** Every reason against, before anything is changed. */
function refusalsIn(c: Rewriter, target: number): string[] {
  if (c.opset < OLDEST_OPSET) return [`its operators are those of opset ${c.opset}, older than ${OLDEST_OPSET}`];
  return allNodesOf(c.root).flatMap((node) => {
    for (const step of steps(node.opType, c.opset, target)) {
      const reason = isPlain(node) ? step.refuse?.(node, c) : 'an attribute is the caller\'s';
      if (reason !== undefined) return [`${node.describe()}: ${reason}`];
    }
    return [];
  });
}

function steps(opType: string, from: number, target: number): OpsetAdapter[] {
  return adaptersOf(opType).filter(({ since }) => since > from && since <= target);
}

function adapt(node: Node, c: Rewriter, target: number, adapted: Record<string, number>): void {
  const name = node.opType;
  let version = c.opset;
  let changed = false;
  // An adapter may turn the node into another operator, whose later changes then apply.
  for (let [step] = steps(node.opType, version, target); step; [step] = steps(node.opType, version, target)) {
    version = step.since;
    if (step.apply(node, c) !== false) changed = true;
    if (!node.graph) break;
  }
  if (changed) adapted[name] = (adapted[name] ?? 0) + 1;
}
