/** Common subexpressions: nodes that compute the same are made one. */
import type { Attribute } from '../graph/attribute.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import type { DenseTensor, Tensor } from '../tensor.js';
import { isDeterministic } from './foldable.js';
import type { Rewriter } from './rewriter.js';

/** Makes equal nodes one, in subgraphs with those of the graphs around them too. Gives the number of nodes replaced. */
export function mergeCommonNodes(context: Rewriter): number {
  let merged = 0;
  const ids = new Map<Value, number>();
  const idOf = (value: Value): number => {
    const known = ids.get(value);
    if (known !== undefined) return known;
    ids.set(value, ids.size);
    return ids.size - 1;
  };
  const visit = (graph: Graph, outer: ReadonlyMap<string, Node>): void => {
    const seen = new Map(outer);
    for (const node of graph.nodes()) {
      const key = node.subgraphs().length === 0 && isDeterministic(node) && node.outputs.length > 0 ? nodeKey(node, idOf) : undefined;
      if (key !== undefined) {
        const first = seen.get(key);
        if (!first) seen.set(key, node);
        else if (unify(first, node, context)) {
          merged++;
          continue;
        }
      }
      // Graphs of BeamSearch and its like count what they read of outer graphs: they share among their own nodes only.
      for (const inner of node.subgraphs()) visit(inner, node.domain === '' ? seen : new Map());
    }
  };
  visit(context.root, new Map());
  return merged;
}

/** What a node computes, as text; undefined when it holds something that cannot be compared. */
function nodeKey(node: Node, idOf: (value: Value) => number): string | undefined {
  const parts = [node.domain, node.opType, node.overload, String(node.outputs.length)];
  for (const value of node.inputs) parts.push(value && value.name !== '' ? String(idOf(value)) : '-');
  const attributes = [...node.attributes].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, attr] of attributes) {
    const text = attributeKey(attr);
    if (text === undefined) return undefined;
    parts.push(name, text);
  }
  return parts.join('\u0000');
}

function attributeKey(attr: Attribute): string | undefined {
  switch (attr.kind) {
    case 'ref': return `ref ${attr.name}`;
    case 'float': case 'int': return `${attr.kind} ${Object.is(attr.value, -0) ? '-0' : attr.value}`;
    case 'string': return `string ${attr.value.join(',')}`;
    case 'floats': case 'ints': return `${attr.kind} ${attr.value.join(',')}`;
    case 'strings': return `strings ${attr.value.map((text) => text.join(',')).join(';')}`;
    case 'type': return `type ${JSON.stringify(attr.value)}`;
    case 'tensor': return tensorKey(attr.value);
    default: return undefined;
  }
}

/** Lets the readers of `second` read `first`, all outputs or none. */
function unify(first: Node, second: Node, context: Rewriter): boolean {
  const pairs = second.outputs.map((value, i) => [first.outputs[i]!, value] as const).filter(([, value]) => value.name !== '' && context.isUsed(value));
  const movable = pairs.every(([kept, old]) => kept.name !== '' && (!context.isOutput(old) || (!context.isOutput(kept) && first.graph === second.graph)));
  if (!movable) return false;
  for (const [kept, old] of pairs) context.replace(old, kept);
  context.removeIfUnused(second);
  return second.graph === undefined;
}

/** Type and content of a small tensor. */
function tensorKey(tensor: Tensor): string | undefined {
  if (tensor.kind !== 'dense' || tensor.byteLength > 1024) return undefined;
  return `${tensor.dtype}[${tensor.shape.join(',')}] ${(tensor as DenseTensor).bytes.join(',')}`;
}
