/** T5, its multilingual kin and FLAN: an encoder and a decoder with biases by distance instead of places, and heads on either. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { type ActivationName, activations } from '../blocks/activation.js';
import { encoderAttention, maskBias, realTokens } from '../blocks/attention-encoder.js';
import { afterStart, lastEnd } from '../blocks/bart-shift.js';
import { cachedSelfAttention, causal, crossAttention, decoderPlaces, type DecoderMemory } from '../blocks/cross-attention.js';
import { embedding, languageHead } from '../blocks/embedding.js';
import { readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { rmsNorm } from '../blocks/norm.js';
import { once } from '../blocks/once.js';
import { biasBetween, type Places } from '../blocks/relative-bias.js';
import { denseClassifier, textOutputs } from '../blocks/text-heads.js';
import { statesAt } from '../blocks/two-towers.js';
import { type Fields, MAX_LAYERS } from '../fields.js';
import type { Network } from '../network.js';
import { encoderOutput, type LayerCache, mergedInputs, mergedOutputs } from '../seq2seq-ports.js';
import { textInputs } from '../text-ports.js';

interface Family {
  readonly modelType: string;
  readonly prefix: string;
  /** Every layer has its own table of biases; otherwise the first one's is everybody's. */
  readonly everyLayer?: boolean;
  /** Whether a tied head gets scaled states: of these, only the code of mT5 never does. */
  readonly scaledHead?: boolean;
}

const family = ({ modelType, prefix, everyLayer = false, scaledHead = true }: Family): Architecture => ({
  modelType,
  classes: {
    [`${prefix}ForConditionalGeneration`]: 'text2text-generation',
    ...(prefix === 'T5' && { T5WithLMHeadModel: 'text2text-generation' as const }),
    [`${prefix}EncoderModel`]: 'feature-extraction',
    [`${prefix}ForSequenceClassification`]: 'text-classification',
    [`${prefix}ForTokenClassification`]: 'token-classification',
    [`${prefix}ForQuestionAnswering`]: 'question-answering',
  },
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  unneeded: { 'feature-extraction': [/^(decoder|lm_head|classification_head|classifier|qa_outputs)\./] },
  tied: { table: 'shared.weight', head: 'lm_head.weight', byDefault: true },
  // the classes with heads keep the network in a module of its own
  renamed: [[/^transformer\./, ''], [/^encoder\.embed_tokens\.weight$/, 'shared.weight']],
  ignoredWeights: [/^(encoder|decoder)\.embed_tokens\.weight$/, /\.EncDecAttention\.relative_attention_bias\.weight$/],
  clientConfig: (config) => ({ num_decoder_layers: config.size('num_layers') }),
  graphs: (task): Readonly<Record<string, BuildGraph>> =>
    task === 'text2text-generation'
      ? { encoder_model: encoder(everyLayer), decoder_model_merged: decoder(everyLayer, scaledHead) }
      : { model: task === 'feature-extraction' ? encoder(everyLayer) : reader(everyLayer) },
});

export const t5 = family({ modelType: 't5', prefix: 'T5' });
export const mt5 = family({ modelType: 'mt5', prefix: 'MT5', scaledHead: false });
export const umt5 = family({ modelType: 'umt5', prefix: 'UMT5', everyLayer: true });

const NAMES = { query: 'q', key: 'k', value: 'v', output: 'o' };

const encoder = (everyLayer: boolean): BuildGraph => (net, config) => {
  const shape = read(config);
  const { ids, mask } = textInputs(net, { tokenTypes: false, length: 'encoder_sequence_length' });
  const tokens = embedding(net, 'shared', ids, shape).hidden;
  encoderOutput(net, encoderStates(net, tokens, ids, maskBias(net, realTokens(net, mask)), shape, everyLayer), 'encoder_sequence_length', shape.hidden);
};

/** (batch, seq, hidden). */
function encoderStates(net: Network, tokens: Value, ids: Value, padding: Value, shape: Shape, everyLayer: boolean): Value {
  const end = net.op('Squeeze', [net.op('Shape', [ids], { start: 1, end: 2 })]);
  const places = net.op('Range', [net.ints(0), end, net.ints(1)]);
  return net.module('encoder', () => {
    const biasOf = biases(net, shape, { query: places, key: places }, padding, { everyLayer, causal: false });
    let x = tokens;
    for (let i = 0; i < shape.encoderLayers; i++) {
      const bias = biasOf(i);
      x = net.module(`block.${i}`, () => {
        const attended = sublayer(net, 0, x, shape, (x) =>
          net.module('SelfAttention', () => encoderAttention(net, x, NAMES, { ...shape, bias: false }, { bias, scale: 1 })));
        return sublayer(net, 1, attended, shape, (x) => feedForward(net, x, shape));
      });
    }
    return rmsNorm(net, 'final_layer_norm', x, shape.norm);
  });
}

const decoder = (everyLayer: boolean, scaledHead: boolean): BuildGraph => (net, config) => {
  const shape = read(config);
  const ports = { ...shape, layers: shape.decoderLayers };
  const inputs = mergedInputs(net, ports, { encoderMask: true });
  const { table, hidden } = embedding(net, 'shared', inputs.ids, shape);
  const places = decoderPlaces(net, inputs.ids, inputs.past[0]!.decoder.key);
  const padding = maskBias(net, realTokens(net, inputs.encoderMask!));
  const { x, present } = decoderStates(net, hidden, places, inputs, padding, shape, everyLayer);
  const scaled = scaledHead && shape.scaleOutput ? net.op('Mul', [x, net.scalar(shape.hidden ** -0.5)]) : x;
  mergedOutputs(net, ports, languageHead(net, 'lm_head', scaled, shape, net.tied ? table : undefined), present);
};

/** Reads whole texts. Classes of tokens are the encoder's; for the others the decoder gets the text too, a token later. */
const reader = (everyLayer: boolean): BuildGraph => (net, config, task) => {
  const shape = read(config);
  const { hidden, vocabulary, decoderLayers } = shape;
  const { ids, mask } = textInputs(net, { tokenTypes: false });
  const padding = maskBias(net, realTokens(net, mask));
  const tokens = embedding(net, 'shared', ids, shape).hidden;
  const states = encoderStates(net, tokens, ids, padding, shape, everyLayer);
  const labels = readLabels(config);
  const reread = (): Value => {
    const later = net.module('decoder_input_ids', () => afterStart(net, ids, config.number('decoder_start_token_id', 0)));
    const memory = { encoderStates: states, past: new Array<undefined>(decoderLayers).fill(undefined) };
    return decoderStates(net, embedding(net, 'shared', later, shape).hidden, decoderPlaces(net, later), memory, padding, shape, everyLayer).x;
  };
  textOutputs(net, task, task === 'token-classification' ? states : reread(), {
    hidden, labels, vocabulary,
    classify: (x) => denseClassifier(net, 'classification_head', statesAt(net, x, lastEnd(net, ids, config.number('eos_token_id', 1))), { hidden, labels, activation: 'tanh' }),
  });
};

/** (batch, seq, hidden), and what layers keep of their keys and values. */
function decoderStates(
  net: Network, tokens: Value, places: Places, memory: DecoderMemory, padding: Value, shape: Shape, everyLayer: boolean,
): { readonly x: Value; readonly present: readonly LayerCache[] } {
  const attention = { ...shape, bias: false, scale: 1, names: NAMES };
  const present: LayerCache[] = [];
  const x = net.module('decoder', () => {
    const biasOf = biases(net, shape, places, maskBias(net, causal(net, places)), { everyLayer, causal: true });
    let x = tokens;
    for (const [i, past] of memory.past.entries()) {
      const bias = biasOf(i);
      x = net.module(`block.${i}`, () => {
        const cache: Partial<Record<keyof LayerCache, LayerCache['decoder']>> = {};
        const own = sublayer(net, 0, x, shape, (x) => {
          const { output, present } = cachedSelfAttention(net, 'SelfAttention', x, attention, past?.decoder, bias);
          cache.decoder = present;
          return output;
        });
        const crossed = sublayer(net, 1, own, shape, (x) => {
          const { output, present } = crossAttention(net, 'EncDecAttention', x, attention, memory, past, padding);
          cache.encoder = present;
          return output;
        });
        present.push({ decoder: cache.decoder!, encoder: cache.encoder! });
        return sublayer(net, 2, crossed, shape, (x) => feedForward(net, x, shape));
      });
    }
    return rmsNorm(net, 'final_layer_norm', x, shape.norm);
  });
  return { x, present };
}

type Shape = ReturnType<typeof read>;

/** x + body(norm(x)) in `layer.<index>`. */
function sublayer(net: Network, index: number, x: Value, { norm }: Shape, body: (x: Value) => Value): Value {
  return net.module(`layer.${index}`, () => net.op('Add', [x, body(rmsNorm(net, 'layer_norm', x, norm))]));
}

/** Biases of layer `i`, with `mask` added: (batch or 1, heads, queries, keys). */
function biases(
  net: Network, { heads, buckets, maxDistance }: Shape, places: Places, mask: Value, { everyLayer, causal }: { readonly everyLayer: boolean; readonly causal: boolean },
): (i: number) => Value {
  const of = once((i: number) =>
    net.module(`block.${i}.layer.0.SelfAttention.relative_attention_bias`, () =>
      net.op('Add', [biasBetween(net, places, { heads, buckets, maxDistance, causal }), mask])));
  return (i) => of(everyLayer ? i : 0);
}

/** Gated: wo(act(wi_0(x)) · wi_1(x)); otherwise wo(act(wi(x))). */
function feedForward(net: Network, x: Value, { hidden, intermediate, activation, gated }: Shape): Value {
  const wide = { inputs: hidden, outputs: intermediate, bias: false };
  return net.module('DenseReluDense', () => {
    const first = linear(net, gated ? 'wi_0' : 'wi', x, wide);
    const active = net.module('act', () => activations[activation](net, first));
    const inner = gated ? net.op('Mul', [active, linear(net, 'wi_1', x, wide)]) : active;
    return linear(net, 'wo', inner, { inputs: intermediate, outputs: hidden, bias: false });
  });
}

/** The fields of T5Config that matter here, with its defaults. */
function read(config: Fields) {
  const hidden = config.size('d_model', 512);
  const encoderLayers = config.size('num_layers', 6, MAX_LAYERS);
  const buckets = config.size('relative_attention_num_buckets', 32, 2 ** 12);
  const maxDistance = config.size('relative_attention_max_distance', 128, 2 ** 14);
  // half of the buckets, of one side in encoders, are for single distances and the others for what lies beyond
  if (buckets < 4) throw config.wrong('relative_attention_num_buckets', 'at least 4');
  if (maxDistance <= buckets / 2) throw config.wrong('relative_attention_max_distance', `more than half of the ${buckets} buckets`);
  const projection = config.get('feed_forward_proj') ?? 'relu';
  if (typeof projection !== 'string') throw config.wrong('feed_forward_proj', 'the name of an activation');
  const gated = projection.startsWith('gated-');
  const name = projection.replace(/^gated-/, '');
  // T5 1.1 called the approximation "gelu", and transformers reads it so
  const activation = projection === 'gated-gelu' ? 'gelu_new' : name;
  if (!Object.hasOwn(activations, activation)) throw config.wrong('feed_forward_proj', `one of ${Object.keys(activations).join(', ')}, or gated- and one of them`);
  return {
    hidden,
    vocabulary: config.size('vocab_size'),
    encoderLayers,
    decoderLayers: config.size('num_decoder_layers', encoderLayers, MAX_LAYERS),
    heads: config.size('num_heads', 8),
    headDim: config.size('d_kv', 64),
    intermediate: config.size('d_ff', 2048),
    activation: activation as ActivationName,
    gated,
    buckets,
    maxDistance,
    norm: { width: hidden, epsilon: config.positive('layer_norm_epsilon', 1e-6) },
    // the first is how transformers 5 keeps what the second said
    scaleOutput: config.boolean('scale_decoder_outputs', config.boolean('tie_word_embeddings', true)),
  };
}
