/** The layers of BART, which Marian, mBART and Whisper have too, with norms before or after each part. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { LayerCache } from '../seq2seq-ports.js';
import type { ActivationName } from './activation.js';
import { encoderAttention } from './attention-encoder.js';
import { cachedSelfAttention, crossAttention, type DecoderMemory } from './cross-attention.js';
import { plainMlp } from './mlp.js';
import { layerNorm, type LayerNormShape } from './norm.js';

export interface BartShape {
  readonly hidden: number;
  readonly activation: ActivationName;
  readonly norm: LayerNormShape;
  /** `pre`: x + part(norm(x)). `post`: norm(x + part(x)). */
  readonly order: 'pre' | 'post';
  /** Whether keys have a bias, as queries and values do. */
  readonly keyBias: boolean;
}

/** Sizes of the encoder's or the decoder's layers. */
export interface BartSide {
  readonly layers: number;
  readonly heads: number;
  readonly intermediate: number;
}

const NAMES = { query: 'q_proj', key: 'k_proj', value: 'v_proj', output: 'out_proj' };

/** All layers, inside the module of the encoder; `bias` is added to the scores. */
export function bartEncoderLayers(net: Network, x: Value, shape: BartShape, side: BartSide, bias?: Value): Value {
  const { hidden, keyBias } = shape;
  const attention = { hidden, heads: side.heads, headDim: hidden / side.heads, bias: true, keyBias };
  let last = x;
  for (let i = 0; i < side.layers; i++) {
    last = net.module(`layers.${i}`, () => {
      const attended = part(net, 'self_attn_layer_norm', last, shape, (x) =>
        net.module('self_attn', () => encoderAttention(net, x, NAMES, attention, { bias })));
      return feedForward(net, attended, shape, side);
    });
  }
  return last;
}

export interface DecoderBiases {
  /** Hides later tokens, (seq, total). */
  readonly self: Value;
  /** Hides padding of the encoder. */
  readonly cross?: Value | undefined;
}

/** All layers, inside the module of the decoder. */
export function bartDecoderLayers(
  net: Network, x: Value, shape: BartShape, side: BartSide, inputs: DecoderMemory, biases: DecoderBiases,
): { readonly last: Value; readonly present: readonly LayerCache[] } {
  const { hidden, keyBias } = shape;
  const headDim = hidden / side.heads;
  const attention = { hidden, heads: side.heads, headDim, bias: true, keyBias, scale: headDim ** -0.5, names: NAMES };
  const present: LayerCache[] = [];
  let last = x;
  for (const [i, past] of inputs.past.entries()) {
    last = net.module(`layers.${i}`, () => {
      const cache: Partial<Record<keyof LayerCache, LayerCache['decoder']>> = {};
      const own = part(net, 'self_attn_layer_norm', last, shape, (x) => {
        const { output, present } = cachedSelfAttention(net, 'self_attn', x, attention, past?.decoder, biases.self);
        cache.decoder = present;
        return output;
      });
      const crossed = part(net, 'encoder_attn_layer_norm', own, shape, (x) => {
        const { output, present } = crossAttention(net, 'encoder_attn', x, attention, inputs, past, biases.cross);
        cache.encoder = present;
        return output;
      });
      present.push({ decoder: cache.decoder!, encoder: cache.encoder! });
      return feedForward(net, crossed, shape, side);
    });
  }
  return { last, present };
}

function feedForward(net: Network, x: Value, shape: BartShape, { intermediate }: BartSide): Value {
  const { hidden, activation } = shape;
  return part(net, 'final_layer_norm', x, shape, (x) => plainMlp(net, x, { hidden, intermediate, activation, bias: true, names: ['fc1', 'fc2'] }));
}

function part(net: Network, norm: string, x: Value, { order, norm: shape }: BartShape, body: (x: Value) => Value): Value {
  if (order === 'pre') return net.op('Add', [x, body(layerNorm(net, norm, x, shape))]);
  return layerNorm(net, norm, net.op('Add', [x, body(x)]), shape);
}
