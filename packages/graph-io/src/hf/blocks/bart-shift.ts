/** What the decoder of BART or T5 gets when it reads a text whole, and which of its states is the text's. */
import type { Value } from '@penjing/core';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { placesInOrder } from './text-embeddings.js';

const INT64 = 7;

/** int64 (batch): the place of the last end of a text in each row. */
export function lastEnd(net: Network, ids: Value, end: number): Value {
  const ends = net.op('Cast', [net.op('Equal', [ids, net.ints(end)])], { to: INT64 });
  return net.op('ReduceMax', [net.op('Mul', [placesInOrder(net, ids), ends]), net.ints([1])], { keepdims: 0 });
}

/** The first token is the one that decoders start with; the others move to the right. */
export function afterStart(net: Network, ids: Value, first: number): Value {
  const start = net.op('Expand', [net.ints([first]), net.op('Concat', [net.op('Shape', [ids], { start: 0, end: 1 }), net.ints([1])], { axis: 0 })]);
  return net.op('Concat', [start, net.op('Slice', [ids, net.ints([0]), net.ints([-1]), net.ints([1])])], { axis: 1 });
}

/** The last token that is not padding comes first: in mBART that is the language. */
export function afterLast(net: Network, ids: Value, config: Fields): Value {
  const real = net.op('Cast', [net.op('Not', [net.op('Equal', [ids, net.ints(config.number('pad_token_id', 1))])])], { to: INT64 });
  const count = net.op('Sub', [net.op('ReduceSum', [real, net.ints([1])], { keepdims: 1 }), net.ints([1])]); // (batch, 1)
  const start = net.op('GatherElements', [ids, count], { axis: 1 });
  return net.op('Concat', [start, net.op('Slice', [ids, net.ints([0]), net.ints([-1]), net.ints([1])])], { axis: 1 });
}
