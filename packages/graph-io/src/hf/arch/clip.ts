/** CLIP: an encoder of pictures and one of texts whose embeddings are compared; the two together or each alone. */
import { tensorType, type Value } from '@penjing/core';
import type { Architecture, BuildGraph, Task } from '../architecture.js';
import { encoderAttention, maskBias, pastTokens, type ProjectionNames, realTokens } from '../blocks/attention-encoder.js';
import { embedding } from '../blocks/embedding.js';
import { BERT_FIELDS, type EncoderFields, type EncoderShape, normFirstLayer, readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { plainMlp } from '../blocks/mlp.js';
import { layerNorm, type LayerNormShape } from '../blocks/norm.js';
import { gridOf, patchTokens, readPatches, withTokens } from '../blocks/patches.js';
import { lengthOf, placesInOrder } from '../blocks/text-embeddings.js';
import { firstToken } from '../blocks/text-heads.js';
import { matchOutputs, partOf, statesAt, unitLength } from '../blocks/two-towers.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { textInputs, type TextInputs } from '../text-ports.js';
import { classify, pixelInput } from '../vision-ports.js';

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

/** Its checkpoints have one tower. */
export const clipClasses: Architecture = {
  modelType: 'clip',
  classes: { CLIPForImageClassification: 'image-classification' },
  ignoredWeights: [...IGNORED, /^vision_model\.post_layernorm\./],
  clientConfig: () => ({}),
  graphs: () => ({ model: (net, config) => classesOfPictures(net, config) }),
};

export const clipText: Architecture = {
  modelType: 'clip_text_model',
  backbone: 'text_model',
  classes: { CLIPTextModelWithProjection: 'feature-extraction', CLIPTextModel: 'feature-extraction' },
  ignoredWeights: IGNORED,
  clientConfig: () => ({}),
  graphs: () => ({ text_model: (net, config) => textModel(net, config, width(config)) }),
};

export const clipVision: Architecture = {
  modelType: 'clip_vision_model',
  backbone: 'vision_model',
  classes: { CLIPVisionModelWithProjection: 'image-feature-extraction', CLIPVisionModel: 'image-feature-extraction' },
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

/** Of the mean of all patches, without the last norm. */
function classesOfPictures(net: Network, config: Fields): void {
  const { last, hidden } = visionStates(net, partOf(config, 'vision_config'), 'batch_size');
  const patches = net.op('Slice', [last, net.ints([1]), net.ints([END]), net.ints([1])]);
  classify(net, net.op('ReduceMean', [patches, net.ints([1])], { keepdims: 0 }), hidden, readLabels(config));
}

/** Of ranges that end where the axis does. */
const END = 2 ** 31 - 1;

/** With its projection, or with what it would project where the checkpoint has none. */
function textModel(net: Network, config: Fields, width: number): void {
  const projects = net.has('text_projection.weight');
  const { embeds, last, hidden } = textTower(net, textInputs(net, { tokenTypes: false }), config, projects ? width : undefined);
  net.builder.output(net.widen(embeds), projects ? 'text_embeds' : 'pooler_output', tensorType('float32', ['batch_size', projects ? width : hidden]));
  net.builder.output(net.widen(last), 'last_hidden_state', tensorType('float32', ['batch_size', 'sequence_length', hidden]));
}

function visionModel(net: Network, config: Fields, width: number): void {
  const projects = net.has('visual_projection.weight');
  const { embeds, last, hidden } = visionTower(net, config, projects ? width : undefined, 'batch_size');
  net.builder.output(net.widen(embeds), projects ? 'image_embeds' : 'pooler_output', tensorType('float32', ['batch_size', projects ? width : hidden]));
  net.builder.output(net.widen(last), 'last_hidden_state', tensorType('float32', ['batch_size', 'tokens', hidden]));
}

interface Tower {
  /** (batch, width), or (batch, hidden) where nothing projects. */
  readonly embeds: Value;
  /** (batch, tokens, hidden). */
  readonly last: Value;
  readonly hidden: number;
}

/** A token sees those before it; the state of the end token is the text's. */
function textTower(net: Network, { ids, mask }: TextInputs, config: Fields, width: number | undefined): Tower {
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
  return { embeds: projected(net, 'text_projection', pooled, hidden, width), last, hidden };
}

function projected(net: Network, name: string, x: Value, inputs: number, outputs: number | undefined): Value {
  return outputs === undefined ? x : linear(net, name, x, { inputs, outputs, bias: false });
}

/** The state of the class token is the picture's. */
function visionTower(net: Network, config: Fields, width: number | undefined, batch: string): Tower {
  const { last, hidden, norm } = visionStates(net, config, batch);
  const pooled = net.module('vision_model', () => layerNorm(net, 'post_layernorm', firstToken(net, last), norm));
  return { embeds: projected(net, 'visual_projection', pooled, hidden, width), last, hidden };
}

function visionStates(net: Network, config: Fields, batch: string): Pick<Tower, 'last' | 'hidden'> & { readonly norm: LayerNormShape } {
  const shape = readEncoder(config, VISION_FIELDS);
  const { hidden, norm } = shape;
  const patches = readPatches(config, hidden, { image: 224, patch: 32, bias: false });
  const [rows, columns] = gridOf(patches);
  const pixels = pixelInput(net, patches, { batch });

  const last = net.module('vision_model', () => {
    const x = net.module('embeddings', () => {
      const { tokens } = patchTokens(net, 'patch_embedding', pixels, patches);
      const all = withTokens(net, [net.weight('class_embedding', [hidden])], tokens);
      return net.op('Add', [all, net.module('position_embedding', () => net.weight('weight', [1 + rows * columns, hidden]))]);
    });
    return layers(net, layerNorm(net, 'pre_layrnorm', x, norm), shape);
  });
  return { last, hidden, norm };
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
