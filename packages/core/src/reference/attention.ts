/** Reference kernels of the attention operators of ai.onnx. */
import type { OpName } from '../ops/lookup.js';
import { type AttendOptions, attend } from './attend.js';
import { arrayOf, broadcastIndex, type NdArray, numbers, permuted, reshaped, rounded } from './array.js';
import { sigmoid } from './elementwise.js';
import type { Kernel } from './kernel.js';
import { concatenate } from './movement.js';

/** (batch, seq, heads*size) to (batch, heads, seq, size). */
export function splitHeads(x: NdArray, heads: number): NdArray {
  const [batch, seq, width] = x.shape as [number, number, number];
  return permuted(reshaped(x, [batch, seq, heads, width / heads]), [0, 2, 1, 3]);
}

/** (batch, heads, seq, size) to (batch, seq, heads*size). */
export function joinHeads(x: NdArray): NdArray {
  const [batch, heads, seq, size] = x.shape as [number, number, number, number];
  return reshaped(permuted(x, [0, 2, 1, 3]), [batch, seq, heads * size]);
}

/** Element (b, h, r, j) of an additive or boolean mask that broadcasts to all scores; what lies beyond its last axis is hidden. */
export function maskOf(mask: NdArray | undefined, shape: readonly [number, number, number, number]): AttendOptions['bias'] {
  if (!mask) return undefined;
  const keys = mask.shape.at(-1)!;
  const width = keys === 1 ? shape[3] : Math.min(keys, shape[3]);
  const space = [shape[0], shape[1], shape[2], width];
  const cut = keys > width ? undefined : mask;
  const index = broadcastIndex(cut?.shape ?? mask.shape, cut ? space : [...space.slice(0, 3), keys]);
  const stride = cut ? width : keys;
  const values = numbers(mask);
  const bool = mask.dtype === 'bool';
  return (b, h, r, j) => {
    if (j >= width) return -Infinity;
    const value = values[index[((b * shape[1] + h) * shape[2] + r) * stride + j]!]!;
    return bool ? (value ? 0 : -Infinity) : value;
  };
}

const attention: Kernel = (c) => {
  const { node } = c;
  const flat = c.array(0).shape.length === 3;
  const heads = (x: NdArray, name: string): NdArray => (flat ? splitHeads(x, node.int(name, 1)) : x);
  const q = heads(c.array(0), 'q_num_heads');
  const past = [c.optional(4), c.optional(5)];
  const [k, v] = [heads(c.array(1), 'kv_num_heads'), heads(c.array(2), 'kv_num_heads')].map((x, i) => (past[i] ? concatenate([past[i], x], 2) : x)) as [NdArray, NdArray];
  const [batch, qHeads, rows, size] = q.shape as [number, number, number, number];
  const keys = k.shape[2]!;
  const mask = maskOf(c.optional(3), [batch, qHeads, rows, keys]);
  const causal = node.int('is_causal', 0) === 1;
  const lengths = c.has(6) ? c.ints(6) : undefined;
  const offset = past[0]?.shape[2] ?? 0;
  const [left, right] = [node.int('left_window_size', -1), node.int('right_window_size', -1)];
  const bias: AttendOptions['bias'] = (b, h, r, j) => {
    const at = r + (lengths ? lengths[b]! - rows : offset);
    if (causal && j > at) return -Infinity;
    if (lengths && j >= lengths[b]!) return -Infinity;
    if ((left >= 0 && j < at - left) || (right >= 0 && j > at + right)) return -Infinity;
    return mask?.(b, h, r, j) ?? 0;
  };
  const result = attend(numbers(q), numbers(k), numbers(v), {
    batch, heads: qHeads, groups: k.shape[1]!, rows, keys, keySize: size, valueSize: v.shape[3]!,
    scale: node.float('scale', 0) || 1 / Math.sqrt(size), softcap: node.float('softcap', 0), bias,
  });
  const out = rounded(q.dtype, [batch, qHeads, rows, v.shape[3]!], result.out);
  const step = [result.scores, result.capped, result.biased, result.weights][node.int('qk_matmul_output_mode', 0)]!;
  return [flat ? joinHeads(out) : out, k, v, rounded(q.dtype, [batch, qHeads, rows, keys], step)];
};

export interface RotaryOptions {
  readonly interleaved: boolean;
  /** Rotated elements at the start of each head; 0 for all. */
  readonly width: number;
  /** Row of the cache for a position of the sequence. */
  readonly row: (batch: number, seq: number) => number;
}

/** Rotates x (batch, heads, seq, size) by caches (rows, width/2). */
export function rotate(x: NdArray, cos: NdArray, sin: NdArray, { interleaved, width, row }: RotaryOptions): NdArray {
  const [, heads, seq, size] = x.shape as [number, number, number, number];
  const rotated = width || size;
  const half = rotated / 2;
  const [values, c, s] = [numbers(x), numbers(cos), numbers(sin)];
  const stride = cos.shape.at(-1)!;
  const out = values.slice();
  for (let at = 0; at < values.length; at += size) {
    const position = Math.floor(at / size);
    const from = row(Math.floor(position / (heads * seq)), position % seq) * stride;
    for (let i = 0; i < half; i++) {
      const [a, b] = interleaved ? [at + 2 * i, at + 2 * i + 1] : [at + i, at + half + i];
      out[a] = values[a]! * c[from + i]! - values[b]! * s[from + i]!;
      out[b] = values[a]! * s[from + i]! + values[b]! * c[from + i]!;
    }
  }
  return rounded(x.dtype, x.shape, out);
}

const rotary: Kernel = (c) => {
  const given = c.array(0);
  const heads = c.node.int('num_heads', 0);
  const x = given.shape.length === 3 ? splitHeads(given, heads) : given;
  const ids = c.optional(3);
  const seq = x.shape[2]!;
  const list = ids && numbers(ids);
  const out = rotate(x, c.array(1), c.array(2), {
    interleaved: c.node.int('interleaved', 0) === 1,
    width: c.node.int('rotary_embedding_dim', 0),
    // Without positions the caches are (batch, seq, width/2) already.
    row: (b, t) => (list ? list[b * seq + t]! : b * seq + t),
  });
  return [given.shape.length === 3 ? joinHeads(out) : out];
};

/** Depthwise causal convolution over (batch, channels, seq) that starts from, and gives, the last kernel - 1 columns. */
const causalConv: Kernel = (c) => {
  const [x, w, bias, state] = [c.array(0), c.array(1), c.optional(2), c.optional(3)];
  const [batch, channels, seq] = x.shape as [number, number, number];
  const taps = w.shape.at(-1)!;
  const before = state ?? arrayOf(x.dtype, [batch, channels, taps - 1], new Float64Array(batch * channels * (taps - 1)));
  const all = concatenate([before, x], 2);
  const [values, weights, add] = [numbers(all), numbers(w), bias && numbers(bias)];
  const width = seq + taps - 1;
  const activation = c.node.string('activation', 'none');
  const out = Float64Array.from({ length: batch * channels * seq }, (_, i) => {
    const channel = Math.floor(i / seq) % channels;
    let sum = add?.[channel] ?? 0;
    for (let t = 0; t < taps; t++) sum += values[Math.floor(i / seq) * width + (i % seq) + t]! * weights[channel * taps + t]!;
    return activation === 'silu' || activation === 'swish' ? sum * sigmoid(sum) : sum;
  });
  const last = Float64Array.from({ length: batch * channels * (taps - 1) }, (_, i) => values[Math.floor(i / (taps - 1)) * width + seq + (i % (taps - 1))]!);
  return [rounded(x.dtype, x.shape, out), rounded(before.dtype, before.shape, last)];
};

/** The recurrence S ← decay·S + β·k⊗(v − …), token by token; see the update rules of the operator. */
const linearAttention: Kernel = (c) => {
  const { node } = c;
  const [heads, groups] = [node.int('q_num_heads', 1), node.int('kv_num_heads', 1)];
  const [q, k, v] = [splitHeads(c.array(0), heads), splitHeads(c.array(1), groups), splitHeads(c.array(2), groups)];
  const [batch, , seq, keySize] = q.shape as [number, number, number, number];
  const valueSize = v.shape[3]!;
  const state = c.has(3) ? c.numbers(3).slice() : new Float64Array(batch * groups * keySize * valueSize);
  const rule = node.string('update_rule', 'gated_delta');
  const [decays, betas] = [c.optional(4), c.optional(5)];
  const scale = node.float('scale', 0) || 1 / Math.sqrt(keySize);
  /** Element of a (batch, seq, groups) or (batch, seq, groups*keySize) input. */
  const gate = (x: NdArray | undefined, b: number, t: number, g: number, d: number, fallback: number): number => {
    if (!x) return fallback;
    const width = x.shape[2]!;
    const at = width === 1 ? 0 : width === groups ? g : g * keySize + d;
    return numbers(x)[(b * seq + t) * width + at]!;
  };
  const [qs, ks, vs] = [numbers(q), numbers(k), numbers(v)];
  const out = new Float64Array(batch * heads * seq * valueSize);
  for (let b = 0; b < batch; b++) {
    for (let g = 0; g < groups; g++) {
      const s = state.subarray((b * groups + g) * keySize * valueSize, (b * groups + g + 1) * keySize * valueSize);
      for (let t = 0; t < seq; t++) {
        const key = ks.subarray(((b * groups + g) * seq + t) * keySize);
        const value = vs.subarray(((b * groups + g) * seq + t) * valueSize);
        if (rule.startsWith('gated')) for (let i = 0; i < s.length; i++) s[i]! *= Math.exp(gate(decays, b, t, g, Math.floor(i / valueSize), 0));
        const delta = rule.endsWith('delta');
        for (let e = 0; e < valueSize; e++) {
          let kept = 0;
          if (delta) for (let d = 0; d < keySize; d++) kept += s[d * valueSize + e]! * key[d]!;
          const change = (value[e]! - kept) * (delta ? gate(betas, b, t, g, 0, 1) : 1);
          for (let d = 0; d < keySize; d++) s[d * valueSize + e]! += key[d]! * change;
        }
        for (let h = g * (heads / groups); h < (g + 1) * (heads / groups); h++) {
          const row = (b * heads + h) * seq + t;
          for (let e = 0; e < valueSize; e++) {
            let sum = 0;
            for (let d = 0; d < keySize; d++) sum += qs[row * keySize + d]! * s[d * valueSize + e]!;
            out[row * valueSize + e] = sum * scale;
          }
        }
      }
    }
  }
  const dtype = c.optional(3)?.dtype ?? q.dtype;
  return [joinHeads(rounded(q.dtype, [batch, heads, seq, valueSize], out)), rounded(dtype, [batch, groups, keySize, valueSize], state)];
};

export const attentionKernels = {
  Attention: attention, RotaryEmbedding: rotary, CausalConvWithState: causalConv, LinearAttention: linearAttention,
} satisfies Partial<Record<OpName, Kernel>>;
