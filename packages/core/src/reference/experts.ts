/** Reference kernels of mixture-of-experts operators. */
import { elementCount } from '../shape.js';
import { type NdArray, numbers, rounded } from './array.js';
import { codesOf } from './codes.js';
import { geluTanh, sigmoid } from './elementwise.js';
import type { Kernel, KernelContext } from './kernel.js';

/** Weights of one layer of all experts: w(expert) is (out, in) row-major. */
interface ExpertLayer {
  readonly outs: number;
  readonly ins: number;
  readonly weight: (expert: number) => Float64Array;
  readonly bias: Float64Array | undefined;
}

/** ONNX Runtime's gelu is the tanh form here. */
const plain: Readonly<Record<string, (x: number) => number>> = { relu: (x) => Math.max(0, x), gelu: geluTanh, silu: (x) => x * sigmoid(x), identity: (x) => x };

/** The k best experts of a token with their weights: softmax over the chosen, or over all when not renormalized. */
function route(logits: Float64Array, k: number, renormalize: boolean): { expert: number; weight: number }[] {
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const chosen = order.slice(0, k);
  const max = logits[chosen[0]!]!;
  const total = (renormalize ? chosen : order).reduce((sum, e) => sum + Math.exp(logits[e]! - max), 0);
  return chosen.map((expert) => ({ expert, weight: Math.exp(logits[expert]! - max) / total }));
}

function apply(layer: ExpertLayer, expert: number, x: Float64Array): Float64Array {
  const w = layer.weight(expert);
  return Float64Array.from({ length: layer.outs }, (_, o) => {
    let sum = layer.bias?.[expert * layer.outs + o] ?? 0;
    for (let i = 0; i < layer.ins; i++) sum += w[o * layer.ins + i]! * x[i]!;
    return sum;
  });
}

/** Gate and value interleaved row by row; both clamped when there is a limit. */
function swiglu(c: KernelContext, h: Float64Array): Float64Array {
  const [alpha, beta, limit] = [c.node.float('activation_alpha', 1), c.node.float('activation_beta', 0), c.node.float('swiglu_limit', Infinity)];
  return Float64Array.from({ length: h.length / 2 }, (_, i) => {
    const gate = Math.min(h[2 * i]!, limit);
    const value = Math.max(-limit, Math.min(limit, h[2 * i + 1]!));
    return gate * sigmoid(alpha * gate) * (value + beta);
  });
}

function mixture(c: KernelContext, first: ExpertLayer, second: ExpertLayer, renormalize: boolean): NdArray {
  const x = c.array(0);
  const width = x.shape.at(-1)!;
  const logits = c.numbers(1);
  const experts = c.array(1).shape.at(-1)!;
  const name = c.node.string('activation_type', 'relu');
  if (name === 'swiglu' && c.node.int('swiglu_fusion', 0) !== 1) throw c.unsupported('swiglu that is not interleaved');
  const activate = name === 'swiglu' ? (h: Float64Array): Float64Array => swiglu(c, h) : (h: Float64Array): Float64Array => h.map(plain[name]!);
  const values = numbers(x);
  const out = new Float64Array(values.length);
  for (let t = 0; t < values.length / width; t++) {
    const token = values.subarray(t * width, (t + 1) * width);
    for (const { expert, weight } of route(logits.subarray(t * experts, (t + 1) * experts), c.node.int('k', 1), renormalize)) {
      apply(second, expert, activate(apply(first, expert, token))).forEach((v, i) => (out[t * width + i]! += weight * v));
    }
  }
  return rounded(x.dtype, x.shape, out);
}

export const mixtureOfExperts: Kernel = (c) => {
  if (c.has(6)) throw c.unsupported('a third expert layer');
  const layer = (at: number): ExpertLayer => {
    const w = c.array(at);
    const [, outs, ins] = w.shape as [number, number, number];
    const values = numbers(w);
    return { outs, ins, weight: (e) => values.subarray(e * outs * ins, (e + 1) * outs * ins), bias: c.has(at + 1) ? c.numbers(at + 1) : undefined };
  };
  return [mixture(c, layer(2), layer(4), c.node.int('normalize_routing_weights', 0) === 1)];
};

export const quantizedMixture: Kernel = (c) => {
  if (c.has(8) || c.has(14)) throw c.unsupported('a third expert layer or separate router weights');
  const bits = c.node.int('expert_weight_bits', 4);
  const block = c.node.int('block_size', 0);
  const layer = (at: number, zeroAt: number): ExpertLayer => {
    const [experts, outs, bytes] = c.array(at).shape as [number, number, number];
    const ins = bytes * (8 / bits);
    const codes = codesOf(c.numbers(at), bits);
    const scales = c.numbers(at + 1);
    const blocks = elementCount(c.array(at + 1).shape) / (experts * outs);
    const zeros = c.has(zeroAt) ? codesOf(c.numbers(zeroAt), bits) : undefined;
    const zeroStride = zeros ? zeros.length / (experts * outs) : 0;
    const weight = (e: number): Float64Array => Float64Array.from({ length: outs * ins }, (_, i) => {
      const row = e * outs + Math.floor(i / ins);
      const at = blocks === 1 ? 0 : Math.floor((i % ins) / block);
      return (codes[row * ins + (i % ins)]! - (zeros ? zeros[Math.floor(row * zeroStride) + at]! : 2 ** (bits - 1))) * scales[row * blocks + at]!;
    });
    return { outs, ins, weight, bias: c.has(at + 2) ? c.numbers(at + 2) : undefined };
  };
  // ONNX Runtime always takes the softmax of the chosen ones here.
  return [mixture(c, layer(2, 11), layer(5, 12), true)];
};
