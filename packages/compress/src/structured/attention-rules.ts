/** Dimensions of attention: a unit is a key and value head with the query heads that share it. */
import { attribute, type Node, type Value } from '@penjing/core';
import { type CoupleContext, type DimensionRule, type EditContext, range, uniteAxes } from './dimension-rule.js';

interface Ports {
  /** (batch, rows, heads · size), or with heads as axis 1 where they have four axes. */
  readonly query: Value | undefined;
  readonly key: Value | undefined;
  readonly value: Value | undefined;
  readonly output: Value | undefined;
  /** (batch, heads, rows, size). */
  readonly caches: readonly (Value | undefined)[];
  readonly heads: number;
  readonly groups: number;
}

function coupleHeads(node: Node, { dims }: CoupleContext, { query, key, value, output, caches, heads, groups }: Ports): void {
  const axisOf = (port: Value): number => (dims.rank(port) === 4 ? 1 : 2);
  if (!query || !key || !value || !output || heads % groups !== 0) {
    for (const port of [query, key, value, output]) dims.lockAll(port, `${node.describe()} takes its heads in one tensor`);
    return;
  }
  // one key and value head for all: the query heads go one by one
  const units = groups === 1 ? heads : groups;
  const span = (port: Value): { value: Value; axis: number; run: number } => ({ value: port, axis: axisOf(port), run: (dims.size(port, axisOf(port)) ?? 0) / units });
  dims.unite(span(query), span(output), node);
  dims.mark(query, axisOf(query), 'heads');
  for (const port of [key, value]) {
    if (groups === 1) dims.lock(port, axisOf(port), `${node.describe()} has one key and value head`);
    else dims.unite(span(query), span(port), node);
  }
  for (const cache of caches) {
    if (!cache || cache.name === '') continue;
    if (groups === 1) dims.lock(cache, 1, `${node.describe()} has one key and value head`);
    else dims.unite({ value: cache, axis: 1 }, span(query), node);
    dims.lock(cache, 3, `${node.describe()} computes over it`);
  }
}

/** Attributes that count heads shrink as the output did. */
function editHeads(counts: readonly string[], output: number): DimensionRule['edit'] {
  return (node, { kept, sizeBefore }: EditContext) => {
    const value = node.output(output);
    const axis = 2;
    const before = sizeBefore(value, axis);
    const after = kept(value, axis)?.length;
    if (before === undefined || after === undefined) return;
    for (const name of counts) {
      const count = node.int(name, 0);
      // a single key and value head stays
      if (count > 1) node.attributes.set(name, attribute.int(Math.round((count * after) / before)));
    }
  };
}

const groupQuery: DimensionRule = {
  couple(node, context) {
    const [query, key, value, pastKey, pastValue] = node.inputs.map((input) => input ?? undefined);
    const [output, presentKey, presentValue] = node.outputs;
    const heads = node.int('num_heads', 1);
    coupleHeads(node, context, { query, key, value, output, caches: [pastKey, pastValue, presentKey, presentValue], heads, groups: node.int('kv_num_heads', heads) });
  },
  edit: editHeads(['num_heads', 'kv_num_heads'], 0),
};

const multiHead: DimensionRule = {
  couple(node, context) {
    const inputs = node.inputs.map((input) => input ?? undefined);
    const heads = node.int('num_heads', 1);
    if (inputs[3] || (inputs[5] && context.dims.size(inputs[5], 1) !== undefined)) {
      for (const port of inputs) context.dims.lockAll(port, `${node.describe()} has a bias of heads in one tensor`);
      context.dims.lockAll(node.output(), `${node.describe()} has a bias of heads in one tensor`);
      return;
    }
    coupleHeads(node, context, { query: inputs[0], key: inputs[1], value: inputs[2], output: node.output(), caches: [inputs[6], inputs[7], node.outputs[1], node.outputs[2]], heads, groups: heads });
  },
  edit: editHeads(['num_heads'], 0),
};

const standard: DimensionRule = {
  couple(node, context) {
    const inputs = node.inputs.map((input) => input ?? undefined);
    const { dims } = context;
    const [query, key] = inputs;
    const heads = node.int('q_num_heads') ?? (query && dims.size(query, 1)) ?? 1;
    const groups = node.int('kv_num_heads') ?? (key && dims.size(key, 1)) ?? heads;
    if (inputs[3]) for (const axis of [0, 1]) if (dims.rank(inputs[3]) === 4) dims.lock(inputs[3], axis, `${node.describe()} reads it`);
    coupleHeads(node, context, { query, key, value: inputs[2], output: node.output(), caches: [inputs[4], inputs[5], node.outputs[1], node.outputs[2]], heads, groups });
  },
  edit: editHeads(['q_num_heads', 'kv_num_heads'], 0),
};

/** Rows turn head by head: (batch, rows, heads · size), or heads as axis 1. */
const rotary: DimensionRule = {
  couple(node, { dims }) {
    const [x] = node.inputs;
    if (!x) return;
    const rank = dims.rank(x);
    const contrib = node.domain !== '';
    const cos = node.input(contrib ? 2 : 1);
    const size = node.int('rotary_embedding_dim', 0) > 0 ? undefined : 2 * ((cos && dims.size(cos, -1)) ?? 0);
    const width = dims.size(x, -1);
    const heads = node.int('num_heads', 0) || (size && width ? width / size : 0);
    dims.lock(cos, -1, `${node.describe()} computes over it`);
    if (rank === 4) {
      dims.lock(x, 3, `${node.describe()} computes over it`);
      uniteAxes(node, dims, x, node.output(), range(4).map((k) => [k, k] as const));
    } else if (heads > 0 && width !== undefined && Number.isInteger(width / heads)) {
      const run = width / heads;
      dims.unite({ value: x, axis: rank - 1, run }, { value: node.output(), axis: rank - 1, run }, node);
    } else for (const value of [x, node.output()]) dims.lock(value, -1, `the heads of ${node.describe()} are not known`);
  },
  edit: (node, context) => {
    if (shapeRank(node) === 3) editHeads(['num_heads'], 0)!(node, context);
  },
};

function shapeRank(node: Node): number | undefined {
  const type = node.output().type;
  return type?.kind === 'tensor' ? type.shape?.length : undefined;
}

export const attentionRules: Readonly<Record<string, DimensionRule>> = {
  'com.microsoft.GroupQueryAttention': groupQuery,
  'com.microsoft.MultiHeadAttention': multiHead,
  'com.microsoft.RotaryEmbedding': rotary,
  Attention: standard,
  RotaryEmbedding: rotary,
};

