/** Rotary position embeddings in the graph: the angles of a run's own positions, not a table of all positions. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { Rope } from '../rope.js';

/**
 * Angles of every token, (batch, seq, pairs), in float32. Computed once per run: a table for 128 K positions
 * would weigh 64 MB and could not follow scalings that depend on the length.
 */
export function rotaryAngles(net: Network, positions: Value, rope: Rope): Value {
  return net.module('rotary_emb', () => {
    const place = net.op('Cast', [net.op('Unsqueeze', [positions, net.ints([-1])])], { to: 1 });
    return net.op('Mul', [place, frequencies(net, positions, rope)]);
  });
}

/** cos and sin of angles, scaled, in the network's type; shaped like the angles. */
export function cosSin(net: Network, angles: Value, rope: Rope): { readonly cos: Value; readonly sin: Value } {
  const scaled = (wave: Value): Value =>
    rope.attentionFactor === 1 ? wave : net.op('Mul', [wave, net.float32(rope.attentionFactor)]);
  return net.module('rotary_emb', () => ({
    cos: net.narrow(scaled(net.op('Cos', [angles]))),
    sin: net.narrow(scaled(net.op('Sin', [angles]))),
  }));
}

/** (pairs). */
function frequencies(net: Network, positions: Value, rope: Rope): Value {
  const near = net.float32(rope.inverseFrequencies);
  const { far } = rope;
  if (!far) return near;
  // transformers looks at the furthest position of the whole batch, and cached keys keep what they were rotated by
  const last = net.op('Cast', [net.op('ReduceMax', [positions], { keepdims: 0 })], { to: 1 });
  const length = net.op('Add', [last, net.float32(1)]);
  if (far.kind === 'switch') {
    const beyond = net.op('Greater', [length, net.float32(far.from)]);
    return net.op('Where', [beyond, net.float32(far.inverseFrequencies), near]);
  }
  const reach = net.op('Max', [length, net.float32(far.from)]);
  const stretched = net.op('Mul', [reach, net.float32(far.factor / far.from)]);
  const ratio = net.op('Sub', [stretched, net.float32(far.factor - 1)]);
  return net.op('Mul', [near, net.op('Pow', [ratio, net.float32(far.exponents)])]);
}
