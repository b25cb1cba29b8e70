/** Reference kernels of operators that reduce, rank or scan along axes; sums run in double precision. */
import type { OpName } from '../ops/lookup.js';
import { elementCount, normalizeAxis, type Shape, stridesOf } from '../shape.js';
import { allocate, arrayOf, type NdArray, numbers, rounded, stridedIndex, take } from './array.js';
import type { Kernel, KernelContext } from './kernel.js';

/** Start and length of the runs along one axis: element k of run r is at starts[r] + k·stride. */
export function runs(shape: Shape, axis: number): { starts: Int32Array; size: number; stride: number } {
  const at = normalizeAxis(axis, shape.length);
  const strides = stridesOf(shape);
  const rest = shape.filter((_, i) => i !== at);
  return { starts: stridedIndex(rest, strides.filter((_, i) => i !== at)), size: shape[at]!, stride: strides[at]! };
}

function axesOf(c: KernelContext, rank: number): number[] {
  const given = c.node.ints('axes') ?? (c.has(1) ? c.ints(1) : []);
  if (given.length > 0) return given.map((axis) => normalizeAxis(axis, rank));
  return c.node.int('noop_with_empty_axes', 0) === 1 ? [] : Array.from({ length: rank }, (_, i) => i);
}

interface Fold {
  readonly start: number;
  readonly step: (sum: number, x: number) => number;
  readonly end?: (sum: number, count: number) => number;
}

export function reduceArray(x: NdArray, axes: readonly number[], keep: boolean, { start, step, end }: Fold, dtype = x.dtype): NdArray {
  const gone = new Set(axes);
  const kept = x.shape.map((dim, i) => (gone.has(i) ? 1 : dim));
  const target = stridedIndex(x.shape, stridesOf(kept).map((stride, i) => (gone.has(i) ? 0 : stride)));
  const out = new Float64Array(elementCount(kept)).fill(start);
  const values = numbers(x);
  for (let i = 0; i < values.length; i++) out[target[i]!] = step(out[target[i]!]!, values[i]!);
  const count = out.length === 0 ? 0 : values.length / out.length;
  return rounded(dtype, keep ? kept : kept.filter((_, i) => !gone.has(i)), end ? out.map((sum) => end(sum, count)) : out);
}

const sum: Fold = { start: 0, step: (a, b) => a + b };

const reduce = (fold: Fold, empty?: (dtype: NdArray['dtype']) => number): Kernel => (c) => {
  const x = c.array(0);
  const axes = axesOf(c, x.shape.length);
  const used = empty && elementCount(x.shape) === 0 ? { ...fold, start: empty(x.dtype) } : fold;
  return [reduceArray(x, axes, c.node.int('keepdims', 1) === 1, used)];
};

const logSumExp: Kernel = (c) => {
  const x = c.array(0);
  const axes = axesOf(c, x.shape.length);
  const keep = c.node.int('keepdims', 1) === 1;
  const shift = numbers(reduceArray(x, axes, true, { start: -Infinity, step: Math.max }, 'float64')).reduce((a, b) => Math.max(a, b), -Infinity);
  const safe = Number.isFinite(shift) ? shift : 0;
  return [reduceArray(x, axes, keep, { start: 0, step: (a, b) => a + Math.exp(b - safe), end: (total) => Math.log(total) + safe })];
};

const arg = (better: (x: number, best: number) => boolean): Kernel => (c) => {
  const x = c.array(0);
  const axis = normalizeAxis(c.node.int('axis', 0), x.shape.length);
  const last = c.node.int('select_last_index', 0) === 1;
  const values = numbers(x);
  const { starts, size, stride } = runs(x.shape, axis);
  const out = Array.from(starts, (start) => {
    let best = 0;
    for (let k = 1; k < size; k++) {
      const [a, b] = [values[start + k * stride]!, values[start + best * stride]!];
      if (better(a, b) || (last && a === b)) best = k;
    }
    return best;
  });
  const keep = c.node.int('keepdims', 1) === 1;
  return [rounded('int64', keep ? x.shape.map((dim, i) => (i === axis ? 1 : dim)) : x.shape.filter((_, i) => i !== axis), out)];
};

/** Applies a function to every run along an axis. */
export function alongAxis(x: NdArray, axis: number, fn: (run: Float64Array) => Float64Array): NdArray {
  const values = numbers(x);
  const { starts, size, stride } = runs(x.shape, axis);
  const out = new Float64Array(values.length);
  for (const start of starts) {
    const run = fn(Float64Array.from({ length: size }, (_, k) => values[start + k * stride]!));
    for (let k = 0; k < size; k++) out[start + k * stride] = run[k]!;
  }
  return rounded(x.dtype, x.shape, out);
}

export function softmaxRun(run: Float64Array): Float64Array {
  const max = run.reduce((a, b) => Math.max(a, b), -Infinity);
  if (max === -Infinity) return run.map(() => NaN);
  const powers = run.map((x) => Math.exp(x - max));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / total);
}

function logSoftmaxRun(run: Float64Array): Float64Array {
  const max = run.reduce((a, b) => Math.max(a, b), -Infinity);
  const total = Math.log(run.reduce((a, b) => a + Math.exp(b - max), 0)) + max;
  return run.map((x) => x - total);
}

/** Before opset 13 the axes from `axis` on are one. */
const axisWise = (fn: (run: Float64Array) => Float64Array): Kernel => (c) => {
  const x = c.array(0);
  if (c.opset >= 13 || x.shape.length === 0) return [alongAxis(x, c.node.int('axis', -1), fn)];
  const axis = normalizeAxis(c.node.int('axis', 1), x.shape.length);
  const flat = arrayOf(x.dtype, [elementCount(x.shape.slice(0, axis)), elementCount(x.shape.slice(axis))], x.data);
  return [arrayOf(x.dtype, x.shape, alongAxis(flat, 1, fn).data)];
};

const cumulative = (start: number, step: (a: number, b: number) => number): Kernel => (c) => {
  const exclusive = c.node.int('exclusive', 0) === 1;
  const reverse = c.node.int('reverse', 0) === 1;
  return [alongAxis(c.array(0), c.number(1, 0), (run) => {
    const out = new Float64Array(run.length);
    let total = start;
    for (let i = 0; i < run.length; i++) {
      const at = reverse ? run.length - 1 - i : i;
      const next = step(total, run[at]!);
      out[at] = exclusive ? total : next;
      total = next;
    }
    return out;
  })];
};

const topK: Kernel = (c) => {
  const x = c.array(0);
  const axis = normalizeAxis(c.node.int('axis', -1), x.shape.length);
  const k = c.number(1, c.node.int('k', 1));
  const largest = c.node.int('largest', 1) === 1;
  const values = numbers(x);
  const { starts, size, stride } = runs(x.shape, axis);
  const shape = x.shape.map((dim, i) => (i === axis ? k : dim));
  const target = runs(shape, axis);
  const from = new Int32Array(elementCount(shape));
  const which = allocate('int64', from.length) as BigInt64Array;
  starts.forEach((start, r) => {
    const order = Array.from({ length: size }, (_, i) => i).sort((a, b) => {
      const [p, q] = [values[start + a * stride]!, values[start + b * stride]!];
      return (largest ? q - p : p - q) || a - b;
    });
    for (let i = 0; i < k; i++) {
      from[target.starts[r]! + i * target.stride] = start + order[i]! * stride;
      which[target.starts[r]! + i * target.stride] = BigInt(order[i]!);
    }
  });
  return [take(x, shape, from), arrayOf('int64', shape, which)];
};

/** Negative log likelihood of (N, C, d…) log-probabilities at (N, d…) labels. */
function likelihood(c: KernelContext, logs: NdArray, labels: NdArray, weights: NdArray | undefined): NdArray {
  const ignore = c.node.int('ignore_index');
  const inner = elementCount(logs.shape.slice(2));
  const classes = logs.shape[1]!;
  const values = numbers(logs);
  const each = weights && numbers(weights);
  let total = 0;
  let weight = 0;
  const out = numbers(labels).map((label, i) => {
    if (label === ignore) return 0;
    const w = each?.[label] ?? 1;
    const loss = -values[(Math.floor(i / inner) * classes + label) * inner + (i % inner)]! * w;
    total += loss;
    weight += w;
    return loss;
  });
  const reduction = c.node.string('reduction', 'mean');
  if (reduction === 'none') return rounded(logs.dtype, labels.shape, out);
  return rounded(logs.dtype, [], [reduction === 'sum' ? total : total / weight]);
}

export const reduceKernels = {
  ReduceSum: reduce(sum),
  ReduceMean: reduce({ ...sum, end: (total, count) => total / count }),
  ReduceMax: reduce({ start: -Infinity, step: Math.max }), ReduceMin: reduce({ start: Infinity, step: Math.min }),
  ReduceProd: reduce({ start: 1, step: (a, b) => a * b }),
  ReduceL1: reduce({ start: 0, step: (a, b) => a + Math.abs(b) }),
  ReduceL2: reduce({ start: 0, step: (a, b) => a + b * b, end: Math.sqrt }),
  ReduceSumSquare: reduce({ start: 0, step: (a, b) => a + b * b }),
  ReduceLogSum: reduce({ ...sum, end: Math.log }), ReduceLogSumExp: logSumExp,
  ArgMax: arg((x, best) => x > best), ArgMin: arg((x, best) => x < best),
  CumSum: cumulative(0, (a, b) => a + b), CumProd: cumulative(1, (a, b) => a * b),
  Softmax: axisWise(softmaxRun), LogSoftmax: axisWise(logSoftmaxRun),
  Hardmax: axisWise((run) => { const best = run.indexOf(Math.max(...run)); return run.map((_, i) => Number(i === best)); }),
  TopK: topK,
  NegativeLogLikelihoodLoss: (c) => [likelihood(c, c.array(0), c.array(1), c.optional(2))],
  SoftmaxCrossEntropyLoss(c) {
    const logs = alongAxis(c.array(0), 1, logSoftmaxRun);
    return [likelihood(c, logs, c.array(1), c.optional(2)), logs];
  },
} satisfies Partial<Record<OpName, Kernel>>;
