/** Attention in operators of ai.onnx only; keys and values of a group are read by all its queries, never repeated. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { Rope } from '../rope.js';
import type { Attend, AttentionInputs, AttentionShape } from './attention.js';
import { softcap as capped } from './activation.js';
import { once } from './once.js';
import { cosSin, rotaryAngles } from './rotary.js';

/** Scores of what must not be seen; finite, so that a row of padding, which sees nothing, stays finite. */
const MASKED = -1e9;
const BOOL = 9;

export function standardAttention(net: Network, inputs: AttentionInputs): (shape: AttentionShape) => Attend {
  const rotation = once((rope: Rope) => rotate(net, inputs.positions, rope));
  const visible = net.module('attention', () => visibility(net, inputs));
  const biases = once((window: number) => net.module('attention', () => visible(window)));

  return ({ heads, kvHeads, headDim, scale, window, softcap, rope }) => {
    const turn: Rotate = rope ? rotation(rope) : (_, x) => x;
    const bias = biases(window ?? Infinity);
    const split = (x: Value, count: number): Value =>
      net.op('Transpose', [net.op('Reshape', [x, net.ints([0, 0, count, headDim])])], { perm: [0, 2, 1, 3] });
    const grouped = heads !== kvHeads;

    return (projected, past) => {
      const query = turn('q_rotary', split(projected.query, heads), headDim); // (batch, heads, seq, headDim)
      const fresh = turn('k_rotary', split(projected.key, kvHeads), headDim); // (batch, kvHeads, seq, headDim)
      const all = (before: Value | undefined, now: Value): Value => (before ? net.op('Concat', [before, now], { axis: 2 }) : now);
      const key = all(past?.key, fresh); // (batch, kvHeads, total, headDim)
      const value = all(past?.value, split(projected.value, kvHeads));

      // the queries of a group stand below each other, (batch, kvHeads, group · seq, headDim): one product for all
      const scaled = net.op('Mul', [query, net.scalar(scale)]);
      const stacked = grouped ? net.op('Reshape', [scaled, net.ints([0, kvHeads, -1, headDim])]) : scaled;
      const products = net.op('MatMul', [stacked, net.op('Transpose', [key], { perm: [0, 1, 3, 2] })]);
      const scores = grouped ? net.op('Reshape', [products, net.ints([0, heads, -1, 0])]) : products; // (batch, heads, seq, total)
      const bounded = softcap === undefined ? net.widen(scores) : capped(net, net.widen(scores), softcap);
      const weights = net.narrow(net.op('Softmax', [net.op('Add', [bounded, bias])], { axis: -1 }));
      const shares = grouped ? net.op('Reshape', [weights, net.ints([0, kvHeads, -1, 0])]) : weights;
      const mixed = net.op('MatMul', [shares, value]); // (batch, kvHeads, group · seq, headDim)
      const apart = grouped ? net.op('Reshape', [mixed, net.ints([0, heads, -1, headDim])]) : mixed;
      const output = net.op('Reshape', [net.op('Transpose', [apart], { perm: [0, 2, 1, 3] }), net.ints([0, 0, heads * headDim])]);
      return { output, present: { key, value } };
    };
  };
}

export type Rotate = (name: string, x: Value, headDim: number) => Value;

/** Rotates (batch, heads, seq, headDim): the first half of the rotated columns pairs with the second, or neighbours do. */
export function rotate(net: Network, positions: Value, rope: Rope): Rotate {
  const angles = net.op('Unsqueeze', [rotaryAngles(net, positions, rope), net.ints([1])]);
  const { cos, sin } = cosSin(net, angles, rope); // (batch, 1, seq, pairs)
  const pairs = rope.inverseFrequencies.length;
  return (name, x, headDim) =>
    net.module(name, () => {
      const rest = headDim - 2 * pairs;
      const turn = (a: Value, b: Value): [Value, Value] => [
        net.op('Sub', [net.op('Mul', [a, cos]), net.op('Mul', [b, sin])]),
        net.op('Add', [net.op('Mul', [b, cos]), net.op('Mul', [a, sin])]),
      ];
      if (rope.interleaved) {
        const [turned, kept] = rest === 0 ? [x] : net.builder.nodes('Split', [x, net.ints([2 * pairs, rest])], { axis: -1 }, { outputCount: 2 });
        const paired = net.op('Reshape', [turned, net.ints([0, 0, -1, pairs, 2])]);
        const [a, b] = [0, 1].map((side) => net.op('Gather', [paired, net.ints(side)], { axis: -1 })) as [Value, Value];
        const sides = turn(a, b).map((side) => net.op('Unsqueeze', [side, net.ints([-1])]));
        const joined = net.op('Reshape', [net.op('Concat', sides, { axis: -1 }), net.ints([0, 0, -1, 2 * pairs])]);
        return kept ? net.op('Concat', [joined, kept], { axis: -1 }) : joined;
      }
      const [a, b, kept] = rest === 0
        ? net.builder.nodes('Split', [x], { axis: -1, num_outputs: 2 }, { outputCount: 2 })
        : net.builder.nodes('Split', [x, net.ints([pairs, pairs, rest])], { axis: -1 }, { outputCount: 3 });
      return net.op('Concat', [...turn(a!, b!), ...(kept ? [kept] : [])], { axis: -1 });
    });
}

/** Gives, by window, 0 where a token may look, (batch, 1, seq, total), float32. A window of Infinity ends nowhere. */
function visibility(net: Network, { mask, positions, ahead = false }: AttentionInputs): (window: number) => Value {
  const total = net.op('Squeeze', [net.op('Shape', [mask], { start: 1, end: 2 })]);
  const seq = net.op('Squeeze', [net.op('Shape', [positions], { start: 1, end: 2 })]);
  const places = net.op('Range', [net.ints(0), total, net.ints(1)]); // (total)
  const own = net.op('Range', [net.op('Sub', [total, seq]), total, net.ints(1)]); // (seq)
  const rows = net.op('Unsqueeze', [own, net.ints([1])]); // (seq, 1)
  const past = ahead ? [] : [net.op('LessOrEqual', [places, rows])]; // (seq, total)
  const real = net.op('Unsqueeze', [net.op('Cast', [mask], { to: BOOL }), net.ints([1, 2])]); // (batch, 1, 1, total)
  return (window) => {
    const near = window === Infinity ? [] : [net.op('Greater', [places, net.op('Sub', [rows, net.ints(window)])])];
    const soon = window === Infinity || !ahead ? [] : [net.op('Less', [places, net.op('Add', [rows, net.ints(window)])])];
    const seen = [...past, ...near, ...soon, real].reduce((all, side) => net.op('And', [all, side]));
    return net.op('Where', [seen, net.float32(0), net.float32(MASKED)]);
  };
}
