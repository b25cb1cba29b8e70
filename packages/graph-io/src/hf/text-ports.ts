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

/** `batch` names the axis where pictures have another. */
export function textInputs(net: Network, { tokenTypes, batch = 'batch_size' }: { readonly tokenTypes: boolean; readonly batch?: string }): TextInputs {
  const input = (name: string): Value => net.builder.input(name, tensorType('int64', [batch, 'sequence_length']));
  return { ids: input('input_ids'), mask: input('attention_mask'), types: tokenTypes ? input('token_type_ids') : undefined };
}
