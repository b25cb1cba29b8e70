/** Reference kernels of convolution and pooling. */
import type { DType } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import { elementCount, stridesOf } from '../shape.js';
import { type NdArray, numbers, rounded } from './array.js';
import type { Kernel, KernelContext } from './kernel.js';
import { windowIndex, windowOf } from './window.js';

/** x (n, c, …) with w (out, c/groups, …), in doubles, rounded once to `dtype`. */
export function convolve(c: KernelContext, x: NdArray, w: NdArray, bias: NdArray | undefined, dtype: DType = x.dtype): NdArray {
  const spatial = x.shape.slice(2);
  const window = windowOf(c.node, spatial, w.shape.slice(2));
  const index = windowIndex(window, spatial);
  const groups = c.node.int('group', 1);
  const [batch, channels, outs] = [x.shape[0]!, x.shape[1]!, w.shape[0]!];
  const [positions, taps, plane] = [elementCount(window.out), elementCount(w.shape.slice(2)), elementCount(spatial)];
  const perGroup = channels / groups;
  const [values, weights, add] = [numbers(x), numbers(w), bias && numbers(bias)];
  const out = new Float64Array(batch * outs * positions);
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outs; o++) {
      const first = Math.floor(o / (outs / groups)) * perGroup;
      const to = (n * outs + o) * positions;
      out.fill(add?.[o] ?? 0, to, to + positions);
      for (let i = 0; i < perGroup; i++) {
        const from = (n * channels + first + i) * plane;
        const weight = (o * perGroup + i) * taps;
        for (let p = 0; p < positions; p++) {
          let sum = 0;
          for (let t = 0; t < taps; t++) {
            const at = index[p * taps + t]!;
            if (at >= 0) sum += values[from + at]! * weights[weight + t]!;
          }
          out[to + p]! += sum;
        }
      }
    }
  }
  return rounded(dtype, [batch, outs, ...window.out], out);
}

const convTranspose: Kernel = (c) => {
  const [x, w, bias] = [c.array(0), c.array(1), c.optional(2)];
  const { node } = c;
  const spatial = x.shape.slice(2);
  const n = spatial.length;
  const kernel = w.shape.slice(2);
  const [ones, groups] = [spatial.map(() => 1), node.int('group', 1)];
  const strides = node.ints('strides') ?? ones;
  const dilations = node.ints('dilations') ?? ones;
  const extra = node.ints('output_padding') ?? spatial.map(() => 0);
  const given = node.ints('output_shape')?.slice(-n);
  const auto = node.string('auto_pad', 'NOTSET');
  const pads = [...(node.ints('pads') ?? spatial.flatMap(() => [0, 0]))];
  const full = spatial.map((size, i) => strides[i]! * (size - 1) + extra[i]! + (kernel[i]! - 1) * dilations[i]! + 1);
  const out = spatial.map((size, i) => {
    const target = given?.[i] ?? (auto.startsWith('SAME') ? size * strides[i]! : undefined);
    if (target === undefined) return full[i]! - (auto === 'VALID' ? 0 : pads[i]! + pads[i + n]!);
    const total = Math.max(0, full[i]! - target);
    pads[i] = auto === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
    if (auto === 'NOTSET') pads[i] = Math.floor(total / 2);
    return target;
  });
  const [batch, channels, perGroup] = [x.shape[0]!, x.shape[1]!, w.shape[1]!];
  const outs = perGroup * groups;
  const [plane, taps, target] = [elementCount(spatial), elementCount(kernel), elementCount(out)];
  const [inStrides, kernelStrides, outStrides] = [stridesOf(spatial), stridesOf(kernel), stridesOf(out)];
  const [values, weights] = [numbers(x), numbers(w)];
  const result = new Float64Array(batch * outs * target);
  const add = bias && numbers(bias);
  if (add) for (let i = 0; i < result.length; i++) result[i] = add[Math.floor(i / target) % outs]!;
  for (let p = 0; p < plane; p++) {
    for (let t = 0; t < taps; t++) {
      let at = 0;
      for (let i = 0; i < n && at >= 0; i++) {
        const position = (Math.floor(p / inStrides[i]!) % spatial[i]!) * strides[i]! + (Math.floor(t / kernelStrides[i]!) % kernel[i]!) * dilations[i]! - pads[i]!;
        at = position < 0 || position >= out[i]! ? -1 : at + position * outStrides[i]!;
      }
      if (at < 0) continue;
      for (let b = 0; b < batch; b++) {
        for (let ci = 0; ci < channels; ci++) {
          const group = Math.floor(ci / (channels / groups));
          const value = values[(b * channels + ci) * plane + p]!;
          for (let o = 0; o < perGroup; o++) result[(b * outs + group * perGroup + o) * target + at]! += value * weights[(ci * perGroup + o) * taps + t]!;
        }
      }
    }
  }
  return [rounded(x.dtype, [batch, outs, ...out], result)];
};

/** One number per window, from its elements in kernel order; padding is left out, its count is given. */
function pooled(c: KernelContext, x: NdArray, fn: (seen: number[], padded: number) => number): NdArray {
  const spatial = x.shape.slice(2);
  const window = windowOf(c.node, spatial, c.node.ints('kernel_shape') ?? spatial);
  const index = windowIndex(window, spatial);
  const [positions, taps, plane] = [elementCount(window.out), elementCount(window.kernel), elementCount(spatial)];
  const values = numbers(x);
  const out = new Float64Array(x.shape[0]! * x.shape[1]! * positions);
  for (let i = 0; i < out.length; i++) {
    const from = Math.floor(i / positions) * plane;
    const p = i % positions;
    const seen: number[] = [];
    let padded = 0;
    for (let t = 0; t < taps; t++) {
      const at = index[p * taps + t]!;
      if (at >= 0) seen.push(values[from + at]!);
      else if (at === -1) padded++;
    }
    out[i] = fn(seen, padded);
  }
  return rounded(x.dtype, [x.shape[0]!, x.shape[1]!, ...window.out], out);
}

const average = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
const largest = (list: readonly number[]): number => list.reduce((a, b) => (b > a || Number.isNaN(b) ? b : a), -Infinity);
const norm = (c: KernelContext) => {
  const p = c.node.int('p', 2);
  return (list: readonly number[]): number => list.reduce((a, b) => a + Math.abs(b) ** p, 0) ** (1 / p);
};

const maxPool: Kernel = (c) => {
  const x = c.array(0);
  const values = pooled(c, x, largest);
  if (c.node.outputs.length < 2) return [values];
  const spatial = x.shape.slice(2);
  const window = windowOf(c.node, spatial, c.node.ints('kernel_shape') ?? spatial);
  const index = windowIndex(window, spatial);
  const [positions, taps, plane] = [elementCount(window.out), elementCount(window.kernel), elementCount(spatial)];
  const [from, best] = [numbers(x), numbers(values)];
  const columnMajor = c.node.int('storage_order', 0) === 1;
  const strides = stridesOf(spatial);
  const columns = spatial.map((_, i) => spatial.slice(0, i).reduce((a, b) => a * b, 1));
  const which = Float64Array.from({ length: best.length }, (_, i) => {
    const base = Math.floor(i / positions) * plane;
    for (let t = 0; t < taps; t++) {
      const at = index[(i % positions) * taps + t]!;
      if (at < 0 || from[base + at] !== best[i]) continue;
      return base + (columnMajor ? strides.reduce((sum, stride, d) => sum + (Math.floor(at / stride) % spatial[d]!) * columns[d]!, 0) : at);
    }
    return 0;
  });
  return [values, rounded('int64', values.shape, which)];
};

const globally = (fn: (c: KernelContext) => (list: readonly number[]) => number): Kernel => (c) => {
  const x = c.array(0);
  const plane = elementCount(x.shape.slice(2));
  const values = numbers(x);
  const reduce = fn(c);
  return [rounded(x.dtype, x.shape.map((dim, i) => (i < 2 ? dim : 1)), Array.from({ length: values.length / plane }, (_, i) => reduce([...values.subarray(i * plane, (i + 1) * plane)])))];
};

const maxUnpool: Kernel = (c) => {
  const [x, indices] = [c.array(0), c.numbers(1)];
  const { node } = c;
  const spatial = x.shape.slice(2);
  const [kernel, strides, pads] = [node.ints('kernel_shape')!, node.ints('strides') ?? spatial.map(() => 1), node.ints('pads') ?? spatial.flatMap(() => [0, 0])];
  const natural = spatial.map((size, i) => (size - 1) * strides[i]! + kernel[i]! - pads[i]! - pads[i + spatial.length]!);
  const shape = c.has(2) ? c.ints(2) : [...x.shape.slice(0, 2), ...natural];
  const out = new Float64Array(elementCount(shape));
  // Indices count in the shape that was pooled; a larger output keeps each plane at its own origin.
  const [plane, full] = [elementCount(natural), elementCount(shape.slice(2))];
  const [from, to] = [stridesOf(natural), stridesOf(shape.slice(2))];
  numbers(x).forEach((value, i) => {
    const at = indices[i]!;
    const inPlane = at % plane;
    const moved = full === plane ? at : Math.floor(at / plane) * full + from.reduce((sum, stride, d) => sum + (Math.floor(inPlane / stride) % natural[d]!) * to[d]!, 0);
    out[moved] = value;
  });
  return [rounded(x.dtype, shape, out)];
};

export const convKernels = {
  Conv: (c) => [convolve(c, c.array(0), c.array(1), c.optional(2))],
  ConvTranspose: convTranspose,
  MaxPool: maxPool,
  AveragePool: (c) => {
    const all = c.node.int('count_include_pad', 0) === 1;
    return [pooled(c, c.array(0), (seen, padded) => (all ? (average(seen) * seen.length) / (seen.length + padded) : average(seen)))];
  },
  LpPool: (c) => [pooled(c, c.array(0), norm(c))],
  GlobalAveragePool: globally(() => average), GlobalMaxPool: globally(() => largest), GlobalLpPool: globally(norm),
  MaxUnpool: maxUnpool,
} satisfies Partial<Record<OpName, Kernel>>;
