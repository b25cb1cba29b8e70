/** Decoders with RMS norms, rotary embeddings and gated feed-forward layers: what has come after Llama. */
import type { Value } from '@penjing/core';
import type { BuildGraph } from '../architecture.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import type { AttentionShape } from './attention.js';
import { softcap } from './activation.js';
import { causalDecoder, type DecoderShape, llamaNames, residualLayer } from './decoder.js';
import { rmsNorm } from './norm.js';
import { perHead, selfAttention, type SelfAttentionShape } from './self-attention.js';

export interface RmsDecoder {
  readonly decoder: DecoderShape;
  /** How each layer attends. */
  readonly attention: readonly AttentionShape[];
  readonly projections: SelfAttentionShape;
  readonly norms: RmsNorms;
  /** The feed-forward part of layer `index`; x and the result are (batch, seq, hidden). */
  feedForward(net: Network, x: Value, index: number): Value;
  /** Multiplies the embeddings. */
  readonly embeddingScale?: number;
  /** Logits become cap · tanh(logit / cap). */
  readonly logitSoftcap?: number | undefined;
}

export interface RmsNorms {
  readonly epsilon: number;
  /** Added to stored weights; 0 when absent. */
  readonly offset?: number;
  /** Names of the norms around both parts of a layer; a part has one before it, after it, or both. */
  readonly around: { readonly attention: NormNames; readonly mlp: NormNames };
  /** Normalizes queries and keys: every head by itself, or the whole width. */
  readonly queryKey?: 'heads' | 'whole' | undefined;
}

export interface NormNames {
  readonly before?: string;
  readonly after?: string;
}

/** Before both parts: Llama and most of the others. */
export const preNorm: RmsNorms['around'] = {
  attention: { before: 'input_layernorm' },
  mlp: { before: 'post_attention_layernorm' },
};

/** A graph from what an architecture reads of its config. */
export function rmsDecoder(read: (config: Fields) => RmsDecoder): BuildGraph {
  return (net, config) => build(net, read(config));
}

function build(net: Network, spec: RmsDecoder): void {
  const { decoder, projections, norms, embeddingScale, logitSoftcap } = spec;
  const { epsilon, offset = 0 } = norms;
  const norm = (name: string, x: Value, width = decoder.hidden): Value => rmsNorm(net, name, x, { width, epsilon, offset });
  const maybe = (name: string | undefined, x: Value): Value => (name === undefined ? x : norm(name, x));
  const { attention: outer, mlp: inner } = norms.around;
  const shape = { ...projections, ...(norms.queryKey && { normalize: queryKeyNorm(net, spec, norm) }) };

  causalDecoder(net, decoder, {
    names: llamaNames,
    attention: spec.attention,
    ...(embeddingScale !== undefined && { embed: (tokens: Value) => net.op('Mul', [tokens, net.scalar(embeddingScale)]) }),
    layer: (x, attention, index) =>
      residualLayer(net, x, {
        attention: (x) => {
          const attended = selfAttention(net, 'self_attn', maybe(outer.before, x), shape, attention);
          return { ...attended, output: maybe(outer.after, attended.output) };
        },
        mlp: (x) => maybe(inner.after, spec.feedForward(net, maybe(inner.before, x), index)),
      }),
    norm: (x) => norm('norm', x),
    ...(logitSoftcap !== undefined && { logits: (x: Value) => softcap(net, x, logitSoftcap) }),
  });
}

function queryKeyNorm(
  net: Network, { projections: { headDim }, norms }: RmsDecoder, norm: (name: string, x: Value, width: number) => Value,
): NonNullable<SelfAttentionShape['normalize']> {
  if (norms.queryKey === 'whole') return (name, x, heads) => norm(name, x, heads * headDim);
  return (name, x, heads) => perHead(net, x, { heads, headDim }, (x) => norm(name, x, headDim));
}
