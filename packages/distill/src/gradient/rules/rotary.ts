/** Gradients of rotary position embeddings. */
import type { AttributeInput } from '@penjing/core';
import type { GradientContext, GradientRule } from '../rule.js';

const attributesOf = (c: GradientContext): Readonly<Record<string, AttributeInput>> => Object.fromEntries(c.node.attributes);

/** A rotation is orthogonal: its gradient is rotated back, by the same angles with the sine's sign turned. */
export const rotaryGradients = {
  RotaryEmbedding: (c) => [
    () => c.ops.op('RotaryEmbedding', [c.gradient, c.input(1), c.ops.neg(c.input(2)), c.optional(3)], attributesOf(c)),
    undefined, undefined, undefined,
  ],
  'com.microsoft.RotaryEmbedding': (c) => [
    () => c.ops.op('RotaryEmbedding', [c.gradient, c.input(1), c.input(2), c.ops.neg(c.input(3))], attributesOf(c), { domain: 'com.microsoft' }),
    undefined, undefined, undefined,
  ],
} as const satisfies Readonly<Record<string, GradientRule>>;
