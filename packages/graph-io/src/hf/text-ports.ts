/** The inputs of a text encoder, as Optimum and transformers.js name them. */
import { tensorType, type Value } from '@penjing/core';
import type { Network } from './network.js';

export interface TextInputs {
  /** int64 (batch, seq). */
  readonly ids: Value;
  /** int64 (batch, seq): 0 is padding. */
  readonly mask: Value;
  /** int64 (batch, seq): which of two texts a token belongs to. */
  readonly types: Value | undefined;
}

export interface TextAxes {
  readonly tokenTypes: boolean;
  /** Names the axis where pictures have another. */
  readonly batch?: string;
  readonly length?: string;
}

export function textInputs(net: Network, { tokenTypes, batch = 'batch_size', length = 'sequence_length' }: TextAxes): TextInputs {
  const input = (name: string): Value => {
    if (net.task !== 'multiple-choice') return net.builder.input(name, tensorType('int64', [batch, length]));
    const choices = net.builder.input(name, tensorType('int64', [batch, 'num_choices', length]));
    return net.op('Reshape', [choices, net.op('Concat', [net.ints([-1]), net.op('Shape', [choices], { start: 2, end: 3 })], { axis: 0 })]);
  };
  return { ids: input('input_ids'), mask: input('attention_mask'), types: tokenTypes ? input('token_type_ids') : undefined };
}
