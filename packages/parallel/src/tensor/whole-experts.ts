/** Experts of a mixture, shared out by number: sums whose terms are networks of their own, each on one shard. */
import type { Model, Node, Value } from '@penjing/core';
import { type GraphFacts, graphFacts, nameOf } from './graph-facts.js';
import { openMixtures } from './open-mixtures.js';
import type { Owners } from './place-nodes.js';
import { readsMatrix, routedValues } from './routers.js';
import type { ShardedLayer } from './sharded-model.js';

/** A node that adds a term to a sum: the inputs that are the sum so far, and the term. */
interface Link {
  readonly node: Node;
  readonly sum: number;
  readonly term: number;
}

interface Expert {
  readonly link: Link;
  readonly nodes: readonly Node[];
  readonly weights: readonly { readonly name: string; readonly bytes: number }[];
}

export interface WholeExperts extends Owners {
  readonly layers: readonly ShardedLayer[];
  /** By shard: bytes of its own experts. */
  readonly held: readonly number[];
  /** Experts of every mixture, of those too that have fewer than there are shards. */
  readonly counts: readonly number[];
}

/**
 * Chains of at least as many terms as there are shards, where every term reads weights that nothing else reads, is computed by
 * the same operators, and is added to chosen rows alone or weighed by a router: other sums, of embeddings or of parallel layers, are no mixtures. Terms follow each other in order; every shard has as many, give or take one. What the terms are
 * computed from, the routing among it, stays as it was on every shard.
 */
export function wholeExperts(facts: GraphFacts): WholeExperts {
  const nodes = new Map<Node, number>();
  const links = new Map<Node, { shard: number; sum: number }>();
  const layers: ShardedLayer[] = [];
  const counts: number[] = [];
  const held = new Array<number>(facts.shards).fill(0);
  const sums = chains(facts);
  const routed = routedValues(facts, new Set(sums.flatMap((chain) => chain.map(({ node }) => node))));
  for (const experts of sums.flatMap((chain) => alike(chain.map((link) => expertOf(facts, link, routed))))) {
    counts.push(experts.length);
    if (experts.length < facts.shards) continue;
    for (const [i, { link, nodes: own, weights }] of experts.entries()) {
      const shard = Math.floor((i * facts.shards) / experts.length);
      held[shard]! += weights.reduce((sum, { bytes }) => sum + bytes, 0);
      for (const node of own) nodes.set(node, shard);
      links.set(link.node, { shard, sum: link.sum });
    }
    const weights = experts.flatMap((expert) => expert.weights);
    layers.push({ weights: weights.map(({ name }) => name), bytes: weights.reduce((sum, { bytes }) => sum + bytes, 0), collectives: 1 });
  }
  return { nodes, links, layers, held, counts };
}

/** Runs of terms that are computed by the same operators: other terms of a sum, such as what a layer is added to, are no experts. */
function alike(terms: readonly (Expert | undefined)[]): Expert[][] {
  const runs: { readonly shape: string | undefined; readonly experts: Expert[] }[] = [];
  for (const term of terms) {
    const shape = term?.nodes.map(nameOf).sort().join();
    const last = runs.at(-1);
    if (term && last && last.shape === shape) last.experts.push(term);
    else runs.push({ shape, experts: term ? [term] : [] });
  }
  return runs.map(({ experts }) => experts).filter(({ length }) => length > 1);
}

/** How many experts each mixture of a model has. Throws `E_UNSUPPORTED` for an operator that cannot be taken apart. */
export function countExperts(model: Model): readonly number[] {
  return wholeExperts(graphFacts(openMixtures(model), 2)).counts;
}

/** Longest runs of links, in order; a sum between two links is read by the next one only. */
function chains(facts: GraphFacts): Link[][] {
  const found: Link[][] = [];
  const seen = new Set<Node>();
  for (const node of facts.nodes) {
    let link = seen.has(node) ? undefined : linkOf(node);
    const chain: Link[] = [];
    while (link && !seen.has(link.node)) {
      seen.add(link.node);
      chain.push(link);
      const uses = link.node.output().uses();
      const next: Node | undefined = uses.length === 1 && !facts.model.graph.outputs.includes(link.node.output()) && facts.order.has(uses[0]!.node) ? uses[0]!.node : undefined;
      const following: Link | undefined = next && linkOf(next, uses[0]!.index);
      link = following;
    }
    if (chain.length > 1) found.push(chain);
  }
  return found;
}

/** `sum`: the input that must be the sum. */
function linkOf(node: Node, sum = 0): Link | undefined {
  if (node.domain !== '') return undefined;
  if (node.opType === 'ScatterND') return sum === 0 && node.string('reduction', 'none') === 'add' ? { node, sum: 0, term: 2 } : undefined;
  return node.opType === 'Add' ? { node, sum, term: 1 - sum } : undefined;
}

/** What only this term is computed by; undefined when no weights are among it, or no router chooses it. */
function expertOf(facts: GraphFacts, link: Link, routed: ReadonlySet<Value>): Expert | undefined {
  const inside = new Set<Node>([link.node]);
  const weights = new Map<Value, number>();
  const list: Node[] = [];
  const visit = (value: Value | null): void => {
    if (!value) return;
    const { producer } = value;
    if (!producer) {
      if (value.tensor && value.tensor.shape.length > 1 && value.uses().every(({ node }) => inside.has(node))) weights.set(value, value.tensor.byteLength);
      return;
    }
    if (inside.has(producer) || !facts.order.has(producer)) return;
    const own = producer.outputs.every((output) => !facts.model.graph.outputs.includes(output) && output.uses().every(({ node }) => inside.has(node)));
    if (!own) return;
    inside.add(producer);
    list.push(producer);
    for (const input of [...producer.inputs, ...facts.captured(producer)]) visit(input);
  };
  // once more from every node: what two of them share becomes their own when both are inside
  for (let before = -1; before !== list.length;) {
    before = list.length;
    for (const node of [link.node, ...list]) node.inputs.forEach((value, i) => (node === link.node && i === link.sum ? undefined : visit(value)));
  }
  const heavy = [...weights].map(([{ name }, bytes]) => ({ name, bytes }));
  if (heavy.length === 0) return undefined;
  // A product with weights that reads what was chosen is a layer after it, not an expert that was chosen.
  const chosen = link.node.opType === 'ScatterND' || [link.node, ...list].some((node) => !readsMatrix(facts, node) && node.inputs.some((value) => value && routed.has(value)));
  if (!chosen) return undefined;
  return { link, nodes: list.filter((node) => !node.outputs.every((value) => facts.constant.has(value))), weights: heavy };
}
