/** Reference kernel of com.microsoft.GroupQueryAttention: a growing cache, rotary embedding, windows, sinks and soft caps. */
import { attend } from './attend.js';
import { joinHeads, maskOf, rotate, splitHeads } from './attention.js';
import { type NdArray, numbers, rounded } from './array.js';
import type { Kernel } from './kernel.js';
import { part } from './movement.js';

export const groupQueryAttention: Kernel = (c) => {
  const { node } = c;
  const [heads, groups] = [node.int('num_heads', 1), node.int('kv_num_heads', 1)];
  if (c.has(12) || c.has(13)) throw c.unsupported('a quantized cache');
  const query = c.array(0);
  const [batch, seq, width] = query.shape as [number, number, number];
  const packed = !c.has(1);
  const size = packed ? width / (heads + 2 * groups) : width / heads;
  const cut = (from: number, count: number): NdArray => splitHeads(part(query, 2, from * size, (from + count) * size), count);
  let q = packed ? cut(0, heads) : splitHeads(query, heads);
  let k = packed ? cut(heads, groups) : splitHeads(c.array(1), groups);
  const v = packed ? cut(heads + groups, groups) : splitHeads(c.array(2), groups);
  const lengths = c.ints(5).map((last) => last + 1);
  const total = c.number(6, 0);
  // A first prompt starts at 0 even when it is padded on the right.
  const pasts = lengths.map((length) => (seq === total ? 0 : length - seq));
  if (node.int('do_rotary', 0) === 1) {
    const ids = c.has(9) ? c.numbers(9) : undefined;
    const options = {
      interleaved: node.int('rotary_interleaved', 0) === 1,
      width: c.array(7).shape.at(-1)! * 2,
      row: (b: number, t: number): number => ids?.[b * seq + t] ?? pasts[b]! + t,
    };
    q = rotate(q, c.array(7), c.array(8), options);
    k = rotate(k, c.array(7), c.array(8), options);
  }
  const keys = Math.max(c.optional(3)?.shape[2] ?? 0, total);
  const present = (past: NdArray | undefined, fresh: NdArray): NdArray => {
    const out = new Float64Array(batch * groups * keys * size);
    const length = past?.shape[2] ?? 0;
    const [old, now] = [past && numbers(past), numbers(fresh)];
    for (let row = 0; row < batch * groups; row++) {
      const start = pasts[Math.floor(row / groups)]!;
      if (old) out.set(old.subarray(row * length * size, (row * length + Math.min(start, length)) * size), row * keys * size);
      out.set(now.subarray(row * seq * size, (row + 1) * seq * size).subarray(0, Math.max(0, keys - start) * size), (row * keys + start) * size);
    }
    return rounded(fresh.dtype, [batch, groups, keys, size], out);
  };
  const [allKeys, allValues] = [present(c.optional(3), k), present(c.optional(4), v)];
  const window = node.int('local_window_size', -1);
  const causal = node.int('causal', 1) === 1;
  const shift = maskOf(c.optional(10), [batch, heads, seq, total]);
  const sinks = c.has(11) ? c.numbers(11) : undefined;
  const smooth = node.int('smooth_softmax', 0) === 1;
  const { out, scores, weights } = attend(numbers(q), numbers(allKeys), numbers(allValues), {
    batch, heads, groups, rows: seq, keys, keySize: size, valueSize: size,
    scale: node.float('scale', 0) || 1 / Math.sqrt(size),
    softcap: node.float('softcap', 0),
    sink: (h) => sinks?.[h] ?? (smooth ? 0 : undefined),
    bias(b, h, r, j) {
      const at = pasts[b]! + r;
      if (j >= lengths[b]! || (causal && j > at) || (window >= 0 && j <= at - window)) return -Infinity;
      return shift?.(b, h, r, j) ?? 0;
    },
  });
  const y = joinHeads(rounded(query.dtype, [batch, heads, seq, size], out));
  if (c.node.outputs.length < 4) return [y, allKeys, allValues];
  const step = node.int('qk_output', 0) === 1 ? scores : weights;
  return [y, allKeys, allValues, rounded(query.dtype, [batch, heads, seq, keys], step)];
};
