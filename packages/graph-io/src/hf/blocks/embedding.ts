/** Token embeddings and the head that turns hidden states into logits. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import { linear } from './linear.js';
import { type Table, tableOf } from './matrix.js';

export interface VocabularyShape {
  readonly vocabulary: number;
  /** Width of the embeddings. */
  readonly hidden: number;
}

export interface Embedding {
  /** (vocabulary, hidden), as stored. */
  readonly table: Table;
  /** (batch, seq, hidden). */
  readonly hidden: Value;
}

export function embedding(net: Network, name: string, ids: Value, { vocabulary, hidden }: VocabularyShape): Embedding {
  return net.module(name, () => {
    const table = tableOf(net, net.raw('weight', [vocabulary, hidden]));
    return { table, hidden: table.lookUp(ids) };
  });
}

/**
 * Logits (batch, seq, vocabulary) in float32: by the transposed embedding table when tied, by an own matrix otherwise;
 * with a `bias` of its own in both cases.
 */
export function languageHead(net: Network, name: string, x: Value, shape: VocabularyShape, tied?: Table, bias = false): Value {
  const { hidden, vocabulary } = shape;
  if (!tied) return net.widen(linear(net, name, x, { inputs: hidden, outputs: vocabulary, bias }));
  return net.module(name, () => {
    const product = tied.product(x);
    return net.widen(bias ? net.op('Add', [product, net.weight('bias', [vocabulary])]) : product);
  });
}
