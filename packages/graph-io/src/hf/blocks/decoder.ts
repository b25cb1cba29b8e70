/** The frame that decoders share: embedding, layers, last norm, head, and the ports around them. */
import type { Value } from '@penjing/core';
import { type CacheShape, decoderInputs, decoderOutputs } from '../decoder-ports.js';
import type { Network } from '../network.js';
import type { Attend, Attended, AttentionInputs, KeyValue } from './attention.js';
import { embedding, languageHead, type VocabularyShape } from './embedding.js';

export interface DecoderShape extends CacheShape, VocabularyShape {}

/** What an architecture decides. Every x is (batch, seq, hidden). */
export interface DecoderParts {
  /** Once per model: what its layers attend with. */
  attention(inputs: AttentionInputs): Attend;
  /** Layer `index`, inside its module. */
  layer(x: Value, attend: Attend, past: KeyValue, index: number): Attended;
  norm(x: Value): Value;
}

/** Builds `model` and `lm_head`; the head is the embedding table when the network is tied. */
export function causalDecoder(net: Network, shape: DecoderShape, parts: DecoderParts): void {
  const { ids, mask, positions, past } = decoderInputs(net, shape);
  const present: KeyValue[] = [];
  const { table, last } = net.module('model', () => {
    const { table, hidden } = embedding(net, 'embed_tokens', ids, shape);
    const attend = parts.attention({ mask, positions });
    let x = hidden;
    past.forEach((cached, i) => {
      const layer = net.module(`layers.${i}`, () => parts.layer(x, attend, cached, i));
      x = layer.output;
      present.push(layer.present);
    });
    return { table, last: parts.norm(x) };
  });
  const logits = languageHead(net, 'lm_head', last, shape, net.tied ? table : undefined);
  decoderOutputs(net, shape, { logits, vocabulary: shape.vocabulary, present });
}

/** x + attention(norm(x)), then x + mlp(norm(x)): most decoders since 2019. */
export function preNormLayer(
  net: Network,
  x: Value,
  parts: { readonly attention: (x: Value) => Attended; readonly mlp: (x: Value) => Value },
): Attended {
  const attended = parts.attention(x);
  const middle = net.op('Add', [x, attended.output]);
  return { output: net.op('Add', [middle, parts.mlp(middle)]), present: attended.present };
}
