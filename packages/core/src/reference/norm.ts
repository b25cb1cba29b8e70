/** Reference kernels of normalization operators. */
import { dtypeOfOnnx } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import { elementCount, normalizeAxis } from '../shape.js';
import { broadcastIndex, type NdArray, numbers, rounded } from './array.js';
import type { Kernel, KernelContext } from './kernel.js';
import { alongAxis } from './reduce.js';

interface Normalized {
  readonly values: Float64Array;
  readonly mean: Float64Array;
  readonly inverse: Float64Array;
}

/** Every run of `size` elements, less its mean unless `centred` is false, over the root of its mean square. */
export function normalizeRuns(x: Float64Array, size: number, epsilon: number, centred: boolean): Normalized {
  const rows = size === 0 ? 0 : x.length / size;
  const values = new Float64Array(x.length);
  const [mean, inverse] = [new Float64Array(rows), new Float64Array(rows)];
  for (let r = 0; r < rows; r++) {
    const run = x.subarray(r * size, (r + 1) * size);
    const m = centred ? run.reduce((a, b) => a + b, 0) / size : 0;
    const variance = run.reduce((a, b) => a + (b - m) ** 2, 0) / size;
    mean[r] = m;
    inverse[r] = 1 / Math.sqrt(variance + epsilon);
    for (let i = 0; i < size; i++) values[r * size + i] = (run[i]! - m) * inverse[r]!;
  }
  return { values, mean, inverse };
}

/** values · scale + bias, the two broadcast to the shape of x. */
export function affine(x: NdArray, values: Float64Array, scale?: NdArray, bias?: NdArray): NdArray {
  const of = (array: NdArray | undefined): ((i: number) => number | undefined) => {
    if (!array) return () => undefined;
    const index = broadcastIndex(array.shape, x.shape);
    const data = numbers(array);
    return (i) => data[index[i]!];
  };
  const [s, b] = [of(scale), of(bias)];
  return rounded(x.dtype, x.shape, values.map((v, i) => v * (s(i) ?? 1) + (b(i) ?? 0)));
}

export const layerNorm = (centred: boolean): Kernel => (c) => {
  const x = c.array(0);
  const axis = normalizeAxis(c.node.int('axis', -1), x.shape.length);
  const { values, mean, inverse } = normalizeRuns(numbers(x), elementCount(x.shape.slice(axis)), c.node.float('epsilon', 1e-5), centred);
  const stash = dtypeOfOnnx.get(c.node.int('stash_type', 1)) ?? 'float32';
  const shape = x.shape.map((dim, i) => (i >= axis ? 1 : dim));
  const y = affine(x, values, c.array(1), centred ? c.optional(2) : undefined);
  return centred ? [y, rounded(stash, shape, mean), rounded(stash, shape, inverse)] : [y, rounded(stash, shape, inverse)];
};

/** Element i of a per-channel vector for an element of (N, C, …). */
function perChannel(x: NdArray, vector: NdArray): (i: number) => number {
  const inner = elementCount(x.shape.slice(2));
  const channels = x.shape[1] ?? 1;
  const data = numbers(vector);
  return (i) => data[Math.floor(i / inner) % channels]!;
}

const batchNorm: Kernel = (c) => {
  const x = c.array(0);
  const epsilon = c.node.float('epsilon', 1e-5);
  const training = c.node.int('training_mode', 0) === 1;
  const [scale, bias] = [perChannel(x, c.array(1)), perChannel(x, c.array(2))];
  const values = numbers(x);
  let [means, variances] = [c.array(3), c.array(4)];
  const running = [means, variances];
  if (training) {
    const [channels, inner] = [x.shape[1]!, elementCount(x.shape.slice(2))];
    const count = values.length / channels;
    const [m, v] = [new Float64Array(channels), new Float64Array(channels)];
    const channel = (i: number): number => Math.floor(i / inner) % channels;
    values.forEach((value, i) => (m[channel(i)]! += value / count));
    values.forEach((value, i) => (v[channel(i)]! += (value - m[channel(i)]!) ** 2 / count));
    means = rounded('float64', [channels], m);
    variances = rounded('float64', [channels], v);
    const momentum = c.node.float('momentum', 0.9);
    const mix = (old: NdArray, now: Float64Array): NdArray => rounded(old.dtype, old.shape, numbers(old).map((value, i) => value * momentum + now[i]! * (1 - momentum)));
    running[0] = mix(c.array(3), m);
    running[1] = mix(c.array(4), v);
  }
  const [mean, variance] = [perChannel(x, means), perChannel(x, variances)];
  const y = rounded(x.dtype, x.shape, values.map((value, i) => ((value - mean(i)) / Math.sqrt(variance(i) + epsilon)) * scale(i) + bias(i)));
  return training ? [y, ...running] : [y];
};

const instanceNorm: Kernel = (c) => {
  const x = c.array(0);
  const { values } = normalizeRuns(numbers(x), elementCount(x.shape.slice(2)), c.node.float('epsilon', 1e-5), true);
  const [scale, bias] = [perChannel(x, c.array(1)), perChannel(x, c.array(2))];
  return [rounded(x.dtype, x.shape, values.map((v, i) => v * scale(i) + bias(i)))];
};

const groupNorm: Kernel = (c) => {
  const x = c.array(0);
  const groups = c.node.int('num_groups', 1);
  const { values } = normalizeRuns(numbers(x), elementCount(x.shape.slice(1)) / groups, c.node.float('epsilon', 1e-5), true);
  // Scale and bias are per group before opset 21, per channel since.
  const spread = (vector: NdArray): NdArray => {
    const data = numbers(vector);
    const channels = x.shape[1]!;
    return rounded('float64', [channels], Float64Array.from({ length: channels }, (_, i) => data[data.length === channels ? i : Math.floor((i * groups) / channels)]!));
  };
  const [scale, bias] = [perChannel(x, spread(c.array(1))), perChannel(x, spread(c.array(2)))];
  return [rounded(x.dtype, x.shape, values.map((v, i) => v * scale(i) + bias(i)))];
};

const lrn: Kernel = (c) => {
  const x = c.array(0);
  const size = c.node.int('size', 1);
  const [alpha, beta, bias] = [c.node.float('alpha', 1e-4), c.node.float('beta', 0.75), c.node.float('bias', 1)];
  return [alongAxis(x, 1, (run) => run.map((value, i) => {
    let sum = 0;
    for (let k = Math.max(0, i - Math.floor((size - 1) / 2)); k <= Math.min(run.length - 1, i + Math.ceil((size - 1) / 2)); k++) sum += run[k]! ** 2;
    return value / (bias + (alpha / size) * sum) ** beta;
  }))];
};

function meanVariance(c: KernelContext): NdArray {
  const x = c.array(0);
  const axes = new Set((c.node.ints('axes') ?? [0, 2, 3]).map((axis) => normalizeAxis(axis, x.shape.length)));
  const values = numbers(x);
  const kept = x.shape.map((dim, i) => (axes.has(i) ? 1 : dim));
  const index = broadcastIndex(kept, x.shape);
  const count = values.length / elementCount(kept);
  const [m, v] = [new Float64Array(elementCount(kept)), new Float64Array(elementCount(kept))];
  values.forEach((value, i) => (m[index[i]!]! += value / count));
  values.forEach((value, i) => (v[index[i]!]! += (value - m[index[i]!]!) ** 2 / count));
  return rounded(x.dtype, x.shape, values.map((value, i) => (value - m[index[i]!]!) / (Math.sqrt(v[index[i]!]!) + 1e-9)));
}

export const normKernels = {
  LayerNormalization: layerNorm(true), SimplifiedLayerNormalization: layerNorm(false),
  RMSNormalization: (c) => layerNorm(false)(c).slice(0, 1),
  BatchNormalization: batchNorm, InstanceNormalization: instanceNorm, GroupNormalization: groupNorm, LRN: lrn,
  MeanVarianceNormalization: (c) => [meanVariance(c)],
  LpNormalization(c) {
    const p = c.node.int('p', 2);
    return [alongAxis(c.array(0), c.node.int('axis', -1), (run) => {
      const norm = run.reduce((sum, x) => sum + Math.abs(x) ** p, 0) ** (1 / p);
      return norm === 0 ? run : run.map((x) => x / norm);
    })];
  },
} satisfies Partial<Record<OpName, Kernel>>;
