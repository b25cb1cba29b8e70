/** BART, mBART and Marian: encoders and decoders of text with learned or sinusoidal places. */
import { denseOf, lazy, type Value } from '@penjing/core';
import type { Architecture, BuildGraph, Task } from '../architecture.js';
import { type ActivationName, activations } from '../blocks/activation.js';
import { maskBias, realTokens } from '../blocks/attention-encoder.js';
import { bartDecoderLayers, bartEncoderLayers, type BartShape } from '../blocks/bart.js';
import { readSide } from '../blocks/bart-fields.js';
import { afterLast, afterStart, lastEnd } from '../blocks/bart-shift.js';
import { causal, decoderPlaces } from '../blocks/cross-attention.js';
import { type Embedding, embedding, languageHead } from '../blocks/embedding.js';
import { readLabels } from '../blocks/encoder.js';
import { layerNorm } from '../blocks/norm.js';
import { denseClassifier, textOutputs } from '../blocks/text-heads.js';
import { statesAt } from '../blocks/two-towers.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { encoderOutput, mergedInputs, mergedOutputs } from '../seq2seq-ports.js';
import { textInputs } from '../text-ports.js';

interface Family {
  readonly modelType: string;
  /** What the names of its classes begin with. */
  readonly name: string;
  /** The class that writes. */
  readonly className: string;
  /** Heads that transformers has classes for besides. */
  readonly heads?: { readonly usualLabels: number };
  readonly order: BartShape['order'];
  /** Rows of the table of places before the first; sinusoids have none and are computed. */
  /** What a decoder that reads whole texts gets of the encoder's tokens. */
  readonly shift: (net: Network, ids: Value, config: Fields) => Value;
  readonly places: { readonly offset: number } | 'sinusoids';
  /** A norm over the embeddings. */
  readonly embeddingNorm: boolean;
  /** A norm after the last layer. */
  readonly lastNorm: boolean;
  readonly maxPlaces: number;
  readonly sizes: { readonly layers: number; readonly heads: number; readonly intermediate: number };
}

/** Elements of a table that is computed; those of Marian have 2¹⁹. */
const MAX_SINUSOIDS = 2 ** 23;

const LARGE = { layers: 12, heads: 16, intermediate: 4096 };

const fromStart = (net: Network, ids: Value, config: Fields): Value => afterStart(net, ids, config.number('decoder_start_token_id', 2));

export const bart = architecture({
  modelType: 'bart', name: 'Bart', className: 'BartForConditionalGeneration', heads: { usualLabels: 3 }, shift: fromStart, order: 'post', places: { offset: 2 }, embeddingNorm: true, lastNorm: false, maxPlaces: 1024, sizes: LARGE,
});
export const mbart = architecture({
  modelType: 'mbart', name: 'MBart', className: 'MBartForConditionalGeneration', heads: { usualLabels: 2 }, shift: afterLast, order: 'pre', places: { offset: 2 }, embeddingNorm: true, lastNorm: true, maxPlaces: 1024, sizes: LARGE,
});
export const marian = architecture({
  modelType: 'marian', name: 'Marian', className: 'MarianMTModel', shift: fromStart, order: 'post', places: 'sinusoids', embeddingNorm: false, lastNorm: false, maxPlaces: 1024, sizes: LARGE,
});

function architecture(family: Family): Architecture {
  return {
    modelType: family.modelType,
    // the bare class writes too: its head is the embedding table
    classes: { [family.className]: 'text2text-generation', [`${family.name}Model`]: 'text2text-generation', ...(family.heads && readingClasses(family.name)) },
    backbone: 'model',
    tied: { table: 'model.shared.weight', head: 'lm_head.weight', byDefault: true },
    renamed: [[/^model\.encoder\.embed_tokens\.weight$/, 'model.shared.weight']],
    ignoredWeights: [
      /^model\.(encoder|decoder)\.(embed_tokens\.weight|version)$/,
      ...(family.places === 'sinusoids' ? [/^model\.(encoder|decoder)\.embed_positions\.weight$/] : []),
    ],
    clientConfig: () => ({}),
    graphs: (task): Readonly<Record<string, BuildGraph>> =>
      task === 'text2text-generation' ? { encoder_model: encoder(family), decoder_model_merged: decoder(family) } : { model: reader(family) },
  };
}

function readingClasses(name: string): Record<string, Task> {
  return { [`${name}ForSequenceClassification`]: 'text-classification', [`${name}ForQuestionAnswering`]: 'question-answering' };
}

const encoder = (family: Family): BuildGraph => (net, config) => {
  const shape = read(config, family);
  const { ids, mask } = textInputs(net, { tokenTypes: false, length: 'encoder_sequence_length' });
  const x = encoderStates(net, words(net, ids, shape).hidden, ids, maskBias(net, realTokens(net, mask)), config, shape, family);
  encoderOutput(net, x, 'encoder_sequence_length', shape.hidden);
};

/** (batch, seq, hidden). */
function encoderStates(net: Network, tokens: Value, ids: Value, bias: Value, config: Fields, shape: Shape, family: Family): Value {
  return net.module('model.encoder', () => {
    const end = net.op('Shape', [ids], { start: 1, end: 2 });
    const placed = embed(net, tokens, { start: net.ints([0]), end }, shape, family);
    const last = bartEncoderLayers(net, placed, shape, readSide(config, 'encoder', shape.hidden, family.sizes), bias);
    return family.lastNorm ? layerNorm(net, 'layer_norm', last, shape.norm) : last;
  });
}

/** Reads whole texts: the decoder gets what the encoder gets, a token later, and sees its padding. */
const reader = (family: Family): BuildGraph => (net, config, task) => {
  const shape = read(config, family);
  const { hidden, vocabulary } = shape;
  const side = readSide(config, 'decoder', hidden, family.sizes);
  const { ids, mask } = textInputs(net, { tokenTypes: false });
  const padding = maskBias(net, realTokens(net, mask));
  const states = encoderStates(net, words(net, ids, shape).hidden, ids, padding, config, shape, family);
  const later = net.module('decoder_input_ids', () => family.shift(net, ids, config));
  const tokens = words(net, later, shape).hidden;
  const places = decoderPlaces(net, later);
  const x = net.module('model.decoder', () => {
    const placed = embed(net, tokens, places, shape, family);
    const memory = { encoderStates: states, past: new Array<undefined>(side.layers).fill(undefined) };
    const { last } = bartDecoderLayers(net, placed, shape, side, memory, { self: maskBias(net, causal(net, places)), cross: padding });
    return family.lastNorm ? layerNorm(net, 'layer_norm', last, shape.norm) : last;
  });
  const labels = readLabels(config, family.heads?.usualLabels);
  textOutputs(net, task, x, {
    hidden, labels, vocabulary,
    classify: (x) => denseClassifier(net, 'classification_head', statesAt(net, x, lastEnd(net, ids, config.number('eos_token_id', 2))), { hidden, labels, activation: 'tanh' }),
  });
};

const decoder = (family: Family): BuildGraph => (net, config) => {
  const shape = read(config, family);
  const { hidden, vocabulary } = shape;
  const side = readSide(config, 'decoder', hidden, family.sizes);
  const ports = { ...side, headDim: hidden / side.heads, hidden, vocabulary };
  const inputs = mergedInputs(net, ports, { encoderMask: true });
  const places = decoderPlaces(net, inputs.ids, inputs.past[0]!.decoder.key);
  const { table, hidden: tokens } = words(net, inputs.ids, shape);
  const { last, present } = net.module('model.decoder', () => {
    const placed = embed(net, tokens, places, shape, family);
    const biases = { self: maskBias(net, causal(net, places)), cross: maskBias(net, realTokens(net, inputs.encoderMask!)) };
    const { last, present } = bartDecoderLayers(net, placed, shape, side, inputs, biases);
    return { last: family.lastNorm ? layerNorm(net, 'layer_norm', last, shape.norm) : last, present };
  });
  const logits = languageHead(net, 'lm_head', last, shape, net.tied ? table : undefined);
  mergedOutputs(net, ports, net.weights.shapeOf('final_logits_bias') ? net.op('Add', [logits, logitsBias(net, vocabulary)]) : logits, present);
};

type Shape = ReturnType<typeof read>;

/** Embeddings of tokens, scaled where the config says so. */
function words(net: Network, ids: Value, shape: Shape): Embedding {
  const { table, hidden } = net.module('model', () => embedding(net, 'shared', ids, shape));
  return { table, hidden: shape.scaled ? net.op('Mul', [hidden, net.scalar(Math.sqrt(shape.hidden))]) : hidden };
}

/** Adds the places from `start` to `end`, int64 (1) each. */
function embed(net: Network, tokens: Value, { start, end }: { readonly start: Value; readonly end: Value }, shape: Shape, { places, embeddingNorm }: Family): Value {
  const { hidden, maxPlaces, norm } = shape;
  const table = net.module('embed_positions', () =>
    places === 'sinusoids'
      ? net.derived('weight', lazy.cast(denseOf('float32', [maxPlaces, hidden], sinusoids(maxPlaces, hidden)), net.dtype))
      : net.weight('weight', [maxPlaces + places.offset, hidden]));
  const moved = (place: Value): Value => (places === 'sinusoids' || places.offset === 0 ? place : net.op('Add', [place, net.ints([places.offset])]));
  const placed = net.op('Add', [tokens, net.op('Slice', [table, moved(start), moved(end), net.ints([0])])]);
  return embeddingNorm ? layerNorm(net, 'layernorm_embedding', placed, norm) : placed;
}

/** Sines of all frequencies, then their cosines, (places, width); as Marian computes them. */
function sinusoids(places: number, width: number): number[] {
  const half = Math.ceil(width / 2);
  return Array.from({ length: places * width }, (_, i) => {
    const [place, column] = [Math.floor(i / width), i % width];
    const angle = place / 10_000 ** ((2 * (column % half)) / width);
    return column < half ? Math.sin(angle) : Math.cos(angle);
  });
}

/** float32 (1, vocabulary): added to the logits, which are float32 too. */
function logitsBias(net: Network, vocabulary: number): Value {
  return net.derived('final_logits_bias', net.stored('final_logits_bias', [1, vocabulary], 'float32'));
}

/** The fields of BartConfig that matter here, with its defaults. */
function read(config: Fields, { order, places, maxPlaces: most }: Family) {
  const hidden = config.size('d_model', 1024);
  const maxPlaces = config.size('max_position_embeddings', most, 2 ** 16);
  if (places === 'sinusoids' && maxPlaces * hidden > MAX_SINUSOIDS) throw config.wrong('max_position_embeddings', `at most ${Math.floor(MAX_SINUSOIDS / hidden)} with this d_model`);
  const activation: ActivationName = config.choice('activation_function', activations, 'gelu');
  config.only('share_encoder_decoder_embeddings', true, 'encoder and decoder have one vocabulary here');
  return {
    hidden,
    vocabulary: config.size('vocab_size'),
    maxPlaces,
    activation,
    scaled: config.boolean('scale_embedding', false),
    norm: { width: hidden, epsilon: 1e-5 },
    order,
    keyBias: true,
  };
}
