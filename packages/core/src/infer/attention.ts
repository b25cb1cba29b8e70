/** Shape rules of the attention operators of ai.onnx. */
import type { OpName } from '../ops/lookup.js';
import type { Dim } from '../shape.js';
import { addDims, floorDivideDims, multiplyDims } from './dims.js';
import { type InferRule, likeInput, tensor } from './rule.js';

/** Q (batch, heads, seq, size), or (batch, seq, heads*size) with the head counts as attributes. */
const attention: InferRule = (c) => {
  const [q, k, v, pastKey] = [c.shape(0), c.shape(1), c.shape(2), c.shape(4)];
  const dtype = c.dtype(0);
  if (!q || !k || !v) return [tensor(dtype, q && [...q.slice(0, -1), null]), tensor(dtype), tensor(dtype), tensor(dtype)];
  const flat = q.length === 3;
  const [qHeads, kvHeads] = [c.node.int('q_num_heads', 1), c.node.int('kv_num_heads', 1)];
  const batch = q[0]!;
  const heads: Dim = flat ? qHeads : q[1]!;
  const groups: Dim = flat ? kvHeads : k[1]!;
  const rows = q.at(-2)!;
  const keySize = flat ? floorDivideDims(k[2]!, kvHeads) : k[3]!;
  const valueSize = flat ? floorDivideDims(v[2]!, kvHeads) : v[3]!;
  const total = c.has(4) ? addDims(pastKey?.[2] ?? null, k.at(-2)!) : k.at(-2)!;
  return [
    tensor(dtype, flat ? [batch, rows, multiplyDims(heads, valueSize)] : [batch, heads, rows, valueSize]),
    tensor(c.dtype(1), [batch, groups, total, keySize]),
    tensor(c.dtype(2), [batch, groups, total, valueSize]),
    tensor(dtype, [batch, heads, rows, total]),
  ];
};

export const attentionRules = {
  Attention: attention,
  RotaryEmbedding: likeInput,
  CausalConvWithState(c) {
    // (batch, channels, seq) keeps the last kernel - 1 columns of its input.
    const [x, weight] = [c.shape(0), c.shape(1)];
    return [{ type: c.type(0) }, tensor(c.dtype(0), x && [x[0]!, x[1]!, addDims(weight?.at(-1) ?? null, -1)])];
  },
  LinearAttention(c) {
    // (batch, seq, heads*size); the state is (batch, kvHeads, keySize, valueSize).
    const [q, k, v] = [c.shape(0), c.shape(1), c.shape(2)];
    const [heads, groups] = [c.node.int('q_num_heads', 1), c.node.int('kv_num_heads', 1)];
    const valueSize = floorDivideDims(v?.[2] ?? null, groups);
    const state = q && [q[0]!, groups, floorDivideDims(k?.[2] ?? null, groups), valueSize];
    return [tensor(c.dtype(0), q && [q[0]!, q[1]!, multiplyDims(heads, valueSize)]), tensor(c.dtype(3) ?? c.dtype(0), state)];
  },
} satisfies Partial<Record<OpName, InferRule>>;
