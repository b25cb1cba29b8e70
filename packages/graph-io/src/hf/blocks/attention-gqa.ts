/** Attention by com.microsoft.GroupQueryAttention, with rotary embeddings by position ids and padding by a bias. */
import { attribute, type Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { Rope } from '../rope.js';
import type { Attend, AttentionInputs, AttentionShape } from './attention.js';
import { once } from './once.js';
import { cosSin, rotaryAngles } from './rotary.js';

const INT32 = 6;
const BOOL = 9;

/**
 * Scores of padding. Finite, so that a row which sees nothing but padding stays finite too: a NaN there would pass
 * into the keys and values of the next layer and from there, as 0 · NaN, into every row.
 */
const MASKED = { float32: -1e9, float16: -3e4 } as const;

/**
 * The operator's own rotation takes its positions from the cache length, which is wrong for padded rows; so queries
 * and keys are rotated before it. Its lengths are those of the whole buffer: padding inside it is the bias' business,
 * and a window counts places of the buffer, as it does in transformers.
 */
export function groupQueryAttention(net: Network, inputs: AttentionInputs): (shape: AttentionShape) => Attend {
  const { lengths, total, bias } = net.module('attention', () => masks(net, inputs));
  const rotation = once((rope: Rope) => rotate(net, inputs.positions, rope));
  return (shape) => {
    const { heads, kvHeads, scale, window, softcap, rope } = shape;
    const turn: Rotate = rope ? rotation(rope) : (_, x) => x;
    return ({ query, key, value }, past) => {
      const q = turn('q_rotary', query, { heads, headDim: shape.headDim });
      const k = turn('k_rotary', key, { heads: kvHeads, headDim: shape.headDim });
      const [output, presentKey, presentValue] = net.contrib(
        'GroupQueryAttention',
        [q, k, value, past?.key, past?.value, lengths, total, undefined, undefined, undefined, bias],
        {
          num_heads: heads, kv_num_heads: kvHeads, scale: attribute.float(scale),
          ...(window !== undefined && { local_window_size: window }),
          ...(softcap !== undefined && { softcap: attribute.float(softcap) }),
        },
        3,
      );
      return { output: output!, present: { key: presentKey!, value: presentValue! } };
    };
  };
}

type Rotate = (name: string, x: Value, shape: { readonly heads: number; readonly headDim: number }) => Value;

/** Rotates (batch, seq, heads · headDim) by com.microsoft.RotaryEmbedding. */
function rotate(net: Network, positions: Value, rope: Rope): Rotate {
  const angles = rotaryAngles(net, positions, rope);
  const pairs = rope.inverseFrequencies.length;
  return net.module('rotary_emb', () => {
    // the operator looks angles up in a table by position; ours holds the tokens of this run, in order
    const { cos, sin } = cosSin(net, net.op('Reshape', [angles, net.ints([-1, pairs])]), rope);
    const count = net.op('Range', [net.ints(0), net.op('Size', [positions]), net.ints(1)]);
    const places = net.op('Reshape', [count, net.op('Shape', [positions])]);
    return (name, x, { heads, headDim }) => {
      const partial = 2 * pairs < headDim && { num_heads: heads, rotary_embedding_dim: 2 * pairs };
      const attributes = { ...partial, ...(rope.interleaved && { interleaved: 1 }) };
      return net.module(name, () => net.contrib('RotaryEmbedding', [x, places, cos, sin], attributes)[0]!);
    };
  });
}

/** What the operator wants instead of a mask. */
function masks(net: Network, { mask, positions }: AttentionInputs): { lengths: Value; total: Value; bias: Value } {
  const total = net.op('Cast', [net.op('Squeeze', [net.op('Shape', [mask], { start: 1, end: 2 })])], { to: INT32 });
  // (batch): the last filled place of the buffer, the same in every row
  const last = net.op('Sub', [total, net.builder.constant('int32', 1)]);
  const lengths = net.op('Expand', [last, net.op('Shape', [mask], { start: 0, end: 1 })]);
  // (batch, 1, seq, total)
  const keep = net.op('Cast', [mask], { to: BOOL });
  const row = net.op('Where', [keep, net.scalar(0), net.scalar(MASKED[net.dtype])]);
  const seq = net.op('Shape', [positions], { start: 1, end: 2 });
  const full = net.op('Concat', [net.ints([1, 1]), seq, net.ints([1])], { axis: 0 });
  const bias = net.op('Expand', [net.op('Unsqueeze', [row, net.ints([1, 2])]), full]);
  return { lengths, total, bias };
}
