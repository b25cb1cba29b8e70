/** Reference kernels of image operators: resizing, sampling, regions and boxes. */
import type { OpName } from '../ops/lookup.js';
import { elementCount, normalizeAxis, stridesOf } from '../shape.js';
import { numbers, rounded } from './array.js';
import { roundEven } from './elementwise.js';
import type { Kernel, KernelContext } from './kernel.js';

/** Position in the input of an output position, by coordinate mode. */
type Coordinate = (x: number, scale: number, inSize: number, outSize: number, roi: readonly [number, number], exact: number) => number;

const coordinates: Readonly<Record<string, Coordinate>> = {
  half_pixel: (x, scale) => (x + 0.5) / scale - 0.5,
  half_pixel_symmetric(x, scale, inSize, outSize, _, exact) {
    const center = inSize / 2;
    return center * (1 - outSize / exact) + (x + 0.5) / scale - 0.5;
  },
  pytorch_half_pixel: (x, scale, _, outSize) => (outSize > 1 ? (x + 0.5) / scale - 0.5 : 0),
  align_corners: (x, _, inSize, outSize) => (outSize === 1 ? 0 : (x * (inSize - 1)) / (outSize - 1)),
  asymmetric: (x, scale) => x / scale,
  tf_crop_and_resize: (x, _, inSize, outSize, [from, to]) =>
    (outSize > 1 ? from * (inSize - 1) + (x * (to - from) * (inSize - 1)) / (outSize - 1) : 0.5 * (from + to) * (inSize - 1)),
};

const nearest: Readonly<Record<string, (x: number) => number>> = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5), round_prefer_ceil: (x) => Math.floor(x + 0.5), floor: Math.floor, ceil: Math.ceil,
};

/** Weights of input positions for one output position. */
type Taps = readonly { readonly at: number; readonly weight: number }[];

function cubic(x: number, a: number): number {
  const t = Math.abs(x);
  if (t <= 1) return (a + 2) * t ** 3 - (a + 3) * t ** 2 + 1;
  return t < 2 ? a * t ** 3 - 5 * a * t ** 2 + 8 * a * t - 4 * a : 0;
}

function tapsOf(c: KernelContext, x: number, scale: number, size: number): Taps {
  const { node } = c;
  const mode = node.string('mode', 'nearest');
  if (mode === 'nearest') return [{ at: nearest[node.string('nearest_mode', 'round_prefer_floor')]!(x), weight: 1 }];
  const reach = mode === 'linear' ? 1 : 2;
  const a = node.float('cubic_coeff_a', -0.75);
  const kernel = mode === 'linear' ? (d: number): number => Math.max(0, 1 - Math.abs(d)) : (d: number): number => cubic(d, a);
  // Antialiasing stretches the kernel when the image shrinks.
  const stretch = node.int('antialias', 0) === 1 && scale < 1 ? 1 / scale : 1;
  const first = Math.ceil(x - reach * stretch - 1e-9);
  const taps: { at: number; weight: number }[] = [];
  for (let at = first; at <= Math.floor(x + reach * stretch + 1e-9); at++) taps.push({ at, weight: kernel((at - x) / stretch) });
  const used = node.int('exclude_outside', 0) === 1 ? taps.filter(({ at }) => at >= 0 && at < size) : taps;
  const total = used.reduce((sum, { weight }) => sum + weight, 0);
  return used.map(({ at, weight }) => ({ at, weight: weight / (total || 1) }));
}

const resize: Kernel = (c) => {
  const x = c.array(0);
  const { node } = c;
  const rank = x.shape.length;
  const axes = node.ints('axes')?.map((axis) => normalizeAxis(axis, rank)) ?? x.shape.map((_, i) => i);
  const given = c.has(2) && elementCount(c.array(2).shape) > 0 ? [...c.numbers(2)] : undefined;
  const sizes = c.has(3) ? c.ints(3) : undefined;
  const scales = x.shape.map(() => 1);
  const out = [...x.shape];
  const policy = node.string('keep_aspect_ratio_policy', 'stretch');
  const ratios = sizes?.map((size, i) => size / x.shape[axes[i]!]!);
  const common = policy === 'stretch' || !ratios ? undefined : policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
  axes.forEach((axis, i) => {
    const scale = common ?? ratios?.[i] ?? given![i]!;
    scales[axis] = scale;
    out[axis] = common !== undefined ? Math.floor(common * x.shape[axis]! + 0.5) : (sizes?.[i] ?? Math.floor(x.shape[axis]! * scale));
  });
  const mode = node.string('coordinate_transformation_mode', 'half_pixel');
  const roi = c.has(1) && mode === 'tf_crop_and_resize' ? [...c.numbers(1)] : undefined;
  const outside = node.float('extrapolation_value', 0);
  let current = { shape: [...x.shape], data: numbers(x) };
  const mapped = x.shape.map(() => [] as boolean[]);
  for (const [i, axis] of axes.entries()) {
    const [inSize, outSize] = [x.shape[axis]!, out[axis]!];
    const region: [number, number] = roi ? [roi[i]!, roi[i + axes.length]!] : [0, 1];
    if (inSize === outSize && scales[axis] === 1 && !roi) continue;
    const plans = Array.from({ length: outSize }, (_, o) => {
      const at = coordinates[mode]!(o, scales[axis]!, inSize, outSize, region, scales[axis]! * inSize);
      mapped[axis]!.push(mode === 'tf_crop_and_resize' && (at < 0 || at > inSize - 1));
      return tapsOf(c, at, scales[axis]!, inSize).map((tap) => ({ ...tap, at: Math.min(Math.max(tap.at, 0), inSize - 1) }));
    });
    current = resample(current, axis, plans);
  }
  const strides = stridesOf(out);
  const cut = mapped.some((list) => list.includes(true));
  const values = cut ? current.data.map((v, i) => (mapped.some((list, axis) => list[Math.floor(i / strides[axis]!) % out[axis]!]) ? outside : v)) : current.data;
  return [rounded(x.dtype, out, values)];
};

function resample(x: { shape: number[]; data: Float64Array }, axis: number, plans: readonly Taps[]): { shape: number[]; data: Float64Array } {
  const inner = elementCount(x.shape.slice(axis + 1));
  const outer = elementCount(x.shape.slice(0, axis));
  const size = x.shape[axis]!;
  const data = new Float64Array(outer * plans.length * inner);
  for (let o = 0; o < outer; o++) {
    plans.forEach((taps, p) => {
      for (const { at, weight } of taps) {
        for (let i = 0; i < inner; i++) data[(o * plans.length + p) * inner + i]! += weight * x.data[(o * size + at) * inner + i]!;
      }
    });
  }
  return { shape: x.shape.map((dim, i) => (i === axis ? plans.length : dim)), data };
}

const upsample: Kernel = (c) => {
  const x = c.array(0);
  const scales = c.node.floats('scales') ?? [...c.numbers(1)];
  const linear = c.node.string('mode', 'nearest') !== 'nearest';
  let current = { shape: [...x.shape], data: numbers(x) };
  scales.forEach((scale, axis) => {
    const size = x.shape[axis]!;
    const plans = Array.from({ length: Math.floor(size * scale) }, (_, o): Taps => {
      const at = o / scale;
      const low = Math.floor(at);
      if (!linear) return [{ at: low, weight: 1 }];
      return [{ at: low, weight: 1 - (at - low) }, { at: Math.min(low + 1, size - 1), weight: at - low }];
    });
    current = resample(current, axis, plans);
  });
  return [rounded(x.dtype, current.shape, current.data)];
};

/** Folds a coordinate back into [low, high]. */
function reflect(x: number, low: number, high: number): number {
  const span = high - low;
  if (span === 0) return low;
  const folded = Math.abs((x - low) % (2 * span));
  return folded > span ? low + 2 * span - folded : low + folded;
}

const gridSample: Kernel = (c) => {
  const [x, grid] = [c.array(0), c.array(1)];
  const { node } = c;
  const spatial = x.shape.slice(2);
  const n = spatial.length;
  const align = node.int('align_corners', 0) === 1;
  const padding = node.string('padding_mode', 'zeros');
  const mode = node.string('mode', 'linear').replace(/^bi/, '');
  const strides = stridesOf(spatial);
  const plane = elementCount(spatial);
  const [values, places] = [numbers(x), numbers(grid)];
  const [batch, channels] = [x.shape[0]!, x.shape[1]!];
  const points = elementCount(grid.shape.slice(1, -1));
  const place = (at: number, size: number): number => {
    if (padding === 'border') return Math.min(Math.max(at, 0), size - 1);
    if (padding === 'reflection') return align ? reflect(at, 0, size - 1) : Math.min(Math.max(reflect(at, -0.5, size - 0.5), 0), size - 1);
    return at;
  };
  const out = new Float64Array(batch * channels * points);
  for (let b = 0; b < batch; b++) {
    for (let p = 0; p < points; p++) {
      // The grid names the last axis first.
      const at = spatial.map((size, d) => {
        const g = places[(b * points + p) * n + (n - 1 - d)]!;
        return align ? ((g + 1) / 2) * (size - 1) : ((g + 1) * size - 1) / 2;
      });
      const taps = at.map((position, d): Taps => {
        const size = spatial[d]!;
        const inside = mode === 'cubic' ? position : place(position, size);
        if (mode === 'nearest') return [{ at: roundEven(inside), weight: 1 }];
        const low = Math.floor(inside);
        if (mode === 'cubic') return [-1, 0, 1, 2].map((k) => ({ at: place(low + k, size), weight: cubic(low + k - inside, -0.75) }));
        return [{ at: low, weight: low + 1 - inside }, { at: low + 1, weight: inside - low }];
      });
      for (let ch = 0; ch < channels; ch++) {
        const base = (b * channels + ch) * plane;
        const sum = (d: number, from: number): number => {
          if (d === n) return values[base + from]!;
          return taps[d]!.reduce((total, tap) => (tap.weight === 0 || tap.at < 0 || tap.at > spatial[d]! - 1 ? total : total + tap.weight * sum(d + 1, from + tap.at * strides[d]!)), 0);
        };
        out[(b * channels + ch) * points + p] = sum(0, 0);
      }
    }
  }
  return [rounded(x.dtype, [batch, channels, ...grid.shape.slice(1, -1)], out)];
};

const affineGrid: Kernel = (c) => {
  const theta = c.array(0);
  const size = c.ints(1);
  const spatial = size.slice(2);
  const n = spatial.length;
  const align = c.node.int('align_corners', 0) === 1;
  const values = numbers(theta);
  const strides = stridesOf(spatial);
  const count = elementCount(spatial);
  const out = new Float64Array(size[0]! * count * n);
  for (let b = 0; b < size[0]!; b++) {
    for (let p = 0; p < count; p++) {
      const at = spatial.map((dim, d) => {
        const i = Math.floor(p / strides[d]!) % dim;
        return align ? (dim === 1 ? 0 : (2 * i) / (dim - 1) - 1) : (2 * i + 1) / dim - 1;
      }).reverse();
      for (let r = 0; r < n; r++) out[(b * count + p) * n + r] = [...at, 1].reduce((sum, v, k) => sum + v * values[(b * n + r) * (n + 1) + k]!, 0);
    }
  }
  return [rounded(theta.dtype, [size[0]!, ...spatial, n], out)];
};

function bilinear(values: Float64Array, base: number, h: number, w: number, y: number, x: number): readonly [number, number, number, number] {
  if (y < -1 || y > h || x < -1 || x > w) return [0, 0, 0, 0];
  const [cy, cx] = [Math.max(y, 0), Math.max(x, 0)];
  const [y0, x0] = [Math.min(Math.floor(cy), h - 1), Math.min(Math.floor(cx), w - 1)];
  const [y1, x1] = [Math.min(y0 + 1, h - 1), Math.min(x0 + 1, w - 1)];
  const [ly, lx] = [y0 >= h - 1 ? 0 : cy - y0, x0 >= w - 1 ? 0 : cx - x0];
  const at = (r: number, s: number): number => values[base + r * w + s]!;
  return [at(y0, x0) * (1 - ly) * (1 - lx), at(y0, x1) * (1 - ly) * lx, at(y1, x0) * ly * (1 - lx), at(y1, x1) * ly * lx];
}

const roiAlign: Kernel = (c) => {
  const [x, rois, batches] = [c.array(0), c.array(1), c.ints(2)];
  const { node } = c;
  const [, channels, h, w] = x.shape as [number, number, number, number];
  const [oh, ow, ratio, scale] = [node.int('output_height', 1), node.int('output_width', 1), node.int('sampling_ratio', 0), node.float('spatial_scale', 1)];
  const half = c.opset >= 16 && node.string('coordinate_transformation_mode', 'half_pixel') === 'half_pixel';
  const max = node.string('mode', 'avg') === 'max';
  const [values, boxes] = [numbers(x), numbers(rois)];
  const count = rois.shape[0]!;
  const out = new Float64Array(count * channels * oh * ow);
  for (let r = 0; r < count; r++) {
    const [x1, y1, x2, y2] = [0, 1, 2, 3].map((i) => boxes[r * 4 + i]! * scale - (half ? 0.5 : 0)) as [number, number, number, number];
    const [width, height] = half ? [x2 - x1, y2 - y1] : [Math.max(x2 - x1, 1), Math.max(y2 - y1, 1)];
    const [binH, binW] = [height / oh, width / ow];
    const [ny, nx] = [ratio > 0 ? ratio : Math.ceil(height / oh), ratio > 0 ? ratio : Math.ceil(width / ow)];
    for (let ch = 0; ch < channels; ch++) {
      const base = (batches[r]! * channels + ch) * h * w;
      for (let i = 0; i < oh * ow; i++) {
        const [py, px] = [Math.floor(i / ow), i % ow];
        let total = max ? -Infinity : 0;
        for (let s = 0; s < ny * nx; s++) {
          const y = y1 + py * binH + ((Math.floor(s / nx) + 0.5) * binH) / ny;
          const corners = bilinear(values, base, h, w, y, x1 + px * binW + (((s % nx) + 0.5) * binW) / nx);
          total = max ? Math.max(total, ...corners) : total + corners.reduce((a, b) => a + b, 0);
        }
        out[(r * channels + ch) * oh * ow + i] = max ? total : total / Math.max(1, ny * nx);
      }
    }
  }
  return [rounded(x.dtype, [count, channels, oh, ow], out)];
};

/** Intersection over union of two boxes in corner form. */
function overlap(a: readonly number[], b: readonly number[]): number {
  const side = (i: number): number => Math.max(0, Math.min(a[i + 2]!, b[i + 2]!) - Math.max(a[i]!, b[i]!));
  const area = (box: readonly number[]): number => (box[2]! - box[0]!) * (box[3]! - box[1]!);
  const both = side(0) * side(1);
  return both / (area(a) + area(b) - both);
}

const nonMaxSuppression: Kernel = (c) => {
  const [boxes, scores] = [c.array(0), c.array(1)];
  const center = c.node.int('center_point_box', 0) === 1;
  const [limit, iou, floor] = [c.number(2, 0), c.number(3, 0), c.has(4) ? c.number(4, 0) : -Infinity];
  const [count, classes] = [boxes.shape[1]!, scores.shape[1]!];
  const [list, all] = [numbers(boxes), numbers(scores)];
  const boxOf = (b: number, i: number): number[] => {
    const [p, q, r, s] = [0, 1, 2, 3].map((k) => list[(b * count + i) * 4 + k]!) as [number, number, number, number];
    if (center) return [q - s / 2, p - r / 2, q + s / 2, p + r / 2];
    return [Math.min(p, r), Math.min(q, s), Math.max(p, r), Math.max(q, s)];
  };
  const chosen: number[] = [];
  for (let b = 0; b < boxes.shape[0]!; b++) {
    for (let k = 0; k < classes; k++) {
      const score = (i: number): number => all[(b * classes + k) * count + i]!;
      const order = Array.from({ length: count }, (_, i) => i).filter((i) => score(i) > floor).sort((i, j) => score(j) - score(i) || i - j);
      const kept: number[] = [];
      for (const i of order) {
        if (kept.length >= limit) break;
        if (kept.every((j) => overlap(boxOf(b, i), boxOf(b, j)) <= iou)) kept.push(i);
      }
      chosen.push(...kept.flatMap((i) => [b, k, i]));
    }
  }
  return [rounded('int64', [chosen.length / 3, 3], chosen)];
};

/** Convolution whose taps are moved by learned offsets and scaled by a mask; two spatial axes. */
const deformConv: Kernel = (c) => {
  const [x, w, offset, bias, mask] = [c.array(0), c.array(1), c.array(2), c.optional(3), c.optional(4)];
  const { node } = c;
  if (x.shape.length !== 4) throw c.unsupported('DeformConv beyond two spatial axes');
  const [batch, channels, h, wd] = x.shape as [number, number, number, number];
  const [outs, perGroup, kh, kw] = w.shape as [number, number, number, number];
  const [strides, dilations, pads] = [node.ints('strides') ?? [1, 1], node.ints('dilations') ?? [1, 1], node.ints('pads') ?? [0, 0, 0, 0]];
  const [groups, offsetGroups] = [node.int('group', 1), node.int('offset_group', 1)];
  const [oh, ow] = [offset.shape[2]!, offset.shape[3]!];
  const [values, weights, offsets, scale] = [numbers(x), numbers(w), numbers(offset), mask && numbers(mask)];
  const add = bias && numbers(bias);
  const out = new Float64Array(batch * outs * oh * ow);
  for (let i = 0; i < out.length; i++) {
    const [b, o, y, xx] = [Math.floor(i / (outs * oh * ow)), Math.floor(i / (oh * ow)) % outs, Math.floor(i / ow) % oh, i % ow];
    let sum = add?.[o] ?? 0;
    for (let ci = 0; ci < perGroup; ci++) {
      const channel = Math.floor(o / (outs / groups)) * perGroup + ci;
      const group = Math.floor(channel / (channels / offsetGroups));
      for (let t = 0; t < kh * kw; t++) {
        const at = (which: number): number => offsets[((b * offsetGroups + group) * 2 * kh * kw + 2 * t + which) * oh * ow + y * ow + xx]!;
        const py = y * strides[0]! - pads[0]! + Math.floor(t / kw) * dilations[0]! + at(0);
        const px = xx * strides[1]! - pads[1]! + (t % kw) * dilations[1]! + at(1);
        const m = scale ? scale[((b * offsetGroups + group) * kh * kw + t) * oh * ow + y * ow + xx]! : 1;
        sum += zeroBilinear(values, (b * channels + channel) * h * wd, h, wd, py, px) * m * weights[(o * perGroup + ci) * kh * kw + t]!;
      }
    }
    out[i] = sum;
  }
  return [rounded(x.dtype, [batch, outs, oh, ow], out)];
};

/** Bilinear sample with zeros outside. */
function zeroBilinear(values: Float64Array, base: number, h: number, w: number, y: number, x: number): number {
  const [y0, x0] = [Math.floor(y), Math.floor(x)];
  let sum = 0;
  for (const [dy, dx] of [[0, 0], [0, 1], [1, 0], [1, 1]] as const) {
    const [r, s] = [y0 + dy, x0 + dx];
    if (r < 0 || r >= h || s < 0 || s >= w) continue;
    sum += values[base + r * w + s]! * (1 - Math.abs(y - r)) * (1 - Math.abs(x - s));
  }
  return sum;
}

export const imageKernels = {
  Resize: resize, Upsample: upsample, GridSample: gridSample, AffineGrid: affineGrid, RoiAlign: roiAlign,
  NonMaxSuppression: nonMaxSuppression, DeformConv: deformConv,
} satisfies Partial<Record<OpName, Kernel>>;
