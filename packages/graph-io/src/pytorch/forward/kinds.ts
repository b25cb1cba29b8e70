/** What each class of torch.nn computes, as calls of the ATen table. */
import { PenjingError, type Value } from '@penjing/core';
import { type AtenArgument, type AtenResult, callAten } from '../../torch/aten/index.js';
import { interpolate, softmin, zeros } from './functionals.js';
import { cellKinds } from './kinds-cells.js';
import { transformerKinds } from './kinds-transformer.js';
import { type Kind, type ModuleCall, needed, option, plain } from './module-call.js';

const identity: Kind = ({ inputs }) => inputs[0] as AtenResult;

const linear: Kind = (call) => callAten(call.c, 'aten.linear', [call.inputs[0]!, needed(call, 'weight'), call.weight('bias')]);

/** Padding of another mode than zeros is a step of its own. */
const conv = (axes: 1 | 2 | 3): Kind => (call) => {
  const mode = option(call, 'padding_mode', 'zeros');
  let padding = option(call, 'padding', 0);
  let [input] = call.inputs;
  if (mode !== 'zeros') {
    // Last axis first, both sides of each.
    const each = Array.isArray(padding) ? [...(padding as AtenArgument[])].reverse() : new Array<AtenArgument>(axes).fill(padding);
    const around = option(call, '_reversed_padding_repeated_twice', each.flatMap((size) => [size, size]));
    input = callAten(call.c, 'aten.pad', [input!, around, mode]);
    padding = 0;
  }
  const weight = needed(call, 'weight');
  return callAten(call.c, `aten.conv${axes}d`, [input!, weight, call.weight('bias'), option(call, 'stride', 1), padding, option(call, 'dilation', 1), option(call, 'groups', groupsOf(call, input as Value, weight))]);
};

/** Without a constructor to ask: the channels of the input over those that each output sees. */
function groupsOf({ c, node }: ModuleCall, input: Value, weight: Value): number {
  const [out, each] = c.dims(weight) as [number, number];
  const channels = c.dims(input).at(-(c.rank(weight) - 1));
  if (typeof channels !== 'number' || channels === each) return 1;
  const groups = channels / each;
  if (Number.isInteger(groups) && out % groups === 0) return groups;
  throw new PenjingError('E_FORWARD', `${node.path} has weights [${c.dims(weight).join(', ')}] for ${each} channels, its input has ${channels}`, {
    hint: channels === out ? `If it is a transposed convolution, say so: ${node.path}(x, kind='ConvTranspose${c.rank(weight) - 2}d').` : 'Look at what comes in front of it.',
  });
}

const convTranspose = (axes: 1 | 2 | 3): Kind => (call) =>
  callAten(call.c, `aten.conv_transpose${axes}d`, [
    call.inputs[0]!, needed(call, 'weight'), call.weight('bias'), option(call, 'stride', 1), option(call, 'padding', 0), option(call, 'output_padding', 0), option(call, 'groups', 1), option(call, 'dilation', 1),
  ]);

const batchNorm: Kind = (call) =>
  callAten(call.c, 'aten.batch_norm', [call.inputs[0]!, call.weight('weight'), call.weight('bias'), needed(call, 'running_mean'), needed(call, 'running_var'), false, 0.1, option(call, 'eps', 1e-5), false]);

const instanceNorm: Kind = (call) => {
  const mean = call.weight('running_mean');
  return callAten(call.c, 'aten.instance_norm', [call.inputs[0]!, call.weight('weight'), call.weight('bias'), mean, call.weight('running_var'), mean === null, 0.1, option(call, 'eps', 1e-5), false]);
};

const layerNorm: Kind = (call) => {
  const weight = call.weight('weight');
  const shape = option(call, 'normalized_shape', weight ? (call.c.dims(weight)) : null);
  return callAten(call.c, 'aten.layer_norm', [call.inputs[0]!, shape, weight, call.weight('bias'), option(call, 'eps', 1e-5)]);
};

const rmsNorm: Kind = (call) => {
  const weight = call.weight('weight');
  const shape = option(call, 'normalized_shape', weight ? (call.c.dims(weight)) : null);
  return callAten(call.c, 'aten.rms_norm', [call.inputs[0]!, shape, weight, option(call, 'eps', null)]);
};

const groupNorm: Kind = (call) => {
  const groups = option(call, 'num_groups', null);
  if (groups === null) throw new PenjingError('E_FORWARD', `${call.node.path} is a GroupNorm of unknown groups`, { hint: `Say how many: ${call.node.path}(x, kind='GroupNorm', num_groups=8).` });
  return callAten(call.c, 'aten.group_norm', [call.inputs[0]!, groups, call.weight('weight'), call.weight('bias'), option(call, 'eps', 1e-5)]);
};

const maxPool = (axes: 1 | 2 | 3): Kind => (call) => {
  const kernel = option(call, 'kernel_size', null);
  const target = option(call, 'return_indices', false) === true ? `max_pool${axes}d_with_indices` : `max_pool${axes}d`;
  return callAten(call.c, `aten.${target}`, [call.inputs[0]!, kernel, option(call, 'stride', null) ?? kernel, option(call, 'padding', 0), option(call, 'dilation', 1), option(call, 'ceil_mode', false)]);
};

const averagePool = (axes: 1 | 2 | 3): Kind => (call) => {
  const kernel = option(call, 'kernel_size', null);
  const shared = [call.inputs[0]!, kernel, option(call, 'stride', null) ?? kernel, option(call, 'padding', 0), option(call, 'ceil_mode', false), option(call, 'count_include_pad', true)];
  return callAten(call.c, `aten.avg_pool${axes}d`, axes === 1 ? shared : [...shared, option(call, 'divisor_override', null)]);
};

/** An axis that keeps its size is None. */
const adaptivePool = (kind: 'avg' | 'max', axes: 1 | 2 | 3): Kind => (call) => {
  const { c, inputs } = call;
  const given = option(call, 'output_size', 1);
  const list = Array.isArray(given) ? (given as AtenArgument[]) : new Array<AtenArgument>(axes).fill(given);
  const sizes = list.map((size, i) => size ?? c.size(inputs[0] as Value, c.rank(inputs[0] as Value) - axes + i));
  const result = callAten(c, `aten.adaptive_${kind}_pool${axes}d`, [inputs[0]!, sizes]);
  return Array.isArray(result) ? (result[0] as AtenResult) : result;
};

const pad = (mode: string) => (): Kind => (call) => callAten(call.c, 'aten.pad', [call.inputs[0]!, option(call, 'padding', null), mode, mode === 'constant' ? option(call, 'value', 0) : null]);

const embedding: Kind = (call) => callAten(call.c, 'aten.embedding', [needed(call, 'weight'), call.inputs[0]!]);

const upsample: Kind = (call) =>
  interpolate(call.c, call.inputs[0] as Value, {
    size: option(call, 'size', null), scale_factor: option(call, 'scale_factor', null), mode: option(call, 'mode', 'nearest'), align_corners: option(call, 'align_corners', null),
  });

/** Weights in torch's order: of each layer, of each direction. */
const recurrent = (target: (call: ModuleCall) => string, states: 1 | 2): Kind => (call) => {
  const { c, node, inputs } = call;
  const names = [...node.tensors.keys()];
  if (names.some((name) => name.startsWith('weight_hr'))) throw new PenjingError('E_UNSUPPORTED', `${node.path} projects its state (proj_size), which does not convert`);
  const layers = names.filter((name) => /^weight_ih_l\d+$/.test(name)).length;
  const bidirectional = names.includes('weight_ih_l0_reverse');
  const biased = names.includes('bias_ih_l0');
  const parts = ['weight_ih', 'weight_hh', ...(biased ? ['bias_ih', 'bias_hh'] : [])];
  const params = Array.from({ length: layers }, (_, layer) => (bidirectional ? ['', '_reverse'] : ['']).map((way) => parts.map((part) => needed(call, `${part}_l${layer}${way}`)))).flat(2);
  const batchFirst = option(call, 'batch_first', false) === true;
  const x = inputs[0] as Value;
  const hidden = c.dims(needed(call, 'weight_hh_l0'))[1] as number;
  const batch = c.rank(x) === 2 ? [] : [c.size(x, batchFirst ? 0 : 1)];
  const empty = (): Value => zeros(c, [layers * (bidirectional ? 2 : 1), ...batch, hidden], c.dtype(x));
  const state = inputs[1] ?? (states === 2 ? [empty(), empty()] : empty());
  const result = callAten(c, `aten.${target(call)}`, [x, state, params, biased, layers, 0, false, bidirectional, batchFirst]) as readonly AtenResult[];
  return states === 2 ? [result[0]!, result.slice(1)] : result;
};

const ranked = (name: string, make: (axes: 1 | 2 | 3) => Kind): Record<string, Kind> => ({ [`${name}1d`]: make(1), [`${name}2d`]: make(2), [`${name}3d`]: make(3) });

/** By class of torch.nn. */
export const kinds: Readonly<Record<string, Kind>> = {
  ...transformerKinds, ...cellKinds,
  Linear: linear, NonDynamicallyQuantizableLinear: linear,
  Bilinear: (call) => callAten(call.c, 'aten.bilinear', [...call.inputs.slice(0, 2), needed(call, 'weight'), call.weight('bias')]),
  Embedding: embedding,
  ...ranked('Conv', conv), ...ranked('ConvTranspose', convTranspose),
  ...ranked('BatchNorm', () => batchNorm), SyncBatchNorm: batchNorm, ...ranked('InstanceNorm', () => instanceNorm),
  LayerNorm: layerNorm, RMSNorm: rmsNorm, GroupNorm: groupNorm,
  LocalResponseNorm: plain('local_response_norm', { size: 1, alpha: 1e-4, beta: 0.75, k: 1 }),
  ...ranked('MaxPool', maxPool), ...ranked('AvgPool', averagePool),
  ...ranked('AdaptiveAvgPool', (axes) => adaptivePool('avg', axes)), ...ranked('AdaptiveMaxPool', (axes) => adaptivePool('max', axes)),
  ...ranked('ZeroPad', pad('constant')), ...ranked('ConstantPad', pad('constant')), ...ranked('ReflectionPad', pad('reflect')),
  ...ranked('ReplicationPad', pad('replicate')), ...ranked('CircularPad', pad('circular')),
  ReLU: plain('relu'), ReLU6: plain('relu6'), Sigmoid: plain('sigmoid'), Tanh: plain('tanh'), SiLU: plain('silu'), Mish: plain('mish'), SELU: plain('selu'),
  Hardswish: plain('hardswish'), Hardsigmoid: plain('hardsigmoid'), LogSigmoid: plain('log_sigmoid'), Softsign: plain('softsign'), Tanhshrink: plain('tanhshrink'),
  LeakyReLU: plain('leaky_relu', { negative_slope: 0.01 }), ELU: plain('elu', { alpha: 1 }), CELU: plain('celu', { alpha: 1 }), GELU: plain('gelu', { approximate: 'none' }),
  Hardtanh: plain('hardtanh', { min_val: -1, max_val: 1 }), Softplus: plain('softplus', { beta: 1, threshold: 20 }), GLU: plain('glu', { dim: -1 }),
  Softshrink: plain('softshrink', { lambd: 0.5 }), Hardshrink: plain('hardshrink', { lambd: 0.5 }), Threshold: plain('threshold', { threshold: 0, value: 0 }),
  RReLU: plain('rrelu', { lower: 1 / 8, upper: 1 / 3 }),
  PReLU: (call) => callAten(call.c, 'aten.prelu', [call.inputs[0]!, needed(call, 'weight')]),
  Softmax: (call) => callAten(call.c, 'aten.softmax', [call.inputs[0]!, dim(call)]), LogSoftmax: (call) => callAten(call.c, 'aten.log_softmax', [call.inputs[0]!, dim(call)]),
  Softmin: (call) => softmin(call.c, call.inputs[0] as Value, dim(call)), Softmax2d: (call) => callAten(call.c, 'aten.softmax', [call.inputs[0]!, -3]),
  Identity: identity, Dropout: identity, Dropout1d: identity, Dropout2d: identity, Dropout3d: identity, AlphaDropout: identity, FeatureAlphaDropout: identity,
  Flatten: plain('flatten', { start_dim: 1, end_dim: -1 }),
  Unflatten: (call) => callAten(call.c, 'aten.unflatten', [call.inputs[0]!, option(call, 'dim', 1), option(call, 'unflattened_size', null)]),
  Upsample: upsample, UpsamplingNearest2d: upsample, UpsamplingBilinear2d: upsample,
  PixelShuffle: plain('pixel_shuffle', { upscale_factor: 1 }), PixelUnshuffle: plain('pixel_unshuffle', { downscale_factor: 1 }), ChannelShuffle: plain('channel_shuffle', { groups: 1 }),
  LSTM: recurrent(() => 'lstm', 2), GRU: recurrent(() => 'gru', 1),
  RNN: recurrent((call) => (option(call, 'nonlinearity', 'tanh') === 'relu' || option(call, 'mode', '') === 'RNN_RELU' ? 'rnn_relu' : 'rnn_tanh'), 1),
};

/** Before torch 0.4 the axis could be left out: 1 of a matrix or an image, 0 otherwise. */
function dim(call: ModuleCall): AtenArgument {
  const rank = call.c.rank(call.inputs[0] as Value);
  return option(call, 'dim', null) ?? (rank === 0 || rank === 1 || rank === 3 ? 0 : 1);
}
