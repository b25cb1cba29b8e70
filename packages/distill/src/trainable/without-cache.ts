/** A decoder without its cache: training reads whole texts. */
import { denseOf, type Model, type Node, PenjingError, type Value } from '@penjing/core';

/** Names of Optimum, which converters of this project and of others give: `past_key_values.0.key`, `present.0.key`, `use_cache_branch`. */
const PAST = /^past_key_values\./;
const PRESENT = /^present\./;
const BRANCH = 'use_cache_branch';

/** Takes away what a run without a past does not need, in place. Gives the names of the inputs that went. Throws `E_UNSUPPORTED` for a cache that is read in a way not known here. */
export function withoutCache(model: Model): string[] {
  const { graph } = model;
  const past = graph.inputs.filter(({ name }) => PAST.test(name));
  const branch = graph.inputs.find(({ name }) => name === BRANCH);
  if (past.length === 0 && !branch) return [];
  keep(graph.outputs, ({ name }) => !PRESENT.test(name));
  keep(graph.inputs, (value) => value !== branch);
  // The branch that has no cache: If nodes on a constant are inlined afterwards.
  if (branch) {
    branch.tensor = denseOf('bool', [1], [0]);
    graph.initializers.set(branch.name, branch);
  }
  renameTotals(graph.inputs);
  return [...past, ...(branch ? [branch] : [])].map(({ name }) => name);
}

/** After the branches that read them are gone: what still reads a past reads nothing instead, and the inputs go. */
export function dropPast(model: Model): void {
  const { graph } = model;
  const past = graph.inputs.filter(({ name }) => PAST.test(name));
  for (const value of past) for (const { node, index } of value.uses()) dropUse(model, value, node, index);
  keep(graph.inputs, (value) => !past.includes(value));
}

function dropUse(model: Model, value: Value, node: Node, index: number): void {
  const drop = uses[node.domain === '' ? node.opType : `${node.domain}.${node.opType}`];
  if (!drop?.(model, node, index)) {
    throw new PenjingError('E_UNSUPPORTED', `the cache ${value.name} is read by ${node.describe()}, which cannot do without it`, { hint: 'Convert the model for training: attention standard or gqa.' });
  }
}

/** How an operator does without the past at one of its inputs; false where it cannot. */
const uses: Readonly<Record<string, (model: Model, node: Node, index: number) => boolean>> = {
  Attention: optional, 'com.microsoft.Attention': optional, 'com.microsoft.GroupQueryAttention': optional, 'com.microsoft.MultiHeadAttention': optional,
  // Keys of before and now, along their places.
  Concat(_, node, index) {
    const others = node.inputs.filter((__, i) => i !== index);
    if (others.length !== 1 || !others[0]) return false;
    node.graph!.replaceValue(node.output(), others[0]);
    node.graph!.remove(node);
    return true;
  },
  // The number of places: none.
  Shape(model, node) {
    if (node.int('start', 0) !== 2 || node.int('end', 4) !== 3) return false;
    const { graph } = model;
    const name = `${node.output().name}/none`;
    const none = graph.initializers.get(name) ?? graph.addInitializer(name, denseOf('int64', [1], [0]));
    node.graph!.replaceValue(node.output(), none);
    node.graph!.remove(node);
    return true;
  },
};

function optional(_: Model, node: Node, index: number): boolean {
  node.setInput(index, null);
  return true;
}

/** Without a past, all tokens are those of this run. */
function renameTotals(inputs: readonly Value[]): void {
  for (const value of inputs) {
    if (value.type?.kind !== 'tensor' || !value.type.shape?.includes('total_sequence_length')) continue;
    value.type = { ...value.type, shape: value.type.shape.map((dim) => (dim === 'total_sequence_length' ? 'sequence_length' : dim)) };
  }
}

function keep<T>(list: T[], wanted: (item: T) => boolean): void {
  list.splice(0, list.length, ...list.filter(wanted));
}
