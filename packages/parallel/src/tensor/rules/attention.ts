/** Sharding rules of attention: heads, whole groups of them. */
import { type Place, places, type ShardingContext, type ShardingRule, type ShardingRules, slot, type Slot, way } from '../rule.js';

/** An axis of another input that is `part` of three: queries, keys, values. */
function partOf(place: Slot | undefined, spans: readonly number[], part: number): Slot | undefined {
  return place && { ...place, offsets: [spans.slice(0, part).reduce((sum, span) => sum + span, 0)], span: spans[part]! };
}

/** Per head, or the same for all; `axis` counts heads. */
function perHead(c: ShardingContext, index: number, axis: number, heads: number): Place | undefined {
  const shape = c.shape(index);
  if (!shape) return undefined;
  const dim = shape[axis];
  if (shape.length <= axis || dim === 1) return null;
  return dim === heads ? { axis, size: heads } : undefined;
}

const groupQuery: ShardingRule = (c) => {
  const [heads, groups] = [c.node.int('num_heads', 0), c.node.int('kv_num_heads', 0)];
  const query = c.shape(0);
  // scales per channel of a quantized cache are not followed
  if (!query || heads < 1 || groups < 1 || c.has(12) || c.has(13)) return [];
  const width = query[2];
  if (typeof width !== 'number') return [];
  const packed = !c.has(1);
  const size = width / (packed ? heads + 2 * groups : heads);
  const spans = [heads * size, groups * size, groups * size];
  const part = (place: Slot | undefined, which: number): Slot | undefined => partOf(place, spans, which);
  const cache = (index: number, which: number): Readonly<Record<number, Slot | undefined>> => (c.has(index) ? { [index]: part(slotOf(c, index, 1, groups), which) } : {});
  const headwise = (index: number, axis: number): Readonly<Record<number, Place | undefined>> => {
    if (!c.has(index)) return {};
    const place = perHead(c, index, axis, heads);
    return { [index]: place && typeof place === 'object' ? part(place, 0) : place };
  };
  const inputs = {
    0: packed ? slot(query, 2) : part(slot(query, 2), 0),
    ...(packed ? {} : { 1: part(slot(c.shape(1), 2), 1), 2: part(slot(c.shape(2), 2), 2) }),
    ...cache(3, 1), ...cache(4, 2), ...headwise(10, 1), ...headwise(11, 0),
  };
  const outputs = [part({ axis: 2, size: heads * size }, 0), part({ axis: 1, size: groups }, 1), part({ axis: 1, size: groups }, 2), part({ axis: 1, size: heads }, 0)];
  return way(places(c.inputCount, inputs), outputs.slice(0, c.outputCount), {
    size: spans[0]! + 2 * spans[1]!, borders: [spans[0]!, spans[0]! + spans[1]!], units: groups, attributes: ({ of }) => ({ num_heads: of(heads), kv_num_heads: of(groups) }),
  });
};

/** The axis of heads, also where inference knows only that it is there. */
function slotOf(c: ShardingContext, index: number, axis: number, heads: number): Slot | undefined {
  const dim = c.shape(index)?.[axis];
  return dim === heads && heads > 1 ? { axis, size: heads } : undefined;
}

const multiHead: ShardingRule = (c) => {
  const heads = c.node.int('num_heads', 0);
  const query = c.shape(0);
  if (!query || heads < 2) return [];
  const out = c.outputShape()?.[2];
  const width = query.length === 5 ? Number(query[2]) * Number(query[4]) : query[2];
  if (typeof width !== 'number' || typeof out !== 'number' || !Number.isInteger(width)) return [];
  const spans = [width, width, out];
  // (batch, seq, heads · size); packed (batch, seq, heads, parts, size); keys and values may be (batch, heads, seq, size)
  const place = (index: number, which: number): Slot | undefined => partOf(slot(c.shape(index), c.shape(index)?.length === 4 ? 1 : 2), spans, which);
  const cache = (index: number, which: number): Readonly<Record<number, Slot | undefined>> => (c.has(index) ? { [index]: partOf(slotOf(c, index, 1, heads), spans, which) } : {});
  const bias = c.has(3) ? { 3: slot(c.shape(3), 0) } : {};
  const score = c.has(5) ? perHead(c, 5, 1, heads) : null;
  const inputs = {
    0: place(0, 0), ...(c.has(1) && { 1: place(1, 1) }), ...(c.has(2) && { 2: place(2, 2) }), ...bias,
    5: score && typeof score === 'object' ? partOf(score, spans, 0) : score, ...cache(6, 1), ...cache(7, 2),
  };
  const outputs = [partOf({ axis: 2, size: out }, spans, 2), partOf({ axis: 1, size: heads }, spans, 1), partOf({ axis: 1, size: heads }, spans, 2), partOf({ axis: 1, size: heads }, spans, 0)];
  return way(places(c.inputCount, inputs), outputs.slice(0, c.outputCount), { size: 2 * width + out, borders: [width, 2 * width], units: heads, attributes: ({ of }) => ({ num_heads: of(heads) }) });
};

/** The projections are part of the operator: weights (hidden, queries + keys + values). */
const projecting: ShardingRule = (c) => {
  const heads = c.node.int('num_heads', 0);
  const columns = c.shape(1)?.[1];
  if (heads < 2 || typeof columns !== 'number' || c.node.int('do_rotary', 0) === 1) return [];
  const spans = c.node.ints('qkv_hidden_sizes') ?? [columns / 3, columns / 3, columns / 3];
  const sized = c.node.ints('qkv_hidden_sizes') !== undefined;
  const score = c.has(5) ? perHead(c, 5, 1, heads) : null;
  const inputs = {
    1: slot(c.shape(1), 1), ...(c.has(2) && { 2: slot(c.shape(2), 0) }), ...(c.has(4) && { 4: partOf(slotOf(c, 4, 2, heads), spans, 1) }),
    5: score && typeof score === 'object' ? partOf(score, spans, 0) : score,
  };
  const outputs = [partOf({ axis: 2, size: spans[2]! }, spans, 2), partOf({ axis: 2, size: heads }, spans, 1)];
  return way(places(c.inputCount, inputs), outputs.slice(0, c.outputCount), {
    size: columns, borders: [spans[0]!, spans[0]! + spans[1]!], units: heads, weight: 1,
    attributes: ({ of }) => ({ num_heads: of(heads), ...(sized && { qkv_hidden_sizes: spans.map((span) => of(span)) }) }),
  });
};

/** (batch, heads, seq, size), or (batch, seq, heads · size) with the numbers of heads as attributes. */
const standard: ShardingRule = (c) => {
  const query = c.shape(0);
  if (!query) return [];
  const flat = query.length === 3;
  const [heads, groups] = flat ? [c.node.int('q_num_heads', 0), c.node.int('kv_num_heads', 0)] : [query[1], c.shape(1)?.[1]];
  if (typeof heads !== 'number' || typeof groups !== 'number' || groups < 2) return [];
  const axis = flat ? 2 : 1;
  const cache = (index: number): Readonly<Record<number, Slot | undefined>> => (c.has(index) ? { [index]: slotOf(c, index, 1, groups) } : {});
  const mask = c.has(3) ? (c.shape(3)?.length === 4 ? perHead(c, 3, 1, heads) : c.shape(3) && c.shape(3)!.length <= 2 ? null : undefined) : null;
  const inputs = { 0: slot(query, axis), 1: slot(c.shape(1), axis), 2: slot(c.shape(2), axis), 3: mask, ...cache(4), ...cache(5) };
  const outputs: Place[] = [slot(c.outputShape(), axis) ?? null, { axis: 1, size: groups }, { axis: 1, size: groups }, { axis: 1, size: heads }];
  if (!outputs[0]) return [];
  return way(places(c.inputCount, inputs), outputs.slice(0, c.outputCount), {
    units: groups, ...(flat && { attributes: ({ of }) => ({ q_num_heads: of(heads), kv_num_heads: of(groups) }) }),
  });
};

/** Input 0 is (batch, seq, heads · size) or (batch, heads, seq, size). */
const rotary = (cosines: number): ShardingRule => (c) => {
  const x = c.shape(0);
  if (!x) return [];
  const heads = c.node.int('num_heads', 0);
  if (x.length === 4) return way(places(c.inputCount, { 0: slot(x, 1) }), [slot(x, 1)], heads > 0 ? { attributes: ({ of }) => ({ num_heads: of(heads) }) } : {});
  const [width, half] = [x[2], c.shape(cosines)?.at(-1)];
  if (typeof width !== 'number') return [];
  const count = heads > 0 ? heads : typeof half === 'number' && c.node.int('rotary_embedding_dim', 0) === 0 ? width / (2 * half) : 0;
  if (!Number.isInteger(count) || count < 2) return [];
  return way(places(c.inputCount, { 0: slot(x, 2) }), [slot(x, 2)], { units: count, ...(heads > 0 && { attributes: ({ of }) => ({ num_heads: of(heads) }) }) });
};

export const attentionRules = {
  Attention: standard,
  RotaryEmbedding: rotary(1),
  'com.microsoft.Attention': projecting,
  'com.microsoft.GroupQueryAttention': groupQuery,
  'com.microsoft.MultiHeadAttention': multiHead,
  'com.microsoft.RotaryEmbedding': rotary(2),
} satisfies ShardingRules;
