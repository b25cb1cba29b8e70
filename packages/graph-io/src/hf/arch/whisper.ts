/** Whisper: an encoder of log-mel spectrograms and a decoder of text. */
import { tensorType, type Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { type ActivationName, activations } from '../blocks/activation.js';
import { maskBias } from '../blocks/attention-encoder.js';
import { bartDecoderLayers, bartEncoderLayers } from '../blocks/bart.js';
import { readSide } from '../blocks/bart-fields.js';
import { causal, decoderPlaces } from '../blocks/cross-attention.js';
import { embedding, languageHead } from '../blocks/embedding.js';
import { readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { layerNorm } from '../blocks/norm.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { encoderOutput, mergedInputs, mergedOutputs } from '../seq2seq-ports.js';
import { classify } from '../vision-ports.js';

export const whisper: Architecture = {
  modelType: 'whisper',
  classes: { WhisperForConditionalGeneration: 'automatic-speech-recognition', WhisperForAudioClassification: 'audio-classification' },
  tied: { table: 'model.decoder.embed_tokens.weight', head: 'proj_out.weight', byDefault: true },
  // the class that hears without writing has no module around its encoder
  renamed: [[/^encoder\./, 'model.encoder.']],
  ignoredWeights: [],
  clientConfig: () => ({}),
  graphs: (task): Readonly<Record<string, BuildGraph>> =>
    task === 'audio-classification' ? { model: classifier } : { encoder_model: encoder, decoder_model_merged: decoder },
};

const encoder: BuildGraph = (net, config) => {
  const { hidden, sources } = read(config);
  encoderOutput(net, encoderStates(net, config), sources, hidden);
};

/** Of the mean of all frames. */
const classifier: BuildGraph = (net, config) => {
  const { hidden } = read(config);
  config.only('use_weighted_layer_sum', false, 'the last layer alone is heard here');
  const width = config.size('classifier_proj_size', 256);
  const projected = linear(net, 'projector', encoderStates(net, config), { inputs: hidden, outputs: width, bias: true });
  classify(net, net.op('ReduceMean', [projected, net.ints([1])], { keepdims: 0 }), width, readLabels(config));
};

/** (batch, sources, hidden). */
function encoderStates(net: Network, config: Fields): Value {
  const shape = read(config);
  const { hidden, mels, sources } = shape;
  // float32 always: it comes from a feature extractor
  const features = net.builder.input('input_features', tensorType('float32', ['batch_size', mels, 2 * sources]));
  return net.module('model.encoder', () => {
    const sound = convolution(net, 'conv1', net.narrow(features), { inputs: mels, outputs: hidden, stride: 1 });
    const halved = convolution(net, 'conv2', sound, { inputs: hidden, outputs: hidden, stride: 2 });
    const frames = net.op('Transpose', [halved], { perm: [0, 2, 1] }); // (batch, sources, hidden)
    const placed = net.op('Add', [frames, net.module('embed_positions', () => net.weight('weight', [sources, hidden]))]);
    return layerNorm(net, 'layer_norm', bartEncoderLayers(net, placed, shape, readSide(config, 'encoder', hidden)), shape.norm);
  });
}

const decoder: BuildGraph = (net, config) => {
  const shape = read(config);
  const { hidden, targets, vocabulary } = shape;
  const side = readSide(config, 'decoder', hidden);
  const ports = { ...side, headDim: hidden / side.heads, hidden, vocabulary };
  const inputs = mergedInputs(net, ports, { encoderMask: false });
  const places = decoderPlaces(net, inputs.ids, inputs.past[0]!.decoder.key);
  const { table, last, present } = net.module('model.decoder', () => {
    const { table, hidden: tokens } = embedding(net, 'embed_tokens', inputs.ids, shape);
    const positions = net.module('embed_positions', () => net.weight('weight', [targets, hidden]));
    const placed = net.op('Add', [tokens, net.op('Slice', [positions, places.start, places.end, net.ints([0])])]);
    const { last, present } = bartDecoderLayers(net, placed, shape, side, inputs, { self: maskBias(net, causal(net, places)) });
    return { table, last: layerNorm(net, 'layer_norm', last, shape.norm), present };
  });
  mergedOutputs(net, ports, languageHead(net, 'proj_out', last, shape, net.tied ? table : undefined), present);
};

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
    order: 'pre' as const,
    keyBias: false,
  };
}
