/** Classes of torch.nn that take several tensors or a state: recurrent cells, bags of embeddings, distances, patches. */
import { PenjingError, type Value } from '@penjing/core';
import { type AtenArgument, callAten, isValue } from '../../torch/aten/index.js';
import { zeros } from './functionals.js';
import { type Kind, type ModuleCall, needed, option, plain } from './module-call.js';

/** One step of a recurrent layer; a state that is not given is zero. Inputs [batch, size], or [size]. */
const cell = (target: (call: ModuleCall) => string, states: 1 | 2): Kind => (call) => {
  const { c, inputs } = call;
  const given = inputs[0] as Value;
  const batched = c.rank(given) === 2;
  const x = batched ? given : c.unsqueeze(given, [0]);
  const hidden = c.dims(needed(call, 'weight_hh'))[1] as number;
  const empty = (): Value => zeros(c, [c.size(x, 0), hidden], c.dtype(x));
  const state = inputs[1] ?? null;
  const lift = (value: AtenArgument): Value => (batched ? (value as Value) : c.unsqueeze(value as Value, [0]));
  const before = states === 2 ? (Array.isArray(state) ? (state as AtenArgument[]).map(lift) : [empty(), empty()]) : state === null ? empty() : lift(state);
  const result = callAten(c, `aten.${target(call)}`, [x, before, needed(call, 'weight_ih'), needed(call, 'weight_hh'), call.weight('bias_ih'), call.weight('bias_hh')]);
  const lower = (value: unknown): Value => (batched ? (value as Value) : c.squeeze(value as Value, [0]));
  return Array.isArray(result) ? result.map(lower) : lower(result);
};

/** Bags of equal size, [batch, bag]: the embeddings of each are summed, averaged, or their largest taken. */
const embeddingBag: Kind = (call) => {
  const { c, inputs } = call;
  const ids = inputs[0] as Value;
  const weights = inputs[2];
  if (isValue(inputs[1]) || c.rank(ids) !== 2) throw new PenjingError('E_UNSUPPORTED', `${call.node.path || 'the model'} takes bags of different sizes (offsets), which does not convert`, { hint: 'Give bags of one size: indices of shape [batch, bag].' });
  let each = callAten(c, 'aten.embedding', [needed(call, 'weight'), ids]) as Value;
  if (isValue(weights)) each = c.op('Mul', [each, c.unsqueeze(weights, [2])]);
  const mode = option(call, 'mode', 'mean') as string;
  const padding = option(call, 'padding_idx', null);
  if (typeof padding === 'number') throw new PenjingError('E_UNSUPPORTED', `${call.node.path || 'the model'} leaves out the index ${padding} of its bags (padding_idx), which does not convert`);
  return callAten(c, mode === 'max' ? 'aten.amax' : `aten.${mode}`, [each, [1]]);
};

const pairwiseDistance: Kind = (call) => callAten(call.c, 'aten.pairwise_distance', [...call.inputs.slice(0, 2), option(call, 'norm', 2), option(call, 'eps', 1e-6), option(call, 'keepdim', false)]);

const cosineSimilarity: Kind = (call) => callAten(call.c, 'aten.cosine_similarity', [...call.inputs.slice(0, 2), option(call, 'dim', 1), option(call, 'eps', 1e-8)]);

/** The norm of each window: the mean of the powers times the size of the window. */
const lpPool = (axes: 1 | 2): Kind => (call) => {
  const { c, inputs } = call;
  const x = inputs[0] as Value;
  const power = option(call, 'norm_type', 2) as number;
  const kernel = option(call, 'kernel_size', null) as number | readonly number[];
  const size = (typeof kernel === 'number' ? new Array<number>(axes).fill(kernel) : kernel).reduce((a, b) => a * b, 1);
  const raised = callAten(c, 'aten.pow', [c.op('Abs', [x]), power]) as Value;
  const mean = callAten(c, `aten.avg_pool${axes}d`, [raised, kernel, option(call, 'stride', null) ?? kernel, 0, option(call, 'ceil_mode', false)]) as Value;
  return callAten(c, 'aten.pow', [c.op('Mul', [mean, c.constant(c.dtype(x), size)]), 1 / power]);
};

export const cellKinds: Readonly<Record<string, Kind>> = {
  LSTMCell: cell(() => 'lstm_cell', 2), GRUCell: cell(() => 'gru_cell', 1),
  RNNCell: cell((call) => (option(call, 'nonlinearity', 'tanh') === 'relu' ? 'rnn_relu_cell' : 'rnn_tanh_cell'), 1),
  EmbeddingBag: embeddingBag, PairwiseDistance: pairwiseDistance, CosineSimilarity: cosineSimilarity, LPPool1d: lpPool(1), LPPool2d: lpPool(2),
  Unfold: plain('im2col', { kernel_size: null, dilation: 1, padding: 0, stride: 1 }),
  Fold: plain('col2im', { output_size: null, kernel_size: null, dilation: 1, padding: 0, stride: 1 }),
};
