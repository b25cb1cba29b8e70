/** The frame that encoders since BERT share: embeddings, a mask made once, and layers that normalize after adding. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import { textInputs } from '../text-ports.js';
import { maskBias, realTokens } from './attention-encoder.js';
import type { Embedding } from './embedding.js';
import { type EncoderLayerNames, type EncoderShape, postNormLayer } from './encoder.js';
import { textEmbeddings, type TextEmbeddingShape } from './text-embeddings.js';

/** What an architecture decides. */
export interface PostNormEncoder {
  /** The module around the whole network: `bert`. */
  readonly module: string;
  /** Whether `token_type_ids` is an input. */
  readonly tokenTypes: boolean;
  readonly words: TextEmbeddingShape;
  readonly shape: EncoderShape;
  readonly names: EncoderLayerNames;
  /** Module of layer `index`; layers of the same module share their weights. */
  readonly layer: (index: number) => string;
  /** int64 (batch, seq): the places of the tokens; from 0 in every row when absent. */
  readonly positions?: (ids: Value) => Value;
  /** Between embeddings and layers, (batch, seq, width) to (batch, seq, hidden). */
  readonly project?: (x: Value) => Value;
  /** Added to all scores besides the mask, (1, heads, seq, seq), float32. */
  readonly scores?: (ids: Value) => Value;
}

/** The last hidden states, (batch, seq, hidden), and the embedding table. */
export function postNormEncoder(net: Network, parts: PostNormEncoder): Embedding {
  const { ids, mask, types } = textInputs(net, parts);
  return net.module(parts.module, () => {
    const { table, hidden } = textEmbeddings(net, { ids, types, positions: parts.positions?.(ids) }, parts.words);
    const padding = net.module('attention', () => maskBias(net, realTokens(net, mask))); // (batch, 1, 1, seq)
    const bias = parts.scores ? net.op('Add', [parts.scores(ids), padding]) : padding;
    let x = parts.project ? parts.project(hidden) : hidden;
    for (let i = 0; i < parts.shape.layers; i++) {
      x = net.module(parts.layer(i), () => postNormLayer(net, x, parts.names, parts.shape, bias));
    }
    return { table, hidden: x };
  });
}
