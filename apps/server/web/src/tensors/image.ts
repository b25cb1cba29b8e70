/** Pictures made into tensors: where the channels stand, how large, how the values are scaled. */
import type { TensorSpec } from './parse-values.js';
import { fillTensor, type TensorData, TensorProblem } from './tensor-data.js';

export interface ImageLayout {
  readonly channelsFirst: boolean;
  readonly channels: 1 | 3 | 4;
  /** undefined when the model takes any size: the picture's own is used. */
  readonly height: number | undefined;
  readonly width: number | undefined;
  readonly rank: 3 | 4;
}

export const imageScales = ['unit', 'signed', 'imagenet', 'bytes'] as const;
export type ImageScale = (typeof imageScales)[number];

export interface ImageOptions {
  readonly scale: ImageScale;
  readonly bgr: boolean;
}

/** Pictures beyond this are scaled down when the model takes any size. */
const MAX_SIDE = 2048;

// torchvision's transforms for models trained on ImageNet
const MEAN = [0.485, 0.456, 0.406];
const DEVIATION = [0.229, 0.224, 0.225];

/** Throws a {@link TensorProblem} for inputs that take no picture. */
export function imageLayout({ shape, datatype }: TensorSpec): ImageLayout {
  const rank = shape.length;
  if ((rank !== 3 && rank !== 4) || datatype === 'BYTES') throw new TensorProblem('tensor.error.imageShape');
  const inner = shape.slice(-3);
  const isChannels = (size: number | undefined): size is 1 | 3 | 4 => size === 1 || size === 3 || size === 4;
  const known = (size: number | undefined): number | undefined => (size !== undefined && size > 0 ? size : undefined);
  if (isChannels(inner[0]) || (inner[0]! < 0 && !isChannels(inner[2]))) {
    return { channelsFirst: true, channels: isChannels(inner[0]) ? inner[0] : 3, height: known(inner[1]), width: known(inner[2]), rank };
  }
  if (isChannels(inner[2])) return { channelsFirst: false, channels: inner[2], height: known(inner[0]), width: known(inner[1]), rank };
  throw new TensorProblem('tensor.error.imageShape');
}

export function imageSize(layout: ImageLayout, width: number, height: number): { readonly width: number; readonly height: number } {
  const shrink = Math.min(1, MAX_SIDE / Math.max(width, height));
  return { width: layout.width ?? Math.max(1, Math.round(width * shrink)), height: layout.height ?? Math.max(1, Math.round(height * shrink)) };
}

/** `pixels` are RGBA bytes of a picture that has the size already. Shape [N=1,] C, H, W or [N=1,] H, W, C. */
export function pixelsToTensor(pixels: Uint8ClampedArray, size: { readonly width: number; readonly height: number }, { datatype }: TensorSpec, layout: ImageLayout, { scale, bgr }: ImageOptions): TensorData {
  if (datatype === 'BYTES') throw new TensorProblem('tensor.error.imageShape');
  const { width, height } = size;
  const { channels, channelsFirst, rank } = layout;
  const area = width * height;
  const inner = channelsFirst ? [channels, height, width] : [height, width, channels];
  const isWhole = !/^(FP|BF)/.test(datatype);
  return fillTensor(datatype, rank === 4 ? [1, ...inner] : inner, (i) => {
    const channel = channelsFirst ? Math.floor(i / area) : i % channels;
    const pixel = (channelsFirst ? i % area : Math.floor(i / channels)) * 4;
    const value = channels === 1 ? luma(pixels, pixel) : pixels[pixel + (bgr && channel < 3 ? 2 - channel : channel)]!;
    return isWhole ? Math.round(datatype === 'INT8' ? value - 128 : value) : scaled(value, channels === 3 ? channel : 0, bgr, scale);
  });
}

function scaled(value: number, channel: number, bgr: boolean, scale: ImageScale): number {
  if (scale === 'bytes') return value;
  if (scale === 'unit') return value / 255;
  if (scale === 'signed') return value / 127.5 - 1;
  const colour = bgr ? 2 - channel : channel;
  return (value / 255 - MEAN[colour]!) / DEVIATION[colour]!;
}

/** Rec. 601, as Pillow's mode L. */
function luma(pixels: Uint8ClampedArray, at: number): number {
  return 0.299 * pixels[at]! + 0.587 * pixels[at + 1]! + 0.114 * pixels[at + 2]!;
}

/** Decodes a file and scales it; throws a {@link TensorProblem} when the browser cannot. */
export async function imageToTensor(file: Blob, spec: TensorSpec, options: ImageOptions): Promise<TensorData> {
  const layout = imageLayout(spec);
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new TensorProblem('tensor.error.image');
  });
  try {
    const size = imageSize(layout, bitmap.width, bitmap.height);
    const canvas = document.createElement('canvas');
    canvas.width = size.width;
    canvas.height = size.height;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (!context) throw new TensorProblem('tensor.error.image');
    context.imageSmoothingQuality = 'high';
    context.drawImage(bitmap, 0, 0, size.width, size.height);
    return pixelsToTensor(context.getImageData(0, 0, size.width, size.height).data, size, spec, layout, options);
  } finally {
    bitmap.close();
  }
}
