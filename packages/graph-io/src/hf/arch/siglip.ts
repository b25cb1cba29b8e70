/** SigLIP: CLIP without projections, class token and masks; each pair of picture and text is scored by itself. */
import { tensorType, type Value } from '@penjing/core';
import type { Architecture, BuildGraph, Renaming, Task } from '../architecture.js';
import { attend, encoderAttention, type ProjectionNames } from '../blocks/attention-encoder.js';
import { embedding } from '../blocks/embedding.js';
import { BERT_FIELDS, type EncoderFields, type EncoderShape, normFirstLayer, readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { plainMlp, type PlainMlpShape } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import { gridOf, patchTokens, readPatches } from '../blocks/patches.js';
import { lengthOf } from '../blocks/text-embeddings.js';
import { firstToken } from '../blocks/text-heads.js';
import { matchOutputs, partOf, unitLength } from '../blocks/two-towers.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { classify, pixelInput } from '../vision-ports.js';

const TEXT = [/^text_model\./];
// torch's own attention module keeps three matrices in one, under no module's name
const RENAMED: readonly Renaming[] = [[/\.in_proj_(weight|bias)$/, '.in_proj.$1']];
const IGNORED = [/\.embeddings\.position_ids$/];
const SCORES = [/^logit_(scale|bias)$/];

export const siglip: Architecture = {
  modelType: 'siglip',
  classes: { SiglipModel: 'zero-shot-image-classification' },
  otherTasks: ['feature-extraction', 'image-feature-extraction'],
  unneeded: { 'feature-extraction': SCORES, 'image-feature-extraction': [...SCORES, ...TEXT] },
  renamed: RENAMED,
  ignoredWeights: IGNORED,
  clientConfig: () => ({}),
  graphs: (task) => GRAPHS[task] ?? {},
};

/** Its checkpoints have one tower. */
export const siglipClasses: Architecture = {
  modelType: 'siglip',
  classes: { SiglipForImageClassification: 'image-classification' },
  ignoredWeights: [...IGNORED, /^vision_model\.head\./],
  clientConfig: () => ({}),
  graphs: () => ({ model: (net, config) => classesOfPictures(net, config) }),
};

export const siglipText: Architecture = {
  modelType: 'siglip_text_model',
  backbone: 'text_model',
  classes: { SiglipTextModel: 'feature-extraction' },
  ignoredWeights: IGNORED,
  clientConfig: () => ({}),
  graphs: () => ({ text_model: (net, config) => alone(net, textTower(net, config, 'batch_size'), 'sequence_length') }),
};

export const siglipVision: Architecture = {
  modelType: 'siglip_vision_model',
  backbone: 'vision_model',
  classes: { SiglipVisionModel: 'image-feature-extraction' },
  renamed: RENAMED,
  ignoredWeights: IGNORED,
  clientConfig: () => ({}),
  graphs: () => ({ vision_model: (net, config) => alone(net, visionTower(net, config, 'batch_size'), 'tokens') }),
};

const both: BuildGraph = (net, config) => {
  const text = textTower(net, partOf(config, 'text_config'), 'text_batch_size');
  const image = visionTower(net, partOf(config, 'vision_config'), 'image_batch_size');
  matchOutputs(net, { text: unitLength(net, text.pooled), image: unitLength(net, image.pooled), width: image.width }, true);
};

const text: BuildGraph = (net, config) => alone(net, textTower(net, partOf(config, 'text_config'), 'batch_size'), 'sequence_length');
const vision: BuildGraph = (net, config) => alone(net, visionTower(net, partOf(config, 'vision_config'), 'batch_size'), 'tokens');

const GRAPHS: Partial<Record<Task, Readonly<Record<string, BuildGraph>>>> = {
  'zero-shot-image-classification': { model: both },
  'feature-extraction': { text_model: text, vision_model: vision },
  'image-feature-extraction': { vision_model: vision },
};

/** Of the mean of all patches, without the head that attends to all of them. */
function classesOfPictures(net: Network, config: Fields): void {
  const { last, hidden } = visionStates(net, partOf(config, 'vision_config'), 'batch_size');
  classify(net, net.op('ReduceMean', [last, net.ints([1])], { keepdims: 0 }), hidden, readLabels(config));
}

interface Tower {
  /** (batch, tokens, hidden). */
  readonly last: Value;
  readonly hidden: number;
  /** (batch, width). */
  readonly pooled: Value;
  readonly width: number;
}

function alone(net: Network, { last, hidden, pooled, width }: Tower, tokens: string): void {
  net.builder.output(net.widen(last), 'last_hidden_state', tensorType('float32', ['batch_size', tokens, hidden]));
  net.builder.output(net.widen(pooled), 'pooler_output', tensorType('float32', ['batch_size', width]));
}

/** Texts are padded to one length and padding is seen like any other token; the state of the last token is the text's. */
function textTower(net: Network, config: Fields, batch: string): Tower {
  const shape = readEncoder(config, FIELDS);
  const { hidden, norm } = shape;
  const width = config.size('projection_size', hidden);
  const maxPositions = config.size('max_position_embeddings', 64);
  const ids = net.builder.input('input_ids', tensorType('int64', [batch, 'sequence_length']));

  return net.module('text_model', () => {
    const x = net.module('embeddings', () => {
      const { hidden: words } = embedding(net, 'token_embedding', ids, { vocabulary: config.size('vocab_size', 32_000), hidden });
      const places = net.module('position_embedding', () =>
        net.op('Slice', [net.weight('weight', [maxPositions, hidden]), net.ints([0]), lengthOf(net, ids), net.ints([0])]));
      return net.op('Add', [words, places]);
    });
    const last = layerNorm(net, 'final_layer_norm', layers(net, x, shape), norm);
    const end = net.op('Gather', [last, net.ints(-1)], { axis: 1 });
    return { last, hidden, pooled: linear(net, 'head', end, { inputs: hidden, outputs: width, bias: true }), width };
  });
}

function visionTower(net: Network, config: Fields, batch: string): Tower {
  config.only('vision_use_head', true, 'without its head there is nothing to compare');
  const { last, hidden, shape } = visionStates(net, config, batch);
  return { last, hidden, pooled: net.module('vision_model.head', () => attentionPool(net, last, shape)), width: hidden };
}

function visionStates(net: Network, config: Fields, batch: string): Pick<Tower, 'last' | 'hidden'> & { readonly shape: EncoderShape } {
  const shape = readEncoder(config, FIELDS);
  const { hidden, norm } = shape;
  const patches = readPatches(config, hidden, { image: 224, patch: 16 });
  const [rows, columns] = gridOf(patches);
  const pixels = pixelInput(net, patches, { batch });

  const last = net.module('vision_model', () => {
    const x = net.module('embeddings', () => {
      const { tokens } = patchTokens(net, 'patch_embedding', pixels, patches);
      return net.op('Add', [tokens, net.module('position_embedding', () => net.weight('weight', [rows * columns, hidden]))]);
    });
    return layerNorm(net, 'post_layernorm', layers(net, x, shape), norm);
  });
  return { last, hidden, shape };
}

/** A learnt query attends to all tokens; then a feed-forward layer, (batch, hidden). */
function attentionPool(net: Network, x: Value, { hidden, attention, mlp, norm }: EncoderShape): Value {
  const query = net.weight('probe', [1, 1, hidden]);
  const mixed = net.module('attention', () => {
    const project = (name: string, x: Value, part: number): Value =>
      linear(net, name, x, { inputs: hidden, outputs: hidden, bias: true, stored: { module: 'in_proj', outputs: 3 * hidden, start: part * hidden } });
    const projections = { query: project('query', query, 0), key: project('key', x, 1), value: project('value', x, 2) };
    return linear(net, 'out_proj', attend(net, projections, attention), { inputs: hidden, outputs: hidden, bias: true });
  });
  const fed = plainMlp(net, layerNorm(net, 'layernorm', mixed, norm), { ...mlp, names: MLP });
  return firstToken(net, net.op('Add', [mixed, fed]));
}

function layers(net: Network, x: Value, { layers, norm, attention, mlp }: EncoderShape): Value {
  for (let i = 0; i < layers; i++) {
    x = net.module(`encoder.layers.${i}`, () => normFirstLayer(net, x, { attentionNorm: 'layer_norm1', mlpNorm: 'layer_norm2' }, {
      norm,
      attention: (x) => encoderAttention(net, x, PROJECTIONS, attention),
      mlp: (x) => plainMlp(net, x, { ...mlp, names: MLP }),
    }));
  }
  return x;
}

const PROJECTIONS: ProjectionNames = {
  query: 'self_attn.q_proj',
  key: 'self_attn.k_proj',
  value: 'self_attn.v_proj',
  output: 'self_attn.out_proj',
};
const MLP: PlainMlpShape['names'] = ['mlp.fc1', 'mlp.fc2'];
const FIELDS: EncoderFields = {
  ...BERT_FIELDS,
  defaultActivation: 'gelu_pytorch_tanh',
  defaultEpsilon: 1e-6,
  sizes: { hidden: 768, layers: 12, heads: 12, intermediate: 3072 },
};
