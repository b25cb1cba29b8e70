/** Mixtures of experts: a router picks a few feed-forward layers for every token. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import { linear } from './linear.js';
import { gatedMlp, type GatedMlpShape } from './mlp.js';

export interface ExpertsShape {
  readonly experts: number;
  /** Experts of a token. */
  readonly perToken: number;
  /** Whether the shares of a token's experts are scaled to a sum of 1. */
  readonly normalized: boolean;
  readonly expert: GatedMlpShape;
  /** An expert of every token besides, weighted by the sigmoid of its own gate. */
  readonly shared?: GatedMlpShape;
}

/**
 * Every expert computes the tokens that were sent to it, and nothing else: their rows are taken out of x, and what becomes
 * of them is added where they were. Expert weights stay matrices of their own, so that they stream and quantize like
 * all others. x and the result are (batch, seq, hidden).
 */
export function mixtureOfExperts(net: Network, name: string, x: Value, shape: ExpertsShape): Value {
  const { expert: { hidden }, experts, shared } = shape;
  return net.module(name, () => {
    const tokens = net.op('Reshape', [x, net.ints([-1, hidden])]); // (tokens, hidden)
    const shares = net.op('Transpose', [routing(net, tokens, shape)], { perm: [1, 0] }); // (experts, tokens), float32
    let sum = net.op('Mul', [net.widen(tokens), net.float32(0)]);
    for (let i = 0; i < experts; i++) sum = addExpert(net, `experts.${i}`, sum, { tokens, share: net.op('Gather', [shares, net.ints(i)]) }, shape.expert);
    const mixed = net.narrow(sum);
    const all = shared ? net.op('Add', [mixed, sharedExpert(net, tokens, shared)]) : mixed;
    return net.op('Reshape', [all, net.op('Shape', [x])]);
  });
}

/** `sum` (tokens, hidden) with the part of one expert added; `share` is (tokens). */
function addExpert(
  net: Network, name: string, sum: Value, { tokens, share }: { readonly tokens: Value; readonly share: Value }, shape: GatedMlpShape,
): Value {
  const rows = net.op('Transpose', [net.op('NonZero', [share])], { perm: [1, 0] }); // (chosen, 1)
  const output = gatedMlp(net, name, net.op('GatherND', [tokens, rows]), shape); // (chosen, hidden)
  return net.module(name, () => {
    const weight = net.op('Unsqueeze', [net.op('GatherND', [share, rows]), net.ints([1])]);
    return net.op('ScatterND', [sum, rows, net.op('Mul', [net.widen(output), weight])], { reduction: 'add' });
  });
}

/** What each expert's output counts for a token, (tokens, experts) in float32: 0 for those it was not sent to. */
function routing(net: Network, tokens: Value, { experts, perToken, normalized, expert: { hidden } }: ExpertsShape): Value {
  const logits = linear(net, 'gate', tokens, { inputs: hidden, outputs: experts, bias: false });
  return net.module('gate', () => {
    const probabilities = net.op('Softmax', [net.widen(logits)], { axis: -1 });
    const [best, chosen] = net.builder.nodes('TopK', [probabilities, net.ints([perToken])], { axis: -1 }, { outputCount: 2 });
    const share = normalized ? net.op('Div', [best, net.op('ReduceSum', [best, net.ints([-1])], { keepdims: 1 })]) : best;
    const none = net.op('Mul', [probabilities, net.float32(0)]);
    return net.op('ScatterElements', [none, chosen, share], { axis: -1 });
  });
}

function sharedExpert(net: Network, tokens: Value, shape: GatedMlpShape): Value {
  const output = gatedMlp(net, 'shared_expert', tokens, shape);
  const gate = linear(net, 'shared_expert_gate', tokens, { inputs: shape.hidden, outputs: 1, bias: false });
  return net.op('Mul', [output, net.module('shared_expert_gate', () => net.op('Sigmoid', [gate]))]);
}
