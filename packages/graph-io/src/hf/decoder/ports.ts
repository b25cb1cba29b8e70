/** The inputs and outputs of a decoder, with a cache or without, as Optimum and transformers.js name them. */
import { tensorType, type Value } from '@penjing/core';
import type { KeyValue } from '../blocks/attention.js';
import { placesInOrder } from '../blocks/text-embeddings.js';
import type { Network } from '../network.js';
import { textInputs } from '../text-ports.js';

export interface CacheShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

export interface DecoderInputs {
  /** int64 (batch, seq). */
  readonly ids: Value;
  /** int64 (batch, total): 0 is padding. */
  readonly mask: Value;
  /** int64 (batch, seq). */
  readonly positions: Value;
  /** (batch, kvHeads, past, headDim) each, by layer; undefined where a run has no past. */
  readonly past: readonly (KeyValue | undefined)[];
}

/** Of a decoder that writes: what it has seen stays in the cache. */
export function cachedInputs(net: Network, { layers, kvHeads, headDim }: CacheShape): DecoderInputs {
  const { builder, dtype } = net;
  const int64 = (name: string, length: string): Value => builder.input(name, tensorType('int64', ['batch_size', length]));
  const cached = (name: string): Value =>
    builder.input(name, tensorType(dtype, ['batch_size', kvHeads, 'past_sequence_length', headDim]));
  return {
    ids: int64('input_ids', 'sequence_length'),
    mask: int64('attention_mask', 'total_sequence_length'),
    positions: int64('position_ids', 'sequence_length'),
    past: Array.from({ length: layers }, (_, i) => ({
      key: cached(`past_key_values.${i}.key`),
      value: cached(`past_key_values.${i}.value`),
    })),
  };
}

/**
 * Of a decoder that reads whole texts, as an encoder does. Places are counted from the start of a row, padding or not,
 * or over real tokens alone, where padding has none: -1.
 */
export function wholeInputs(net: Network, { layers }: CacheShape, counting: 'all' | 'real'): DecoderInputs {
  const { ids, mask } = textInputs(net, { tokenTypes: false });
  const positions = counting === 'all' ? net.op('Expand', [placesInOrder(net, ids), net.op('Shape', [ids])]) : placesOfReal(net, mask);
  return { ids, mask, positions, past: new Array<undefined>(layers).fill(undefined) };
}

function placesOfReal(net: Network, mask: Value): Value {
  const counted = net.op('Mul', [net.op('CumSum', [mask, net.ints(1)]), mask]);
  return net.op('Sub', [counted, net.ints(1)]);
}

/** `logits` are float32 (batch, seq, vocabulary); `present` is by layer. */
export function cachedOutputs(
  net: Network,
  { kvHeads, headDim }: CacheShape,
  { logits, vocabulary, present }: { readonly logits: Value; readonly vocabulary: number; readonly present: readonly KeyValue[] },
): void {
  const { builder, dtype } = net;
  builder.output(logits, 'logits', tensorType('float32', ['batch_size', 'sequence_length', vocabulary]));
  const cached = tensorType(dtype, ['batch_size', kvHeads, 'total_sequence_length', headDim]);
  present.forEach(({ key, value }, i) => {
    builder.output(key, `present.${i}.key`, cached);
    builder.output(value, `present.${i}.value`, cached);
  });
}
