/** From the states of tokens to one state of the text: the modes of sentence-transformers' Pooling. */
import { denseOf, tensorType, type Value } from '@penjing/core';
import { placesInOrder } from '../blocks/text-embeddings.js';
import { statesAt } from '../blocks/two-towers.js';
import type { Network } from '../network.js';

interface Tokens {
  /** float32 (batch, seq, width). */
  readonly states: Value;
  /** int64 (batch, seq): 0 is padding, or a prompt that does not count. */
  readonly mask: Value;
  /** int64 (batch, seq): 0 is padding. */
  readonly real: Value;
}

type Mode = (net: Network, tokens: Tokens) => Value;

const [FLOAT, INT32, INT64, BOOL] = [1, 6, 7, 9];

/** The smallest float32: what a text of nothing but padding has for its largest, finite where sentence-transformers gives -∞. */
const LOWEST = -3.4028234663852886e38;

/** (batch, width) each, float32. */
export const poolingModes = {
  cls: (net, { states, mask }) => statesAt(net, states, firstPlace(net, mask)),
  max: (net, { states, mask }) => {
    const real = net.op('Unsqueeze', [net.op('Cast', [mask], { to: BOOL }), net.ints([-1])]);
    return net.op('ReduceMax', [net.op('Where', [real, states, net.float32(LOWEST)]), net.ints([1])], { keepdims: 0 });
  },
  mean: (net, { states, mask }) => weighted(net, states, net.op('Cast', [mask], { to: FLOAT }), (count) => count),
  mean_sqrt_len_tokens: (net, { states, mask }) => weighted(net, states, net.op('Cast', [mask], { to: FLOAT }), (count) => net.op('Sqrt', [count])),
  weightedmean: (net, { states, mask, real }) => {
    // 1, 2, 3, … from the first token on, whatever padding is before it
    const start = net.op('Unsqueeze', [firstPlace(net, real), net.ints([1])]);
    const ranks = net.op('Add', [net.op('Sub', [placesInOrder(net, mask), start]), net.ints(1)]);
    return weighted(net, states, net.op('Cast', [net.op('Mul', [ranks, mask])], { to: FLOAT }), (sum) => sum);
  },
  lasttoken: (net, { states, mask }) =>
    statesAt(net, states, net.op('ReduceMax', [net.op('Mul', [placesInOrder(net, mask), mask]), net.ints([1])], { keepdims: 0 })),
} as const satisfies Record<string, Mode>;

export type PoolingMode = keyof typeof poolingModes;

export interface PoolingShape {
  /** Side by side in the result. */
  readonly modes: readonly PoolingMode[];
  /** Callers may say how many tokens of a prompt do not count: the input `prompt_length`, int64 (1), 0 when it is not given. */
  readonly promptInput: boolean;
}

/** float32 (batch, modes · width) of states (batch, seq, width) and a mask (batch, seq). */
export function pool(net: Network, states: Value, real: Value, { modes, promptInput }: PoolingShape): Value {
  const mask = promptInput ? withoutPrompt(net, real) : real;
  const pooled = modes.map((mode) => poolingModes[mode](net, { states, mask, real }));
  return pooled.length === 1 ? pooled[0]! : net.op('Concat', pooled, { axis: -1 });
}

/** int64 (batch): the place of the first 1 in each row. */
function firstPlace(net: Network, mask: Value): Value {
  return net.op('ArgMax', [net.op('Cast', [mask], { to: INT32 })], { axis: 1, keepdims: 0 });
}

/** Σ weight · state / of(Σ weight), of weights (batch, seq). A row without any gets 0. */
function weighted(net: Network, states: Value, weights: Value, of: (sum: Value) => Value): Value {
  const columns = net.op('Unsqueeze', [weights, net.ints([-1])]);
  const sum = net.op('ReduceSum', [net.op('Mul', [states, columns]), net.ints([1])], { keepdims: 0 });
  const total = net.op('Max', [net.op('ReduceSum', [columns, net.ints([1])], { keepdims: 0 }), net.float32(1e-9)]);
  return net.op('Div', [sum, of(total)]);
}

/**
 * 0 in the first `prompt_length` tokens after the padding too. An initializer that is an input: clients may leave it out. Those
 * of ONNX Runtime for Node and the web must, since they pass no optional inputs on.
 */
function withoutPrompt(net: Network, mask: Value): Value {
  const { graph } = net.builder;
  const length = net.builder.initializer('prompt_length', denseOf('int64', [1], [0]));
  length.type = tensorType('int64', [1]);
  graph.inputs.push(length);
  const end = net.op('Unsqueeze', [net.op('Add', [firstPlace(net, mask), length]), net.ints([1])]);
  const after = net.op('GreaterOrEqual', [placesInOrder(net, mask), end]);
  return net.op('Mul', [mask, net.op('Cast', [after], { to: INT64 })]);
}
