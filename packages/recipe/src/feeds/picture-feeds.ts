/** Pictures as the one input of a model: its layout, size and channels, and the normalisation that was declared. */
import { DenseTensor, dtypes, type Feeds, PenjingError } from '@penjing/core';
import type { Picture } from '@penjing/graph-io/data';
import { numbersAs } from './array-feeds.js';
import { describeShape, type ModelInput, type ModelInputs, onlyInput } from './model-inputs.js';

/** A float input gets (pixel · scale − mean) / std, pixels from 0 to 255. */
export interface Normalisation {
  /** 1/255 when absent. */
  readonly scale?: number | undefined;
  /** One number, or one per channel; 0 when absent. */
  readonly mean?: readonly number[] | undefined;
  /** One number, or one per channel; 1 when absent. */
  readonly std?: readonly number[] | undefined;
}

interface Layout {
  readonly shape: readonly number[];
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly channelsFirst: boolean;
}

/** Resizes bilinearly, makes grey of colours (ITU-R BT.601) and colours of grey. Throws `E_DATA` for a model that reads no pictures. */
export function pictureFeeds(inputs: ModelInputs, picture: Picture, normalisation: Normalisation): Feeds {
  const input = onlyInput(inputs, 'pictures');
  const layout = layoutOf(input, picture);
  const pixels = resized(withChannels(picture, layout.channels), layout.width, layout.height);
  const { width, height, channels, channelsFirst, shape } = layout;
  const normalise = normaliser(input, channels, normalisation);
  const values = new Float32Array(pixels.length);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < channels; c++) values[channelsFirst ? c * width * height + i : i * channels + c] = normalise(pixels[i * channels + c]!, c);
  }
  return { [input.name]: input.dtype === 'uint8' ? new DenseTensor('uint8', shape, Uint8Array.from(values, Math.round)) : numbersAs(input.dtype, shape, values) };
}

function normaliser({ dtype, name }: ModelInput, channels: number, { scale = 1 / 255, mean = [0], std = [1] }: Normalisation): (pixel: number, channel: number) => number {
  if (dtype === 'uint8') return (pixel) => pixel;
  if (dtypes[dtype].kind !== 'float') throw new PenjingError('E_DATA', `pictures fill inputs of floats or uint8; ${name} is ${dtype}`, { hint: 'Give arrays of its own type: .npy or .npz.' });
  for (const [option, list] of [['mean', mean], ['std', std]] as const) {
    if (list.length !== 1 && list.length !== channels) throw new PenjingError('E_OPTION', `--${option} has ${list.length} numbers, the model reads ${channels} channels`);
  }
  return (pixel, channel) => (pixel * scale - mean[channel % mean.length]!) / std[channel % std.length]!;
}

const isChannels = (dim: number | string | null | undefined): dim is number => dim === 1 || dim === 3;

function layoutOf(input: ModelInput, picture: Picture): Layout {
  const { shape = ['n', picture.channels, 'h', 'w'] } = input;
  const size = (dim: number | string | null | undefined, free: number): number => (typeof dim === 'number' ? dim : free);
  const { width, height, channels } = picture;
  const [a, b, c, d] = shape;
  const batch = size(a, 1);
  const wrong = (): PenjingError => new PenjingError('E_DATA', `${input.name} reads ${describeShape(input.shape)}: no picture`, { hint: 'Give arrays: .npy or .npz.' });
  if (shape.length > 2 && batch !== 1 && !(shape.length === 3 && isChannels(a))) throw new PenjingError('E_DATA', `${input.name} reads batches of ${batch}; pictures are fed one by one`);
  if (shape.length === 4) {
    if (isChannels(b) || !isChannels(d)) return laidOut([1, size(b, channels), size(c, height), size(d, width)], true);
    return laidOut([1, size(b, height), size(c, width), d], false);
  }
  if (shape.length === 3 && a === 3) return { ...laidOut([1, 3, size(b, height), size(c, width)], true), shape: [3, size(b, height), size(c, width)] };
  if (shape.length === 3) return { ...laidOut([1, 1, size(b, height), size(c, width)], true), shape: [1, size(b, height), size(c, width)] };
  const flat = shape.length === 2 ? b : undefined;
  if (flat === width * height * channels) return { ...laidOut([1, channels, height, width], false, [channels, height, width]), shape: [1, flat] };
  throw wrong();
}

function laidOut(shape: readonly [number, number, number, number], channelsFirst: boolean, dims: readonly [number, number, number] = channelsFirst ? [shape[1], shape[2], shape[3]] : [shape[3], shape[1], shape[2]]): Layout {
  const [channels, height, width] = dims;
  return { shape, channels, height, width, channelsFirst };
}

function withChannels(picture: Picture, channels: number): Picture {
  if (picture.channels === channels) return picture;
  const { width, height, data } = picture;
  const made = new Uint8Array(width * height * channels);
  for (let i = 0; i < width * height; i++) {
    if (picture.channels === 1) made.fill(data[i]!, i * channels, (i + 1) * channels);
    else if (channels === 1) made[i] = Math.round(0.299 * data[i * 3]! + 0.587 * data[i * 3 + 1]! + 0.114 * data[i * 3 + 2]!);
    else throw new PenjingError('E_DATA', `a picture of ${picture.channels} channels does not fill ${channels}`);
  }
  return { width, height, channels, data: made };
}

/** Bilinear, centres of pixels at half numbers as in OpenCV and PIL without its wider filter. */
function resized({ width, height, channels, data }: Picture, toWidth: number, toHeight: number): Float32Array {
  if (width === toWidth && height === toHeight) return Float32Array.from(data);
  const made = new Float32Array(toWidth * toHeight * channels);
  for (let y = 0; y < toHeight; y++) {
    const [y0, y1, fy] = place(y, height, toHeight);
    for (let x = 0; x < toWidth; x++) {
      const [x0, x1, fx] = place(x, width, toWidth);
      for (let c = 0; c < channels; c++) {
        const at = (row: number, column: number): number => data[(row * width + column) * channels + c]!;
        made[(y * toWidth + x) * channels + c] = (at(y0, x0) * (1 - fx) + at(y0, x1) * fx) * (1 - fy) + (at(y1, x0) * (1 - fx) + at(y1, x1) * fx) * fy;
      }
    }
  }
  return made;
}

function place(index: number, from: number, to: number): readonly [number, number, number] {
  const at = Math.min(Math.max(((index + 0.5) * from) / to - 0.5, 0), from - 1);
  const low = Math.floor(at);
  return [low, Math.min(low + 1, from - 1), at - low];
}
