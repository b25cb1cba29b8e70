/** Attention in operators of ai.onnx only; keys and values of a group are read by all its queries, never repeated. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { Rope } from '../rope.js';
import type { Attend, AttentionInputs, AttentionShape } from './attention.js';
import { cosSin, rotaryAngles } from './rotary.js';

/** Scores of what must not be seen; finite, so that a row of padding, which sees nothing, stays finite. */
const MASKED = -1e9;

export function standardAttention(net: Network, inputs: AttentionInputs, shape: AttentionShape, rope: Rope): Attend {
  const { heads, kvHeads, headDim, scale } = shape;
  const rotate = rotation(net, inputs.positions, rope);
  const bias = net.module('attention', () => causalBias(net, inputs));
  const split = (x: Value, count: number): Value =>
    net.op('Transpose', [net.op('Reshape', [x, net.ints([0, 0, count, headDim])])], { perm: [0, 2, 1, 3] });
  const grouped = heads !== kvHeads;

  return (projected, past) => {
    const query = rotate('q_rotary', split(projected.query, heads)); // (batch, heads, seq, headDim)
    const fresh = rotate('k_rotary', split(projected.key, kvHeads)); // (batch, kvHeads, seq, headDim)
    const key = net.op('Concat', [past.key, fresh], { axis: 2 }); // (batch, kvHeads, total, headDim)
    const value = net.op('Concat', [past.value, split(projected.value, kvHeads)], { axis: 2 });

    // the queries of a group stand below each other, (batch, kvHeads, group · seq, headDim): one product for all
    const scaled = net.op('Mul', [query, net.scalar(scale)]);
    const stacked = grouped ? net.op('Reshape', [scaled, net.ints([0, kvHeads, -1, headDim])]) : scaled;
    const products = net.op('MatMul', [stacked, net.op('Transpose', [key], { perm: [0, 1, 3, 2] })]);
    const scores = grouped ? net.op('Reshape', [products, net.ints([0, heads, -1, 0])]) : products; // (batch, heads, seq, total)
    const weights = net.narrow(net.op('Softmax', [net.op('Add', [net.widen(scores), bias])], { axis: -1 }));
    const shares = grouped ? net.op('Reshape', [weights, net.ints([0, kvHeads, -1, 0])]) : weights;
    const mixed = net.op('MatMul', [shares, value]); // (batch, kvHeads, group · seq, headDim)
    const apart = grouped ? net.op('Reshape', [mixed, net.ints([0, heads, -1, headDim])]) : mixed;
    const output = net.op('Reshape', [net.op('Transpose', [apart], { perm: [0, 2, 1, 3] }), net.ints([0, 0, heads * headDim])]);
    return { output, present: { key, value } };
  };
}

/** Rotates (batch, heads, seq, headDim): the first half of a head pairs with the second. */
function rotation(net: Network, positions: Value, rope: Rope): (name: string, x: Value) => Value {
  const angles = net.op('Unsqueeze', [rotaryAngles(net, positions, rope), net.ints([1])]);
  const { cos, sin } = cosSin(net, angles, rope); // (batch, 1, seq, headDim / 2)
  return (name, x) =>
    net.module(name, () => {
      const [a, b] = net.builder.nodes('Split', [x], { axis: -1, num_outputs: 2 }, { outputCount: 2 });
      const first = net.op('Sub', [net.op('Mul', [a, cos]), net.op('Mul', [b, sin])]);
      const second = net.op('Add', [net.op('Mul', [b, cos]), net.op('Mul', [a, sin])]);
      return net.op('Concat', [first, second], { axis: -1 });
    });
}

/** 0 where a token may look, (batch, 1, seq, total), float32. */
function causalBias(net: Network, { mask, positions }: AttentionInputs): Value {
  const total = net.op('Squeeze', [net.op('Shape', [mask], { start: 1, end: 2 })]);
  const seq = net.op('Squeeze', [net.op('Shape', [positions], { start: 1, end: 2 })]);
  const places = net.op('Range', [net.ints(0), total, net.ints(1)]); // (total)
  const own = net.op('Range', [net.op('Sub', [total, seq]), total, net.ints(1)]); // (seq)
  const past = net.op('LessOrEqual', [places, net.op('Unsqueeze', [own, net.ints([1])])]); // (seq, total)
  const real = net.op('Unsqueeze', [net.op('Cast', [mask], { to: BOOL }), net.ints([1, 2])]); // (batch, 1, 1, total)
  const seen = net.op('And', [past, real]);
  return net.op('Where', [seen, net.float32(0), net.float32(MASKED)]);
}

const BOOL = 9;
