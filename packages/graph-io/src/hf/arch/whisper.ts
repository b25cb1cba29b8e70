/** Whisper: an encoder of log-mel spectrograms and a decoder of text. */
import { tensorType, type Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { type ActivationName, activations } from '../blocks/activation.js';
import { encoderAttention, maskBias } from '../blocks/attention-encoder.js';
import { cachedSelfAttention, causal, crossAttention, decoderPlaces } from '../blocks/cross-attention.js';
import { embedding, languageHead } from '../blocks/embedding.js';
import { plainMlp } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import { type Fields, MAX_LAYERS } from '../fields.js';
import type { Network } from '../network.js';
import { encoderOutput, type LayerCache, mergedInputs, mergedOutputs } from '../seq2seq-ports.js';

export const whisper: Architecture = {
  modelType: 'whisper',
  classes: { WhisperForConditionalGeneration: 'automatic-speech-recognition' },
  tied: { table: 'model.decoder.embed_tokens.weight', head: 'proj_out.weight', byDefault: true },
  ignoredWeights: [],
  clientConfig: () => ({}),
  graphs: () => ({ encoder_model: encoder, decoder_model_merged: decoder }),
};

const NAMES = { query: 'q_proj', key: 'k_proj', value: 'v_proj', output: 'out_proj' };
const MLP = ['fc1', 'fc2'] as const;

const encoder: BuildGraph = (net, config) => {
  const shape = read(config);
  const { hidden, mels, sources } = shape;
  const { layers, heads, intermediate } = side(config, 'encoder', hidden);
  // float32 always: it comes from a feature extractor
  const features = net.builder.input('input_features', tensorType('float32', ['batch_size', mels, 2 * sources]));
  const attention = { hidden, heads, headDim: hidden / heads, bias: true, keyBias: false };
  const x = net.module('model.encoder', () => {
    const sound = convolution(net, 'conv1', net.narrow(features), { inputs: mels, outputs: hidden, stride: 1 });
    const halved = convolution(net, 'conv2', sound, { inputs: hidden, outputs: hidden, stride: 2 });
    let x = net.op('Transpose', [halved], { perm: [0, 2, 1] }); // (batch, sources, hidden)
    x = net.op('Add', [x, net.module('embed_positions', () => net.weight('weight', [sources, hidden]))]);
    for (let i = 0; i < layers; i++) {
      x = net.module(`layers.${i}`, () => {
        const attended = sublayer(net, 'self_attn_layer_norm', x, shape, (x) => net.module('self_attn', () => encoderAttention(net, x, NAMES, attention)));
        return sublayer(net, 'final_layer_norm', attended, shape, (x) => plainMlp(net, x, { ...shape, intermediate, bias: true, names: MLP }));
      });
    }
    return layerNorm(net, 'layer_norm', x, shape.norm);
  });
  encoderOutput(net, x, sources, hidden);
};

const decoder: BuildGraph = (net, config) => {
  const shape = read(config);
  const { hidden, targets } = shape;
  const { layers, heads, intermediate } = side(config, 'decoder', hidden);
  const headDim = hidden / heads;
  const ports = { layers, heads, headDim, hidden, vocabulary: shape.vocabulary };
  const attention = { hidden, heads, headDim, bias: true, keyBias: false, scale: headDim ** -0.5, names: NAMES };
  const inputs = mergedInputs(net, ports, { encoderMask: false });
  const places = decoderPlaces(net, inputs.ids, inputs.past[0]!.decoder.key);
  const bias = maskBias(net, causal(net, places));
  const present: LayerCache[] = [];
  const { table, last } = net.module('model.decoder', () => {
    const { table, hidden: tokens } = embedding(net, 'embed_tokens', inputs.ids, shape);
    const positions = net.module('embed_positions', () => net.weight('weight', [targets, hidden]));
    let x = net.op('Add', [tokens, net.op('Slice', [positions, places.start, places.end, net.ints([0])])]);
    for (const [i, past] of inputs.past.entries()) {
      x = net.module(`layers.${i}`, () => {
        const cache: Partial<Record<keyof LayerCache, LayerCache['decoder']>> = {};
        const own = sublayer(net, 'self_attn_layer_norm', x, shape, (x) => {
          const { output, present } = cachedSelfAttention(net, 'self_attn', x, attention, past.decoder, bias);
          cache.decoder = present;
          return output;
        });
        const crossed = sublayer(net, 'encoder_attn_layer_norm', own, shape, (x) => {
          const { output, present } = crossAttention(net, 'encoder_attn', x, attention, inputs, past, undefined);
          cache.encoder = present;
          return output;
        });
        present.push({ decoder: cache.decoder!, encoder: cache.encoder! });
        return sublayer(net, 'final_layer_norm', crossed, shape, (x) => plainMlp(net, x, { ...shape, intermediate, bias: true, names: MLP }));
      });
    }
    return { table, last: layerNorm(net, 'layer_norm', x, shape.norm) };
  });
  mergedOutputs(net, ports, languageHead(net, 'proj_out', last, shape, net.tied ? table : undefined), present);
};

/** x + body(norm(x)). */
function sublayer(net: Network, norm: string, x: Value, shape: ReturnType<typeof read>, body: (x: Value) => Value): Value {
  return net.op('Add', [x, body(layerNorm(net, norm, x, shape.norm))]);
}

interface ConvolutionShape {
  readonly inputs: number;
  readonly outputs: number;
  readonly stride: number;
}

/** gelu(conv(x)) over three neighbours, (batch, channels, length). */
function convolution(net: Network, name: string, x: Value, { inputs, outputs, stride }: ConvolutionShape): Value {
  return net.module(name, () => {
    const weights = [net.weight('weight', [outputs, inputs, 3]), net.weight('bias', [outputs])];
    return activations.gelu(net, net.op('Conv', [x, ...weights], { kernel_shape: [3], strides: [stride], pads: [1, 1] }));
  });
}

/** The fields of WhisperConfig that matter here, with its defaults. */
function read(config: Fields) {
  const hidden = config.size('d_model', 384);
  const activation: ActivationName = config.choice('activation_function', activations, 'gelu');
  return {
    hidden,
    vocabulary: config.size('vocab_size', 51865),
    mels: config.size('num_mel_bins', 80),
    /** Frames after the convolutions, 20 ms each. */
    sources: config.size('max_source_positions', 1500),
    targets: config.size('max_target_positions', 448),
    activation,
    norm: { width: hidden, epsilon: 1e-5 },
  };
}

function side(config: Fields, name: 'encoder' | 'decoder', hidden: number) {
  const heads = config.size(`${name}_attention_heads`, 6);
  if (hidden % heads !== 0) throw config.wrong('d_model', `a multiple of ${name}_attention_heads ${heads}`);
  return { layers: config.size(`${name}_layers`, 4, MAX_LAYERS), heads, intermediate: config.size(`${name}_ffn_dim`, 1536) };
}
