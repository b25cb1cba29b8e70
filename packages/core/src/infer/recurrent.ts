/** Shape rules of recurrent operators. */
import type { OpName } from '../ops/lookup.js';
import type { Dim } from '../shape.js';
import { type InferRule, tensor } from './rule.js';

/** X (seq, batch, input), or (batch, seq, input) with layout 1. */
const recurrent: InferRule = (c) => {
  const x = c.shape(0);
  const r = c.shape(2);
  const directions = c.node.string('direction', 'forward') === 'bidirectional' ? 2 : 1;
  const hidden: Dim = c.node.int('hidden_size') ?? r?.[2] ?? null;
  const batchFirst = c.node.int('layout', 0) === 1;
  const batch = x?.[batchFirst ? 0 : 1] ?? null;
  const seq = x?.[batchFirst ? 1 : 0] ?? null;
  const dtype = c.dtype(0);
  const state = tensor(dtype, batchFirst ? [batch, directions, hidden] : [directions, batch, hidden]);
  return [tensor(dtype, batchFirst ? [batch, seq, directions, hidden] : [seq, directions, batch, hidden]), state, state];
};

export const recurrentRules = {
  RNN: recurrent, GRU: recurrent, LSTM: recurrent,
} satisfies Partial<Record<OpName, InferRule>>;
