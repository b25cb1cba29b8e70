/** Resizing of images. */
import type { BuiltinOptionsInit } from '../../schema.js';
import type { LowerContext } from '../lower-context.js';
import type { Lowering } from '../lowering.js';
import { asImage, fromImage, imageShape } from './window.js';

type Mode = 'nearest' | 'linear';

/** Flags of TFLite's resizing operators that mean the same as ONNX's coordinates; undefined when none do. */
function flags(c: LowerContext, mode: Mode, coordinates: string, rounding: string): { alignCorners: boolean; halfPixelCenters: boolean } | undefined {
  const [height, width] = asArea(c.sizes(0));
  const [outHeight, outWidth] = asArea(c.outSizes());
  // Growing by whole factors, asymmetric coordinates with floor and half-pixel ones with round_prefer_floor pick the same pixel.
  const whole = outHeight! % height! === 0 && outWidth! % width! === 0;
  if (mode === 'linear') {
    const large = (c.rank(0) === 3 || outHeight! > 1) && outWidth! > 1;
    if (coordinates === 'half_pixel' || (coordinates === 'pytorch_half_pixel' && large)) return { alignCorners: false, halfPixelCenters: true };
    if (coordinates === 'align_corners') return { alignCorners: true, halfPixelCenters: false };
    return coordinates === 'asymmetric' ? { alignCorners: false, halfPixelCenters: false } : undefined;
  }
  if (coordinates === 'asymmetric' && rounding === 'floor') return { alignCorners: false, halfPixelCenters: false };
  if (whole && (coordinates === 'half_pixel' || coordinates === 'pytorch_half_pixel') && rounding.startsWith('round_prefer')) return { alignCorners: false, halfPixelCenters: false };
  // Exporters write nearest neighbours with "asymmetric" and the default rounding: the same pixel when growing by 1 or 2.
  if (whole && coordinates === 'asymmetric' && rounding === 'round_prefer_floor' && outHeight! / height! <= 2 && outWidth! / width! <= 2) return { alignCorners: false, halfPixelCenters: false };
  if (coordinates === 'align_corners' && rounding === 'round_prefer_ceil') return { alignCorners: true, halfPixelCenters: false };
  return undefined;
}

function lower(c: LowerContext, mode: string, coordinates: string, rounding: string): void {
  if (c.rank(0) !== 4 && c.rank(0) !== 3) throw c.fail('TFLite resizes images (rank 4)', 'Reshape the input to (N, C, H, W).');
  const [batch, channels, ...sizes] = c.outShape();
  const target = sizes.length === 1 ? [1, ...sizes] : sizes;
  const [n, ch] = c.shape(0);
  if (channels !== ch || (batch !== n && batch !== null)) throw c.fail('it resizes batch or channels', 'Only height and width can change.');
  if (mode !== 'nearest' && mode !== 'linear') throw c.fail(`it interpolates with mode ${mode}`, 'TFLite has nearest and linear.');
  const given = flags(c, mode, coordinates, rounding);
  if (!given) throw c.fail(`TFLite has no ${mode} resizing with ${coordinates} coordinates${mode === 'nearest' ? ` and ${rounding}` : ''}`, 'Use half_pixel, align_corners or (with floor) asymmetric coordinates.');
  const scales = c.has(2) ? c.numbers(2) : undefined;
  const exact = !scales || scales.length === 0 || c.sizes(0).every((size, i) => scales.length !== c.rank(0) || Number.isInteger(size * scales[i]!));
  if (!exact && !given.alignCorners) throw c.fail('its scales give no whole sizes', 'Give the output sizes instead of scales.');
  if (!target.every((size) => typeof size === 'number')) c.failOpen(c.node.output());
  const options: BuiltinOptionsInit = mode === 'nearest' ? { type: 'ResizeNearestNeighborOptions', value: given } : { type: 'ResizeBilinearOptions', value: given };
  c.set(fromImage(c, c.emit(mode === 'nearest' ? 'RESIZE_NEAREST_NEIGHBOR' : 'RESIZE_BILINEAR', [asImage(c, c.input(0)), c.ints(target)], { shape: imageShape(c), options })));
}

/** Height and width; a signal is an image of height 1. */
const asArea = (sizes: readonly number[]): number[] => (sizes.length === 3 ? [1, sizes[2]!] : sizes.slice(2));

export const resize = {
  Resize: {
    layout: 'last',
    reads: [0],
    lower(c) {
      if (c.node.int('antialias', 0) === 1) throw c.fail('it smooths while shrinking (antialias)');
      lower(c, c.node.string('mode', 'nearest'), c.node.string('coordinate_transformation_mode', 'half_pixel'), c.node.string('nearest_mode', 'round_prefer_floor'));
    },
    note: 'nearest and linear on images and signals; half_pixel, align_corners, asymmetric',
  },
  Upsample: { layout: 'last', reads: [0], lower: (c) => lower(c, c.node.string('mode', 'nearest'), 'asymmetric', 'floor') },
} satisfies Record<string, Lowering>;
