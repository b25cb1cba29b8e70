/** The graph of a decoder: embedding, layers, last norm, and the head of a task. */
import { PenjingError, type Value } from '@penjing/core';
import type { Task } from '../architecture.js';
import { softcap } from '../blocks/activation.js';
import { type Attended, causalAttention, type KeyValue } from '../blocks/attention.js';
import { embedding, languageHead } from '../blocks/embedding.js';
import { headNorm } from '../blocks/head-norms.js';
import { linear } from '../blocks/linear.js';
import type { Table } from '../blocks/matrix.js';
import { normalize } from '../blocks/norm.js';
import { once } from '../blocks/once.js';
import { type LayerAttention, selfAttention, type SelfAttentionShape } from '../blocks/self-attention.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { readingHeads } from './heads.js';
import type { DecoderPlan } from './plan.js';
import { cachedInputs, cachedOutputs, wholeInputs } from './ports.js';
import type { PartNorms } from './row.js';

/** Text generation has a cache; every other task reads whole texts, as encoders do. */
export function buildDecoder(net: Network, config: Fields, plan: DecoderPlan, task: Task): void {
  const { names, sizes, attention, ahead } = plan;
  const writes = task === 'text-generation';
  if (writes && ahead) {
    throw new PenjingError('E_TASK', 'this network looks ahead of every token, so it cannot write', { hint: 'Ask for --task feature-extraction or sentence-similarity.' });
  }
  const { ids, mask, positions, past } = writes ? cachedInputs(net, sizes) : wholeInputs(net, sizes, plan.embedding.positions?.counting ?? 'all');
  const present: KeyValue[] = [];
  const { table, last } = net.module(names.base, () => {
    const { table, hidden } = embedding(net, names.embedding, ids, { vocabulary: sizes.vocabulary, hidden: plan.embedding.width });
    const attend = causalAttention(net, { mask, positions, ahead }, attention);
    const shape = { ...plan.projections, ...(plan.queryKey && { normalize: queryKeyNorm(net, plan) }) };
    let x = embedded(net, hidden, positions, plan);
    past.forEach((cached, i) => {
      const attended = net.module(`${names.layers}.${i}`, () => layer(net, x, i, plan, shape, { attend: attend[i]!, past: cached }));
      x = attended.output;
      present.push(attended.present);
    });
    return { table, last: narrowed(net, names.last === null ? x : normalize(net, names.last, x, plan.norm), plan) };
  });
  if (writes) cachedOutputs(net, sizes, { logits: logits(net, last, table, plan), vocabulary: sizes.vocabulary, present });
  else readingHeads(net, config, task, last, { ids, mask, width: plan.embedding.width, tokenHead: names.tokens });
}

/** Embeddings of tokens, (batch, seq, width), as the first layer gets them, (batch, seq, hidden). */
function embedded(net: Network, tokens: Value, positions: Value, { embedding: { narrow, width, factor, positions: table }, sizes }: DecoderPlan): Value {
  const { hidden, maxPositions } = sizes;
  const scaled = factor === 1 ? tokens : net.op('Mul', [tokens, net.scalar(factor)]);
  const wide = narrow && width !== hidden ? linear(net, narrow.into, scaled, { inputs: width, outputs: hidden, bias: false }) : scaled;
  if (!table) return wide;
  const { module, offset = 0 } = table;
  const rows = net.module(module, () => net.weight('weight', [maxPositions + offset, hidden]));
  const places = offset === 0 ? positions : net.op('Add', [positions, net.ints(offset)]);
  return net.op('Add', [wide, net.op('Gather', [rows, places])]);
}

function narrowed(net: Network, x: Value, { embedding: { narrow, width }, sizes: { hidden } }: DecoderPlan): Value {
  return narrow && width !== hidden ? linear(net, narrow.outOf, x, { inputs: hidden, outputs: width, bias: false }) : x;
}

/** One layer, inside its module; x and the output are (batch, seq, hidden). */
function layer(net: Network, x: Value, index: number, plan: DecoderPlan, shape: SelfAttentionShape, attention: LayerAttention): Attended {
  const { names, around, norm, parallel, residual, feedForward } = plan;
  const normed = (name: string | undefined, x: Value): Value => (name === undefined ? x : normalize(net, name, x, norm));
  /** Parts that see the same input may share its norm. */
  const first = once((name: string | undefined) => normed(name, x));
  const added = (y: Value, { after }: PartNorms): Value => {
    const whole = normed(after, y);
    return residual === 1 ? whole : net.op('Mul', [whole, net.scalar(residual)]);
  };
  const attended = selfAttention(net, names.attention, first(around.attention.before), shape, attention);
  const mixed = added(attended.output, around.attention);
  if (parallel) {
    const fed = added(feedForward(net, first(around.mlp.before), index), around.mlp);
    return { ...attended, output: net.op('Add', [net.op('Add', [fed, mixed]), x]) };
  }
  const middle = normed(around.attention.sum, net.op('Add', [x, mixed]));
  const fed = added(feedForward(net, normed(around.mlp.before, middle), index), around.mlp);
  return { ...attended, output: normed(around.mlp.sum, net.op('Add', [middle, fed])) };
}

function queryKeyNorm(net: Network, { queryKey, norm, sizes: { heads, kvHeads, headDim } }: DecoderPlan): NonNullable<SelfAttentionShape['normalize']> {
  const { over, names: [query, key] = ['q_norm', 'k_norm'], bias = norm.bias } = queryKey!;
  const parts = { query: [query, heads], key: [key, kvHeads] } as const;
  return (part, x) => headNorm(net, over, parts[part][0], x, { ...norm, heads: parts[part][1], headDim, ...(bias !== undefined && { bias }) });
}

/** float32 (batch, seq, vocabulary). */
function logits(net: Network, x: Value, table: Table, { names, sizes: { vocabulary }, embedding: { width }, logits: { scale, softcap: most, bias } }: DecoderPlan): Value {
  const raw = languageHead(net, names.head, x, { vocabulary, hidden: width }, net.tied ? table : undefined, bias);
  const scaled = scale === 1 ? raw : net.op('Mul', [raw, net.float32(scale)]);
  return most === undefined ? scaled : softcap(net, scaled, most);
}
