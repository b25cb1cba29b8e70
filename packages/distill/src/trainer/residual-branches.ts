/** Where a network adds to a stream of values what it computed from it. */
import type { Model, Node, Value } from '@penjing/core';

export interface ResidualBranch {
  /** The addition, and which of its inputs is the branch. */
  readonly node: Node;
  readonly index: 0 | 1;
  readonly stream: Value;
  /** The stream is normalized after each addition: it is no sum. */
  readonly normalized: boolean;
  /** Layers that the branch ends with, by the nodes that were given; none behind a norm. */
  readonly ends: readonly Node[];
}

/** What ends a branch: the length of what comes before it does not reach the stream. */
const isNorm = ({ opType }: Node): boolean => /Normalization$/.test(opType);

/**
 * Additions of a branch with a layer in it to what the branch was computed from, in order. Main graph only. A mask of attention is read by every block too, and so is upstream of the scores of the later ones: a
 * stream comes out of a layer or a lookup itself, and has the shape of what is added to it.
 */
export function residualBranches(model: Model, layers: ReadonlySet<Node>): ResidualBranch[] {
  const places = new Map<Node, number>();
  const made = new Set<Value>();
  const found: ResidualBranch[] = [];
  for (const node of model.graph.nodes()) {
    places.set(node, places.size);
    if (layers.has(node) || node.inputs.some((value) => value !== null && made.has(value))) for (const output of node.outputs) made.add(output);
    const [a, b] = node.inputs;
    if (node.opType !== 'Add' || node.domain !== '' || !a || !b || !made.has(a) || !made.has(b) || !sameForm(a, b)) continue;
    const branch = branchOf(node, 1, a, b, places, layers) ?? branchOf(node, 0, b, a, places, layers);
    if (branch) found.push(branch);
  }
  return found;
}

/** As far as the shapes are known. */
function sameForm(a: Value, b: Value): boolean {
  const [first, second] = [a, b].map(({ type }) => (type?.kind === 'tensor' ? type.shape : undefined));
  return !first || !second || (first.length === second.length && first.every((dim, i) => dim === second[i]));
}

function branchOf(node: Node, index: 0 | 1, stream: Value, branch: Value, places: ReadonlyMap<Node, number>, layers: ReadonlySet<Node>): ResidualBranch | undefined {
  if (stream.tensor) return undefined;
  const from = stream.producer ? places.get(stream.producer)! : -1;
  const isInside = ({ producer }: Value): boolean => producer !== undefined && places.get(producer)! > from;
  const all = upstream(branch, isInside);
  if (!all.has(stream) || ![...all].some((value) => isInside(value) && layers.has(value.producer!))) return undefined;
  const passed = upstream(branch, (value) => isInside(value) && !layers.has(value.producer!) && !isNorm(value.producer!));
  const ends = [...passed].flatMap((value) => (isInside(value) && layers.has(value.producer!) ? [value.producer!] : []));
  return { node, index, stream, normalized: stream.producer !== undefined && isNorm(stream.producer), ends };
}

/** What a value is computed from, as far as `passes` lets through, and itself. */
function upstream(value: Value, passes: (value: Value) => boolean): ReadonlySet<Value> {
  const seen = new Set([value]);
  // a set gives what is added while it is walked
  for (const next of seen) if (passes(next)) for (const input of next.producer!.inputs) if (input) seen.add(input);
  return seen;
}
