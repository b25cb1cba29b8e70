/** The frame that decoders share: embedding, layers, last norm, head, and the ports around them. */
import type { Value } from '@penjing/core';
import { type CacheShape, decoderInputs, decoderOutputs } from '../decoder-ports.js';
import type { Network } from '../network.js';
import { type Attended, type AttentionShape, causalAttention, type KeyValue } from './attention.js';
import { embedding, languageHead, type VocabularyShape } from './embedding.js';
import type { LayerAttention } from './self-attention.js';

export interface DecoderShape extends CacheShape, VocabularyShape {}

/** What the checkpoint calls the modules: `model`, `embed_tokens`, `layers`, `lm_head`. */
export interface DecoderNames {
  readonly base: string;
  readonly embedding: string;
  readonly layers: string;
  readonly head: string;
}

export const llamaNames: DecoderNames = { base: 'model', embedding: 'embed_tokens', layers: 'layers', head: 'lm_head' };

/** What an architecture decides. Every x is (batch, seq, hidden). */
export interface DecoderParts {
  readonly names: DecoderNames;
  /** How each layer attends. */
  readonly attention: readonly AttentionShape[];
  /** What becomes of the token embeddings, (batch, seq, width of embeddings); `positions` are int64 (batch, seq). */
  embed?(tokens: Value, positions: Value): Value;
  /** Layer `index`, inside its module. */
  layer(x: Value, attention: LayerAttention, index: number): Attended;
  /** From the last layer to the head. */
  norm(x: Value): Value;
  /** What becomes of the logits, float32 (batch, seq, vocabulary). */
  logits?(logits: Value): Value;
}

/** Builds base and head; the head is the embedding table when the network is tied. */
export function causalDecoder(net: Network, shape: DecoderShape, parts: DecoderParts): void {
  const { ids, mask, positions, past } = decoderInputs(net, shape);
  const { names } = parts;
  const present: KeyValue[] = [];
  const { table, last } = net.module(names.base, () => {
    const { table, hidden } = embedding(net, names.embedding, ids, shape);
    const attend = causalAttention(net, { mask, positions }, parts.attention);
    let x = parts.embed?.(hidden, positions) ?? hidden;
    past.forEach((cached, i) => {
      const layer = net.module(`${names.layers}.${i}`, () => parts.layer(x, { attend: attend[i]!, past: cached }, i));
      x = layer.output;
      present.push(layer.present);
    });
    return { table, last: parts.norm(x) };
  });
  const raw = languageHead(net, names.head, last, shape, net.tied ? table : undefined);
  const logits = parts.logits?.(raw) ?? raw;
  decoderOutputs(net, shape, { logits, vocabulary: shape.vocabulary, present });
}

export interface LayerParts {
  attention(x: Value): Attended;
  mlp(x: Value): Value;
}

export interface ResidualParts extends LayerParts {
  /** What becomes of the sums. */
  afterAttention?(x: Value): Value;
  afterMlp?(x: Value): Value;
}

/** x + attention(x), then x + mlp(x); norms of the parts are inside them. */
export function residualLayer(net: Network, x: Value, parts: ResidualParts): Attended {
  const attended = parts.attention(x);
  const sum = net.op('Add', [x, attended.output]);
  const middle = parts.afterAttention?.(sum) ?? sum;
  const end = net.op('Add', [middle, parts.mlp(middle)]);
  return { output: parts.afterMlp?.(end) ?? end, present: attended.present };
}

/** x + attention(x) + mlp(x). */
export function parallelLayer(net: Network, x: Value, parts: LayerParts): Attended {
  const attended = parts.attention(x);
  const both = net.op('Add', [parts.mlp(x), attended.output]);
  return { output: net.op('Add', [both, x]), present: attended.present };
}
