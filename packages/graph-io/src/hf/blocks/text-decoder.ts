/** Encoders that were trained to write: every token sees those before it, and a cache keeps what they saw. */
import type { Value } from '@penjing/core';
import { cachedInputs, cachedOutputs } from '../decoder/ports.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { type Attend, causalAttention, type KeyValue } from './attention.js';
import { afterAttention } from './encoder.js';
import { linear } from './linear.js';
import type { Table } from './matrix.js';
import type { PostNormEncoder } from './text-encoder.js';
import { textEmbeddings } from './text-embeddings.js';

export interface WritingHead {
  /** Place of the first token of a text. */
  readonly firstPlace: number;
  /** float32 (batch, seq, vocabulary) of the last hidden states, (batch, seq, hidden), and the embedding table. */
  readonly logits: (x: Value, table: Table) => Value;
}

/**
 * The graph of `…LMHeadModel` and `…ForCausalLM`. Places are those of `position_ids`, counted from 0: transformers' own `generate()` hands them
 * on as they are, which for RoBERTa is another table row than its forward pass takes.
 */
export function writingEncoder(net: Network, config: Fields, { module, words, shape, names, layer, project }: PostNormEncoder, { firstPlace, logits }: WritingHead): void {
  // without it the class looks both ways, and cannot write
  if (!config.boolean('is_decoder', false)) throw config.wrong('is_decoder', 'true for a class that writes');
  config.only('add_cross_attention', false, 'there is no encoder to look at');
  const { hidden, heads, headDim } = shape.attention;
  const sizes = { layers: shape.layers, kvHeads: heads, headDim };
  const { ids, mask, positions, past } = cachedInputs(net, sizes);
  const present: KeyValue[] = [];
  const { table, last } = net.module(module, () => {
    const places = firstPlace === 0 ? positions : net.op('Add', [positions, net.ints(firstPlace)]);
    const { table, hidden: embedded } = textEmbeddings(net, { ids, positions: places }, words);
    const every = { heads, kvHeads: heads, headDim, scale: headDim ** -0.5 };
    const attend: readonly Attend[] = causalAttention(net, { mask, positions }, new Array(shape.layers).fill(every));
    let x = project ? project(embedded) : embedded;
    past.forEach((cached, i) => {
      x = net.module(layer(i), () => {
        const projected = (name: string): Value => linear(net, name, x, { inputs: hidden, outputs: hidden, bias: true });
        const attended = attend[i]!({ query: projected(names.query), key: projected(names.key), value: projected(names.value) }, cached);
        present.push(attended.present);
        return afterAttention(net, x, linear(net, names.output, attended.output, { inputs: hidden, outputs: hidden, bias: true }), names, shape);
      });
    });
    return { table, last: x };
  });
  cachedOutputs(net, sizes, { logits: logits(last, table), vocabulary: words.vocabulary, present });
}
