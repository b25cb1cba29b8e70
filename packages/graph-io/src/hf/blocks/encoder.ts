/** The layers that encoders are stacks of, and the fields of a config that give their sizes. */
import type { Value } from '@penjing/core';
import { type Fields, MAX_HEAD_DIM, MAX_LAYERS } from '../fields.js';
import type { Network } from '../network.js';
import { type ActivationName, activations } from './activation.js';
import { encoderAttention, type EncoderAttentionShape, type ProjectionNames } from './attention-encoder.js';
import { type MlpShape, plainMlp, type PlainMlpShape } from './mlp.js';
import { layerNorm, type LayerNormShape } from './norm.js';

export interface EncoderShape {
  readonly layers: number;
  readonly hidden: number;
  readonly attention: EncoderAttentionShape;
  readonly mlp: MlpShape;
  readonly norm: LayerNormShape;
}

/** Modules of a layer, as the checkpoint names them. */
export interface EncoderLayerNames extends ProjectionNames {
  readonly attentionNorm: string;
  readonly mlp: PlainMlpShape['names'];
  readonly mlpNorm: string;
}

/** The original order: norm(x + attention(x)), then norm(x + mlp(x)). */
export function postNormLayer(net: Network, x: Value, names: EncoderLayerNames, shape: EncoderShape, bias?: Value): Value {
  return afterAttention(net, x, encoderAttention(net, x, names, shape.attention, { bias }), names, shape);
}

/** The rest of such a layer, behind its attention. */
export function afterAttention(net: Network, x: Value, attended: Value, names: Pick<EncoderLayerNames, 'attentionNorm' | 'mlp' | 'mlpNorm'>, shape: Pick<EncoderShape, 'mlp' | 'norm'>): Value {
  const middle = layerNorm(net, names.attentionNorm, net.op('Add', [x, attended]), shape.norm);
  const fed = plainMlp(net, middle, { ...shape.mlp, names: names.mlp });
  return layerNorm(net, names.mlpNorm, net.op('Add', [middle, fed]), shape.norm);
}

export interface NormFirstNames {
  readonly attentionNorm: string;
  readonly mlpNorm: string;
  /** Weights, (hidden), that what is added is multiplied by; none when absent. */
  readonly scales?: readonly [attention: string, mlp: string];
}

/** x + attention(norm(x)), then x + mlp(norm(x)). */
export function normFirstLayer(
  net: Network,
  x: Value,
  { attentionNorm, mlpNorm, scales }: NormFirstNames,
  { norm, attention, mlp }: { readonly norm: LayerNormShape; readonly attention: (x: Value) => Value; readonly mlp: (x: Value) => Value },
): Value {
  const scaled = (x: Value, name?: string): Value => (name === undefined ? x : net.op('Mul', [x, net.weight(name, [norm.width])]));
  const middle = net.op('Add', [x, scaled(attention(layerNorm(net, attentionNorm, x, norm)), scales?.[0])]);
  return net.op('Add', [middle, scaled(mlp(layerNorm(net, mlpNorm, middle, norm)), scales?.[1])]);
}

/** How the fields of the sizes are called, and what transformers takes when the activation or the epsilon is absent. */
export interface EncoderFields {
  readonly hidden: string;
  readonly layers: string;
  readonly heads: string;
  /** Undefined where the config has no such field; then it is four times `hidden`. */
  readonly intermediate?: string;
  /** What transformers takes when a size is absent, where configs leave sizes out. */
  readonly sizes?: { readonly hidden: number; readonly layers: number; readonly heads: number; readonly intermediate: number };
  readonly activation: string;
  readonly defaultActivation: ActivationName;
  /** Field of the norms' epsilon; undefined where the code fixes it. */
  readonly epsilon?: string;
  readonly defaultEpsilon: number;
}

/** As BERT calls them. */
export const BERT_FIELDS: EncoderFields = {
  hidden: 'hidden_size',
  layers: 'num_hidden_layers',
  heads: 'num_attention_heads',
  intermediate: 'intermediate_size',
  activation: 'hidden_act',
  defaultActivation: 'gelu',
  epsilon: 'layer_norm_eps',
  defaultEpsilon: 1e-12,
};

export function readEncoder(config: Fields, names: EncoderFields = BERT_FIELDS): EncoderShape {
  const { sizes } = names;
  const hidden = config.size(names.hidden, sizes?.hidden);
  const heads = config.size(names.heads, sizes?.heads);
  if (hidden % heads !== 0) throw config.wrong(names.hidden, `a multiple of ${names.heads} ${heads}`);
  if (hidden / heads > MAX_HEAD_DIM) throw config.wrong(names.hidden, `at most ${MAX_HEAD_DIM} for each of ${heads} heads`);
  const activation: ActivationName = config.choice(names.activation, activations, names.defaultActivation);
  return {
    layers: config.size(names.layers, sizes?.layers, MAX_LAYERS),
    hidden,
    attention: { hidden, heads, headDim: hidden / heads, bias: true },
    mlp: { hidden, intermediate: names.intermediate === undefined ? 4 * hidden : config.size(names.intermediate, sizes?.intermediate), activation, bias: true },
    norm: { width: hidden, epsilon: names.epsilon === undefined ? names.defaultEpsilon : config.positive(names.epsilon, names.defaultEpsilon) },
  };
}

/** The number of classes: transformers takes `usual` when the config names none. */
export function readLabels(config: Fields, usual = 2): number {
  const names = config.inside('id2label');
  return names ? Object.keys(names.values).length : config.size('num_labels', usual);
}
