/** The inputs and outputs of an encoder and of its decoder with a cache, as Optimum and transformers.js name them. */
import { tensorType, type Value } from '@penjing/core';
import type { KeyValue } from './blocks/attention.js';
import type { Network } from './network.js';

export interface MergedShape {
  readonly layers: number;
  readonly heads: number;
  readonly headDim: number;
  /** Width of the encoder's states. */
  readonly hidden: number;
  readonly vocabulary: number;
}

/** Keys and values of a layer: of the decoder's own tokens, and of the encoder's states. */
export interface LayerCache {
  readonly decoder: KeyValue;
  readonly encoder: KeyValue;
}

export interface MergedInputs {
  /** int64 (batch, seq). */
  readonly ids: Value;
  /** int64 (batch, encoder seq): 0 is padding; undefined when encoders have none. */
  readonly encoderMask: Value | undefined;
  /** (batch, encoder seq, hidden), in the network's type. */
  readonly encoderStates: Value;
  /** bool (1): false in the first step, when there is no cache. */
  readonly useCache: Value;
  readonly past: readonly LayerCache[];
}

/** Of `decoder_model_merged`: one graph for the first step and the others. */
export function mergedInputs(net: Network, shape: MergedShape, { encoderMask }: { readonly encoderMask: boolean }): MergedInputs {
  const { builder, dtype } = net;
  const { layers, heads, headDim, hidden } = shape;
  const int64 = (name: string, length: string): Value => builder.input(name, tensorType('int64', ['batch_size', length]));
  const mask = encoderMask ? int64('encoder_attention_mask', 'encoder_sequence_length') : undefined;
  const ids = int64('input_ids', 'decoder_sequence_length');
  // float32 always, so that an encoder of one type works with a decoder of another
  const states = builder.input('encoder_hidden_states', tensorType('float32', ['batch_size', 'encoder_sequence_length', hidden]));
  const cached = (name: string, length: string): Value => builder.input(name, tensorType(dtype, ['batch_size', heads, length, headDim]));
  const pair = (i: number, part: 'decoder' | 'encoder'): KeyValue => ({
    key: cached(`past_key_values.${i}.${part}.key`, `past_${part}_sequence_length`),
    value: cached(`past_key_values.${i}.${part}.value`, `past_${part}_sequence_length`),
  });
  const past = Array.from({ length: layers }, (_, i): LayerCache => ({ decoder: pair(i, 'decoder'), encoder: pair(i, 'encoder') }));
  const useCache = builder.input('use_cache_branch', tensorType('bool', [1]));
  return { ids, encoderMask: mask, encoderStates: net.narrow(states), useCache, past };
}

/** `logits` are float32. What is cached of the encoder is empty in later steps: clients keep what the first one gave. */
export function mergedOutputs(net: Network, shape: MergedShape, logits: Value, present: readonly LayerCache[]): void {
  const { builder, dtype } = net;
  const { heads, headDim, vocabulary } = shape;
  builder.output(logits, 'logits', tensorType('float32', ['batch_size', 'decoder_sequence_length', vocabulary]));
  for (const [i, layer] of present.entries()) {
    for (const part of ['decoder', 'encoder'] as const) {
      const type = tensorType(dtype, ['batch_size', heads, `present_${part}_sequence_length`, headDim]);
      builder.output(layer[part].key, `present.${i}.${part}.key`, type);
      builder.output(layer[part].value, `present.${i}.${part}.value`, type);
    }
  }
}

/** `last_hidden_state` of `encoder_model`, float32 (batch, length, hidden). */
export function encoderOutput(net: Network, x: Value, length: string | number, hidden: number): void {
  net.builder.output(net.widen(x), 'last_hidden_state', tensorType('float32', ['batch_size', length, hidden]));
}
