/** Embeddings of text encoders: words, places, and which of two texts a token belongs to. */
import type { Value } from '@penjing/core';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { embedding, type Embedding } from './embedding.js';
import { layerNorm, type LayerNormShape } from './norm.js';

const INT64 = 7;

export interface TextEmbeddingShape {
  readonly vocabulary: number;
  readonly width: number;
  readonly maxPositions: number;
  /** Rows of the table of token types; 0 when there is none. */
  readonly types: number;
  readonly norm: LayerNormShape;
}

export function readTextEmbeddings(config: Fields, width: number, epsilon: number, types = config.size('type_vocab_size', 2)): TextEmbeddingShape {
  return {
    vocabulary: config.size('vocab_size'),
    width,
    maxPositions: config.size('max_position_embeddings', 512),
    types,
    norm: { width, epsilon },
  };
}

export interface TextEmbeddingInputs {
  /** int64 (batch, seq). */
  readonly ids: Value;
  /** int64 (batch, seq); the first type for every token when absent. */
  readonly types?: Value | undefined;
  /** int64 (batch, seq); one after the other from 0 when absent. */
  readonly positions?: Value | undefined;
}

/** norm(word + type + place), (batch, seq, width), inside the module `embeddings`. */
export function textEmbeddings(net: Network, { ids, types, positions }: TextEmbeddingInputs, shape: TextEmbeddingShape): Embedding {
  return net.module('embeddings', () => {
    const { table, hidden: words } = embedding(net, 'word_embeddings', ids, { vocabulary: shape.vocabulary, hidden: shape.width });
    const typed = shape.types === 0 ? words : net.op('Add', [words, typeEmbedding(net, types, shape)]);
    const placed = net.op('Add', [typed, net.module('position_embeddings', () => {
      const places = net.weight('weight', [shape.maxPositions, shape.width]);
      return positions ? net.op('Gather', [places, positions]) : net.op('Slice', [places, net.ints([0]), lengthOf(net, ids), net.ints([0])]);
    })]);
    return { table, hidden: layerNorm(net, 'LayerNorm', placed, shape.norm) };
  });
}

/**
 * Places of the tokens that are no padding, (batch, seq), counted from `padding` + 1; padding itself gets `padding`. It
 * is told by its id, not by the mask.
 */
export function positionsFromPadding(net: Network, ids: Value, padding: number): Value {
  return net.module('position_ids', () => {
    const real = net.op('Cast', [net.op('Not', [net.op('Equal', [ids, net.ints(padding)])])], { to: INT64 });
    const counted = net.op('Mul', [net.op('CumSum', [real, net.ints(1)]), real]);
    return net.op('Add', [counted, net.ints(padding)]);
  });
}

/** int64 (1, seq): 0, 1, 2, … for as many tokens as a row has. */
export function placesInOrder(net: Network, ids: Value): Value {
  return net.op('Unsqueeze', [net.op('Range', [net.ints(0), net.op('Squeeze', [lengthOf(net, ids)]), net.ints(1)]), net.ints([0])]);
}

/** int64 (1): the number of tokens in a row. */
export function lengthOf(net: Network, ids: Value): Value {
  return net.op('Shape', [ids], { start: 1, end: 2 });
}

function typeEmbedding(net: Network, types: Value | undefined, shape: TextEmbeddingShape): Value {
  return net.module('token_type_embeddings', () => net.op('Gather', [net.weight('weight', [shape.types, shape.width]), types ?? net.ints(0)]));
}
