/** Resizing, sampling, and folding of image-like tensors. */
import type { Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { row } from '../row.js';
import type { SymInt } from '../values.js';

interface Resize {
  readonly mode: 'nearest' | 'linear' | 'cubic';
  readonly size: readonly SymInt[] | null;
  readonly scales: readonly (number | null)[] | null;
  readonly align?: boolean;
  /** Rounds to the nearest pixel where plain nearest rounds down. */
  readonly exact?: boolean;
}

/** ONNX Resize. A scale factor that is given counts, not the ratio of the sizes, as in PyTorch. */
function resize(c: AtenContext, x: Value, options: Resize): Value {
  const { mode, size, scales, align = false, exact = false } = options;
  const coordinates = mode === 'nearest' && !exact ? 'asymmetric' : align ? 'align_corners' : 'half_pixel';
  const attributes = {
    mode, coordinate_transformation_mode: coordinates,
    ...(mode === 'nearest' ? { nearest_mode: exact ? 'round_prefer_ceil' : 'floor' } : {}),
    ...(mode === 'cubic' ? { cubic_coeff_a: c.float(-0.75) } : {}),
  };
  const given = scales?.every((scale) => scale !== null) ? (scales) : undefined;
  if (given && !size) return c.op('Resize', [x, null, c.constant('float32', [1, 1, ...given])], attributes);
  if (!size) throw c.unsupported('neither a size nor scale factors');
  const own = c.sizes(x);
  return c.op('Resize', [x, null, null, c.vector([...own.slice(0, 2), ...size])], attributes);
}

/** By rank and mode, as PyTorch names them. */
const upsamples = {
  nearest1d: ['nearest', 1], nearest2d: ['nearest', 2], nearest3d: ['nearest', 3],
  linear1d: ['linear', 1], bilinear2d: ['linear', 2], trilinear3d: ['linear', 3], bicubic2d: ['cubic', 2],
} as const;
const axisNames = { 1: [''], 2: ['_h', '_w'], 3: ['_d', '_h', '_w'] } as const;

const resizes = Object.entries(upsamples).flatMap(([name, [mode, rank]]) => {
  const align = mode === 'nearest' ? '' : ', bool align_corners';
  const single = axisNames[rank].map((axis) => `, float? scales${axis}=None`).join('');
  const prefix = mode === 'nearest' ? ['', '_exact'] : [''];
  return prefix.flatMap((kind) => {
    const op = kind ? `_upsample_nearest_exact${rank}d` : `upsample_${name}`;
    const exact = kind !== '';
    // One row for all modes: align_corners is only declared where it exists.
    type Arguments = { input: Value; output_size: readonly SymInt[] | null; align_corners?: boolean; scale_factors: readonly number[] | null };
    return [
      row(`${op}.vec(Tensor input, SymInt[]? output_size${align}, float[]? scale_factors)`, (c, args) => {
        const { input, output_size, align_corners, scale_factors } = args as unknown as Arguments;
        return resize(c, input, { mode, size: output_size, scales: scale_factors, align: align_corners ?? false, exact });
      }),
      row(`${op}.default(Tensor self, SymInt[] output_size${align}${single})`, (c, args) => {
        const given = args as unknown as { self: Value; output_size: readonly SymInt[]; align_corners?: boolean };
        return resize(c, given.self, { mode, size: given.output_size, scales: null, align: given.align_corners ?? false, exact });
      }),
    ];
  });
});

const interpolation = ['linear', 'nearest', 'cubic'];
const paddings = ['zeros', 'border', 'reflection'];

function gridSample(c: AtenContext, input: Value, grid: Value, mode: number, padding: number, align: boolean): Value {
  const named = interpolation[mode];
  const outside = paddings[padding];
  if (named === undefined || outside === undefined) throw c.unsupported('an unknown mode');
  // Before opset 20 the modes were named after images.
  const older: Readonly<Record<string, string>> = { linear: 'bilinear', cubic: 'bicubic', nearest: 'nearest' };
  return c.op('GridSample', [input, grid], { mode: c.opset >= 20 ? named : older[named]!, padding_mode: outside, align_corners: Number(align) });
}

/** Start of each window along one axis, and the offsets inside it. */
function windows(c: AtenContext, size: number, kernel: number, dilation: number, padding: number, stride: number): number[][] {
  const count = Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
  c.count(Math.max(count, 0) * kernel);
  return Array.from({ length: c.count(kernel) }, (_, k) => Array.from({ length: c.count(count) }, (_, i) => i * stride + k * dilation));
}

/** (n, c, h, w) to (n, c·kh·kw, blocks). */
function im2col(c: AtenContext, self: Value, kernel: readonly number[], dilation: readonly number[], padding: readonly number[], stride: readonly number[]): Value {
  const unbatched = c.rank(self) === 3;
  const x = unbatched ? c.unsqueeze(self, [0]) : self;
  const [n, channels, h, w] = c.sizes(x) as [SymInt, SymInt, SymInt, SymInt];
  if (typeof h !== 'number' || typeof w !== 'number') throw c.unsupported('windows over images of unknown size');
  const padded = c.op('Pad', [x, c.int64([0, 0, padding[0]!, padding[1]!, 0, 0, padding[0]!, padding[1]!])]);
  const table = (axis: 0 | 1, size: number): { indices: Value; count: number } => {
    const rows = windows(c, size, kernel[axis]!, dilation[axis]!, padding[axis]!, stride[axis]!);
    return { indices: c.builder.constant('int64', rows.flat(), [rows.length, rows[0]!.length]), count: rows[0]!.length };
  };
  const [down, across] = [table(0, h), table(1, w)];
  // (n, c, kh, oh, kw, ow) to (n, c, kh, kw, oh, ow)
  const rows = c.op('Gather', [padded, down.indices], { axis: 2 });
  const both = c.transpose(c.op('Gather', [rows, across.indices], { axis: 4 }), [0, 1, 2, 4, 3, 5]);
  const out = c.reshape(both, [n, c.math('Mul', channels, kernel[0]! * kernel[1]!), down.count * across.count]);
  return unbatched ? c.squeeze(out, [0]) : out;
}

function col2im(c: AtenContext, self: Value, size: readonly SymInt[], kernel: readonly number[], dilation: readonly number[], padding: readonly number[], stride: readonly number[]): Value {
  const unbatched = c.rank(self) === 2;
  const out = c.op('Col2Im', [unbatched ? c.unsqueeze(self, [0]) : self, c.vector(size), c.int64(kernel)], {
    dilations: dilation, pads: [...padding, ...padding], strides: stride,
  });
  return unbatched ? c.squeeze(out, [0]) : out;
}

export const images = [
  ...resizes,
  ...['grid_sampler', 'grid_sampler_2d', 'grid_sampler_3d'].map((name) =>
    row(`${name}(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners)`, (c, { input, grid, interpolation_mode, padding_mode, align_corners }) =>
      gridSample(c, input, grid, interpolation_mode, padding_mode, align_corners))),
  row('affine_grid_generator(Tensor theta, SymInt[] size, bool align_corners)', (c, { theta, size, align_corners }) =>
    c.op('AffineGrid', [theta, c.vector(size)], { align_corners: Number(align_corners) })),
  row('im2col(Tensor self, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride)', (c, { self, kernel_size, dilation, padding, stride }) =>
    im2col(c, self, kernel_size, dilation, padding, stride)),
  row('col2im(Tensor self, SymInt[2] output_size, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride)', (c, { self, output_size, kernel_size, dilation, padding, stride }) =>
    col2im(c, self, output_size, kernel_size, dilation, padding, stride)),
];
