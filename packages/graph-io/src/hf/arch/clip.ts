/** CLIP: an encoder of pictures and one of texts whose embeddings are compared; the two together or each alone. */
import { tensorType, type Value } from '@penjing/core';
import type { Architecture, BuildGraph, Task } from '../architecture.js';
import { encoderAttention, maskBias, pastTokens, type ProjectionNames, realTokens } from '../blocks/attention-encoder.js';
import { embedding } from '../blocks/embedding.js';
import { BERT_FIELDS, type EncoderFields, type EncoderShape, normFirstLayer, readEncoder } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { plainMlp } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import { gridOf, patchTokens, readPatches, withTokens } from '../blocks/patches.js';
import { lengthOf, placesInOrder } from '../blocks/text-embeddings.js';
import { firstToken } from '../blocks/text-heads.js';
import { matchOutputs, partOf, statesAt, unitLength } from '../blocks/two-towers.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { textInputs, type TextInputs } from '../text-ports.js';
import { pixelInput } from '../vision-ports.js';

const IGNORED = [/\.embeddings\.position_ids$/];
const TEXT = [/^text_model\./, /^text_projection\./];

export const clip: Architecture = {
  modelType: 'clip',
  classes: { CLIPModel: 'zero-shot-image-classification' },
  otherTasks: ['feature-extraction', 'image-feature-extraction'],
  unneeded: { 'feature-extraction': [/^logit_scale$/], 'image-feature-extraction': [/^logit_scale$/, ...TEXT] },
  ignoredWeights: IGNORED,
  clientConfig: () => ({}),
  graphs: (task) => GRAPHS[task] ?? {},
};

export const clipText: Architecture = {
  modelType: 'clip_text_model',
  classes: { CLIPTextModelWithProjection: 'feature-extraction' },
  ignoredWeights: IGNORED,
  clientConfig: () => ({}),
  graphs: () => ({ text_model: (net, config) => textModel(net, config, width(config)) }),
};

export const clipVision: Architecture = {
  modelType: 'clip_vision_model',
  classes: { CLIPVisionModelWithProjection: 'image-feature-extraction' },
  ignoredWeights: IGNORED,
  clientConfig: () => ({}),
  graphs: () => ({ vision_model: (net, config) => visionModel(net, config, width(config)) }),
};

const both: BuildGraph = (net, config) => {
  const inputs = textInputs(net, { tokenTypes: false, batch: 'text_batch_size' });
  const text = textTower(net, inputs, partOf(config, 'text_config'), width(config));
  const image = visionTower(net, partOf(config, 'vision_config'), width(config), 'image_batch_size');
  matchOutputs(net, { text: unitLength(net, text.embeds), image: unitLength(net, image.embeds), width: width(config) }, false);
};

const text: BuildGraph = (net, config) => textModel(net, partOf(config, 'text_config'), width(config));
const vision: BuildGraph = (net, config) => visionModel(net, partOf(config, 'vision_config'), width(config));

const GRAPHS: Partial<Record<Task, Readonly<Record<string, BuildGraph>>>> = {
  'zero-shot-image-classification': { model: both },
  'feature-extraction': { text_model: text, vision_model: vision },
  'image-feature-extraction': { vision_model: vision },
};

function textModel(net: Network, config: Fields, width: number): void {
  const { embeds, last, hidden } = textTower(net, textInputs(net, { tokenTypes: false }), config, width);
  net.builder.output(net.widen(embeds), 'text_embeds', tensorType('float32', ['batch_size', width]));
  net.builder.output(net.widen(last), 'last_hidden_state', tensorType('float32', ['batch_size', 'sequence_length', hidden]));
}

function visionModel(net: Network, config: Fields, width: number): void {
  const { embeds, last, hidden } = visionTower(net, config, width, 'batch_size');
  net.builder.output(net.widen(embeds), 'image_embeds', tensorType('float32', ['batch_size', width]));
  net.builder.output(net.widen(last), 'last_hidden_state', tensorType('float32', ['batch_size', 'tokens', hidden]));
}

interface Tower {
  /** (batch, width). */
  readonly embeds: Value;
  /** (batch, tokens, hidden). */
  readonly last: Value;
  readonly hidden: number;
}

/** A token sees those before it; the state of the end token is the text's. */
function textTower(net: Network, { ids, mask }: TextInputs, config: Fields, width: number): Tower {
  const shape = readEncoder(config, TEXT_FIELDS);
  const { hidden, norm } = shape;
  const vocabulary = config.size('vocab_size', 49_408);
  const maxPositions = config.size('max_position_embeddings', 77);
  const end = config.number('eos_token_id', 49_407);

  const last = net.module('text_model', () => {
    const x = net.module('embeddings', () => {
      const { hidden: words } = embedding(net, 'token_embedding', ids, { vocabulary, hidden });
      const places = net.module('position_embedding', () =>
        net.op('Slice', [net.weight('weight', [maxPositions, hidden]), net.ints([0]), lengthOf(net, ids), net.ints([0])]));
      return net.op('Add', [words, places]);
    });
    const bias = maskBias(net, net.op('And', [pastTokens(net, placesInOrder(net, ids)), realTokens(net, mask)]));
    return layerNorm(net, 'final_layer_norm', layers(net, x, shape, bias), norm);
  });
  // the first configs named 2, which is no end token; with them the end token is the one of the highest id
  const found = end === 2 ? ids : net.op('Cast', [net.op('Equal', [ids, net.ints(end)])], { to: INT32 });
  const pooled = statesAt(net, last, net.op('ArgMax', [found], { axis: 1, keepdims: 0 }));
  return { embeds: linear(net, 'text_projection', pooled, { inputs: hidden, outputs: width, bias: false }), last, hidden };
}

/** The state of the class token is the picture's. */
function visionTower(net: Network, config: Fields, width: number, batch: string): Tower {
  const shape = readEncoder(config, VISION_FIELDS);
  const { hidden, norm } = shape;
  const patches = readPatches(config, hidden, { image: 224, patch: 32, bias: false });
  const [rows, columns] = gridOf(patches);
  const pixels = pixelInput(net, patches, { batch });

  const { last, pooled } = net.module('vision_model', () => {
    const x = net.module('embeddings', () => {
      const { tokens } = patchTokens(net, 'patch_embedding', pixels, patches);
      const all = withTokens(net, [net.weight('class_embedding', [hidden])], tokens);
      return net.op('Add', [all, net.module('position_embedding', () => net.weight('weight', [1 + rows * columns, hidden]))]);
    });
    const last = layers(net, layerNorm(net, 'pre_layrnorm', x, norm), shape);
    return { last, pooled: layerNorm(net, 'post_layernorm', firstToken(net, last), norm) };
  });
  return { embeds: linear(net, 'visual_projection', pooled, { inputs: hidden, outputs: width, bias: false }), last, hidden };
}

/** Both towers are made of the same layers. */
function layers(net: Network, x: Value, { layers, norm, attention, mlp }: EncoderShape, bias?: Value): Value {
  for (let i = 0; i < layers; i++) {
    x = net.module(`encoder.layers.${i}`, () => normFirstLayer(net, x, LAYER, {
      norm,
      attention: (x) => encoderAttention(net, x, PROJECTIONS, attention, { bias }),
      mlp: (x) => plainMlp(net, x, { ...mlp, names: ['mlp.fc1', 'mlp.fc2'] }),
    }));
  }
  return x;
}

function width(config: Fields): number {
  return config.size('projection_dim', 512);
}

const INT32 = 6;
const PROJECTIONS: ProjectionNames = {
  query: 'self_attn.q_proj',
  key: 'self_attn.k_proj',
  value: 'self_attn.v_proj',
  output: 'self_attn.out_proj',
};
const LAYER = { attentionNorm: 'layer_norm1', mlpNorm: 'layer_norm2' };
const FIELDS: EncoderFields = { ...BERT_FIELDS, defaultActivation: 'quick_gelu', defaultEpsilon: 1e-5 };
const TEXT_FIELDS: EncoderFields = { ...FIELDS, sizes: { hidden: 512, layers: 12, heads: 8, intermediate: 2048 } };
const VISION_FIELDS: EncoderFields = { ...FIELDS, sizes: { hidden: 768, layers: 12, heads: 12, intermediate: 3072 } };
