/** T5, its multilingual kin and FLAN: an encoder and a decoder with biases by distance instead of places. */
import { tensorType, type Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { type ActivationName, activations } from '../blocks/activation.js';
import { encoderAttention, maskBias, realTokens } from '../blocks/attention-encoder.js';
import { cachedSelfAttention, causal, crossAttention, decoderPlaces } from '../blocks/cross-attention.js';
import { embedding, languageHead } from '../blocks/embedding.js';
import { linear } from '../blocks/linear.js';
import { rmsNorm } from '../blocks/norm.js';
import { once } from '../blocks/once.js';
import { biasBetween, type Places } from '../blocks/relative-bias.js';
import { type Fields, MAX_LAYERS } from '../fields.js';
import type { Network } from '../network.js';
import { encoderOutput, type LayerCache, mergedInputs, mergedOutputs } from '../seq2seq-ports.js';

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
  },
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  unneeded: { 'feature-extraction': [/^decoder\./, /^lm_head\./] },
  tied: { table: 'shared.weight', head: 'lm_head.weight', byDefault: true },
  renamed: [[/^encoder\.embed_tokens\.weight$/, 'shared.weight']],
  ignoredWeights: [/^(encoder|decoder)\.embed_tokens\.weight$/, /\.EncDecAttention\.relative_attention_bias\.weight$/],
  clientConfig: (config) => ({ num_decoder_layers: config.size('num_layers') }),
  graphs: (task): Readonly<Record<string, BuildGraph>> =>
    task === 'feature-extraction'
      ? { model: encoder(everyLayer) }
      : { encoder_model: encoder(everyLayer), decoder_model_merged: decoder(everyLayer, scaledHead) },
});

export const t5 = family({ modelType: 't5', prefix: 'T5' });
export const mt5 = family({ modelType: 'mt5', prefix: 'MT5', scaledHead: false });
export const umt5 = family({ modelType: 'umt5', prefix: 'UMT5', everyLayer: true });

const NAMES = { query: 'q', key: 'k', value: 'v', output: 'o' };

const encoder = (everyLayer: boolean): BuildGraph => (net, config) => {
  const shape = read(config);
  const { hidden } = shape;
  const ids = net.builder.input('input_ids', tensorType('int64', ['batch_size', 'encoder_sequence_length']));
  const mask = net.builder.input('attention_mask', tensorType('int64', ['batch_size', 'encoder_sequence_length']));
  let x = embedding(net, 'shared', ids, shape).hidden;
  const end = net.op('Squeeze', [net.op('Shape', [ids], { start: 1, end: 2 })]);
  const places = net.op('Range', [net.ints(0), end, net.ints(1)]);
  const padding = maskBias(net, realTokens(net, mask));
  x = net.module('encoder', () => {
    const biasOf = biases(net, shape, { query: places, key: places }, padding, { everyLayer, causal: false });
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
  encoderOutput(net, x, 'encoder_sequence_length', hidden);
};

const decoder = (everyLayer: boolean, scaledHead: boolean): BuildGraph => (net, config) => {
  const shape = read(config);
  const ports = { ...shape, layers: shape.decoderLayers };
  const inputs = mergedInputs(net, ports, { encoderMask: true });
  const { table, hidden } = embedding(net, 'shared', inputs.ids, shape);
  const places = decoderPlaces(net, inputs.ids, inputs.past[0]!.decoder.key);
  const padding = maskBias(net, realTokens(net, inputs.encoderMask!));
  const attention = { ...shape, bias: false, scale: 1, names: NAMES };
  const present: LayerCache[] = [];
  let x = hidden;
  x = net.module('decoder', () => {
    const biasOf = biases(net, shape, places, maskBias(net, causal(net, places)), { everyLayer, causal: true });
    for (const [i, past] of inputs.past.entries()) {
      const bias = biasOf(i);
      x = net.module(`block.${i}`, () => {
        const cache: Partial<Record<keyof LayerCache, LayerCache['decoder']>> = {};
        const own = sublayer(net, 0, x, shape, (x) => {
          const { output, present } = cachedSelfAttention(net, 'SelfAttention', x, attention, past.decoder, bias);
          cache.decoder = present;
          return output;
        });
        const crossed = sublayer(net, 1, own, shape, (x) => {
          const { output, present } = crossAttention(net, 'EncDecAttention', x, attention, inputs, past, padding);
          cache.encoder = present;
          return output;
        });
        present.push({ decoder: cache.decoder!, encoder: cache.encoder! });
        return sublayer(net, 2, crossed, shape, (x) => feedForward(net, x, shape));
      });
    }
    return rmsNorm(net, 'final_layer_norm', x, shape.norm);
  });
  const scaled = scaledHead && shape.scaleOutput ? net.op('Mul', [x, net.scalar(shape.hidden ** -0.5)]) : x;
  mergedOutputs(net, ports, languageHead(net, 'lm_head', scaled, shape, net.tied ? table : undefined), present);
};

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
