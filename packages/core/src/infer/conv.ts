/** Shape rules of convolution, pooling and image operators. */
import type { DType } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import type { Dim } from '../shape.js';
import { addDims, floorDivideDims, multiplyDims, subtractDims } from './dims.js';
import { type Dims, type InferContext, type InferRule, likeInput, tensor, unknown } from './rule.js';

/** Sizes of a window sliding over spatial axes, from attributes. */
function windowDims(c: InferContext, spatial: Dims, kernel: Dims, ceil = false): Dim[] {
  const { node } = c;
  const strides = node.ints('strides');
  const dilations = node.ints('dilations');
  const pads = node.ints('pads');
  const auto = node.string('auto_pad', 'NOTSET');
  return spatial.map((size, i) => {
    const stride = strides?.[i] ?? 1;
    if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER') return floorDivideDims(addDims(size, stride - 1), stride);
    const reach = addDims(multiplyDims(subtractDims(kernel[i] ?? null, 1), dilations?.[i] ?? 1), 1);
    const padding = auto === 'VALID' ? 0 : (pads?.[i] ?? 0) + (pads?.[i + spatial.length] ?? 0);
    const room = subtractDims(addDims(size, padding), reach);
    const steps = floorDivideDims(ceil ? addDims(room, stride - 1) : room, stride);
    const count = addDims(steps, 1);
    if (!ceil || typeof count !== 'number' || typeof size !== 'number') return count;
    // A window may not start in the padding behind the end.
    return (count - 1) * stride >= size + (pads?.[i] ?? 0) ? count - 1 : count;
  });
}

/** `weight`: index of the weight input. */
export const conv = (weight: number, dtype?: DType | ((c: InferContext) => DType | undefined)): InferRule => (c) => {
  const x = c.shape(0);
  const w = c.shape(weight);
  const type = typeof dtype === 'function' ? dtype(c) : (dtype ?? c.dtype(0));
  if (!x) return [tensor(type, w && unknown(w.length))];
  const given = c.node.ints('kernel_shape');
  const kernel = given ?? w?.slice(2) ?? unknown(x.length - 2);
  return [tensor(type, [x[0] ?? null, w?.[0] ?? null, ...windowDims(c, x.slice(2), kernel)])];
};

export const pool: InferRule = (c) => {
  const x = c.shape(0);
  if (!x) return [tensor(c.dtype(0)), tensor('int64')];
  const kernel = c.node.ints('kernel_shape') ?? [];
  const out = [...x.slice(0, 2), ...windowDims(c, x.slice(2), kernel, c.node.int('ceil_mode', 0) === 1)];
  return [tensor(c.dtype(0), out), tensor('int64', out)];
};

export const globalPool: InferRule = (c) => {
  const x = c.shape(0);
  return [tensor(c.dtype(0), x?.map((dim, i) => (i < 2 ? dim : 1)))];
};

const convTranspose: InferRule = (c) => {
  const x = c.shape(0);
  const w = c.shape(1);
  if (!x || !w) return [tensor(c.dtype(0), x && unknown(x.length))];
  const { node } = c;
  const channels = multiplyDims(w[1] ?? null, node.int('group', 1));
  const kernel = node.ints('kernel_shape') ?? w.slice(2);
  const given = node.ints('output_shape');
  const [strides, dilations, pads, extra] = [node.ints('strides'), node.ints('dilations'), node.ints('pads'), node.ints('output_padding')];
  const auto = node.string('auto_pad', 'NOTSET');
  const spatial = x.slice(2).map((size, i): Dim => {
    const out = given?.[given.length - (x.length - 2) + i];
    if (out !== undefined) return out;
    const stride = strides?.[i] ?? 1;
    if (auto.startsWith('SAME')) return multiplyDims(size, stride);
    const reach = addDims(multiplyDims(subtractDims(kernel[i] ?? null, 1), dilations?.[i] ?? 1), 1);
    const padding = auto === 'VALID' ? 0 : (pads?.[i] ?? 0) + (pads?.[i + x.length - 2] ?? 0);
    return addDims(addDims(multiplyDims(stride, subtractDims(size, 1)), reach), (extra?.[i] ?? 0) - padding);
  });
  return [tensor(c.dtype(0), [x[0] ?? null, channels, ...spatial])];
};

const resize: InferRule = (c) => {
  const x = c.shape(0);
  if (!x) return [tensor(c.dtype(0))];
  const axes = c.node.ints('axes')?.map((axis) => (axis < 0 ? axis + x.length : axis)) ?? [...x.keys()];
  const scales = c.has(2) ? c.numbers(2) : undefined;
  const sizes = c.has(3) ? (c.values(3) ?? unknown(axes.length)) : undefined;
  const out: Dim[] = [...x];
  axes.forEach((axis, i) => {
    const size = x[axis] ?? null;
    const scale = scales?.[i];
    if (sizes) out[axis] = sizes[i] ?? null;
    else if (scale === undefined) out[axis] = null;
    // In float32, as ONNX Runtime does.
    else if (typeof size === 'number') out[axis] = Math.floor(Math.fround(size * scale));
    else out[axis] = Number.isInteger(scale) ? multiplyDims(size, scale) : scale === 0.5 ? floorDivideDims(size, 2) : null;
  });
  const policy = c.node.string('keep_aspect_ratio_policy', 'stretch');
  if (sizes && policy !== 'stretch') return [tensor(c.dtype(0), keepAspect(x, axes, sizes, policy))];
  return [tensor(c.dtype(0), out)];
};

function keepAspect(x: Dims, axes: readonly number[], sizes: Dims, policy: string): Dim[] {
  const out: Dim[] = [...x];
  const ratios = axes.map((axis, i) => (typeof x[axis] === 'number' && typeof sizes[i] === 'number' ? (sizes[i]) / (x[axis]) : NaN));
  const scale = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
  for (const axis of axes) out[axis] = Number.isNaN(scale) ? null : Math.round((x[axis] as number) * scale);
  return out;
}

const regions: InferRule = (c) => {
  const x = c.shape(0);
  const { node } = c;
  const [height, width] = node.ints('pooled_shape') ?? [node.int('output_height', 1), node.int('output_width', 1)];
  return [tensor(c.dtype(0), [c.shape(1)?.[0] ?? null, x?.[1] ?? null, height ?? null, width ?? null])];
};

export const convRules = {
  Conv: conv(1), DeformConv: conv(1), ConvInteger: conv(1, 'int32'), QLinearConv: conv(3, (c) => c.dtype(7)),
  ConvTranspose: convTranspose,
  AveragePool: pool, MaxPool: pool, LpPool: pool,
  GlobalAveragePool: globalPool, GlobalMaxPool: globalPool, GlobalLpPool: globalPool,
  MaxUnpool(c) {
    const x = c.shape(0);
    const wanted = c.has(2) ? c.values(2) : undefined;
    if (wanted || c.has(2) || !x) return [tensor(c.dtype(0), wanted ?? (x && unknown(x.length)))];
    const { node } = c;
    const [kernel, strides, pads] = [node.ints('kernel_shape') ?? [], node.ints('strides'), node.ints('pads')];
    const spatial = x.slice(2).map((size, i): Dim => addDims(
      multiplyDims(subtractDims(size, 1), strides?.[i] ?? 1), (kernel[i] ?? 1) - (pads?.[i] ?? 0) - (pads?.[i + x.length - 2] ?? 0)));
    return [tensor(c.dtype(0), [...x.slice(0, 2), ...spatial])];
  },
  MaxRoiPool: regions, RoiAlign: regions,
  Resize: resize,
  Upsample(c) {
    const scales = c.node.floats('scales') ?? c.numbers(1);
    return [tensor(c.dtype(0), c.shape(0)?.map((dim, i) => (typeof dim === 'number' && scales?.[i] ? Math.floor(Math.fround(dim * scales[i])) : null)))];
  },
  GridSample(c) {
    const x = c.shape(0);
    const grid = c.shape(1);
    return [tensor(c.dtype(0), x && [...x.slice(0, 2), ...(grid?.slice(1, -1) ?? unknown(x.length - 2))])];
  },
  AffineGrid(c) {
    const size = c.values(1);
    const rank = c.shape(1)?.[0];
    if (!size && typeof rank === 'number') return [tensor(c.dtype(0), [...unknown(rank - 1), rank - 2])];
    return [tensor(c.dtype(0), size ? [size[0] ?? null, ...size.slice(2), size.length - 2] : undefined)];
  },
  NonMaxSuppression: () => [tensor('int64', [null, 3])],
  LRN: likeInput,
} satisfies Partial<Record<OpName, InferRule>>;
