/** Pictures to the input of a model, in the worker of its session: decoded, resized, cut and normalised. */
import { type Job, jobModule, PenjingError } from '@penjing/core';
import { decodePicture } from '@penjing/graph-io/data';
import type { PictureProcessor } from './picture-processor.js';
import { type Pixels, resizePicture } from './resize-picture.js';

/** Pixels, of colours or of the four inks of a press, or the bytes of a PNG or JPEG file with the name to call it. */
export type GivenPicture = Pixels | (Pixels & { readonly inks: true }) | { readonly name: string; readonly bytes: Uint8Array };

export interface PreparePictures {
  readonly processor: PictureProcessor;
  readonly pictures: readonly GivenPicture[];
  readonly channels: number;
}

export interface PreparedPictures {
  /** (batch, channels, height, width). */
  readonly values: Float32Array;
  readonly height: number;
  readonly width: number;
}

export const preparePicturesJob: Job<PreparePictures, PreparedPictures> = {
  module: jobModule(import.meta.url, './prepare-pictures'),
  name: 'preparePicturesJob',
  async run({ processor, pictures, channels }, { signal }) {
    const made: Pixels[] = [];
    for (const picture of pictures) {
      signal?.throwIfAborted();
      const pixels = 'bytes' in picture ? decoded(picture) : 'inks' in picture ? fromInks(picture) : picture;
      made.push(fitted(withChannels(pixels, channels), processor));
    }
    const [{ height, width }] = made as [Pixels];
    const odd = made.findIndex((each) => each.height !== height || each.width !== width);
    if (odd >= 0) throw new PenjingError('E_INPUT', `picture ${odd} is ${made[odd]!.width} × ${made[odd]!.height}, the first ${width} × ${height}, and this model's pictures are not resized`, { hint: 'Give pictures of one size, or one at a time (batchSize: 1).' });
    return { values: normalized(made, processor), height, width };
  },
};

/** Where sharp has not done it already. */
function decoded({ name, bytes }: Extract<GivenPicture, { bytes: Uint8Array }>): Pixels {
  const known = decodePicture(name, bytes);
  if (known) return known;
  throw new PenjingError('E_DECODER', `${name} is neither PNG nor JPEG`);
}

/** Cyan, magenta, yellow and black to colours, as PIL does: without the profile of a press. */
function fromInks({ width, height, data }: Pixels): Pixels {
  const made = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const paper = 255 - data[i * 4 + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = data[i * 4 + c]! * paper + 128;
      made[i * 3 + c] = Math.max(0, paper - (((product >> 8) + product) >> 8));
    }
  }
  return { width, height, channels: 3, data: made };
}

/** Grey to colours, colours to grey (ITU-R BT.601 in integers, as PIL does), without what is transparent. */
function withChannels(picture: Pixels, channels: number): Pixels {
  const { width, height, channels: given, data } = picture;
  if (given === channels) return picture;
  const made = new Uint8Array(width * height * channels);
  for (let i = 0; i < width * height; i++) {
    const from = i * given;
    const [red, green, blue] = given < 3 ? [data[from]!, data[from]!, data[from]!] : [data[from]!, data[from + 1]!, data[from + 2]!];
    if (channels === 1) made[i] = given < 3 ? red : (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    else made.set([red, green, blue], i * channels);
  }
  return { width, height, channels, data: made };
}

function fitted(picture: Pixels, { resize, crop }: PictureProcessor): Pixels {
  let made = picture;
  if (resize) {
    const { width, height } = typeof resize.to === 'number' ? shorterEdge(picture, resize.to) : resize.to;
    made = resizePicture(picture, width, height, resize.filter);
  }
  return crop ? middleOf(made, crop.width, crop.height) : made;
}

function shorterEdge({ width, height }: Pixels, edge: number): { width: number; height: number } {
  const long = Math.floor((edge * Math.max(width, height)) / Math.min(width, height));
  if (long > MAX_EDGE) throw new PenjingError('E_LIMIT', `a picture of ${width} × ${height} would become ${long} long`, { hint: `At most ${MAX_EDGE}; cut it first.` });
  return width <= height ? { width: edge, height: long } : { width: long, height: edge };
}

/** A strip of 1 × 65,535 pixels must not become gigabytes. */
const MAX_EDGE = 2 ** 15;

function middleOf(picture: Pixels, width: number, height: number): Pixels {
  const { channels, data } = picture;
  const made = new Uint8Array(width * height * channels);
  // what is too small is put into the middle, one row or column higher where it cannot be
  const offset = (from: number, to: number): number => (to > from ? -Math.floor((to - from) / 2) : Math.floor((from - to) / 2));
  const [top, left] = [offset(picture.height, height), offset(picture.width, width)];
  for (let y = 0; y < height; y++) {
    const row = y + top;
    if (row < 0 || row >= picture.height) continue;
    const [from, to] = [Math.max(0, left), Math.min(picture.width, left + width)];
    made.set(data.subarray((row * picture.width + from) * channels, (row * picture.width + to) * channels), (y * width + from - left) * channels);
  }
  return { width, height, channels, data: made };
}

/** Channels first, through a table: there are 256 values of a pixel. */
function normalized(pictures: readonly Pixels[], { scale, mean, std }: PictureProcessor): Float32Array {
  const [{ width, height, channels }] = pictures as [Pixels];
  const area = width * height;
  const tables = Array.from({ length: channels }, (_, c) => Float32Array.from({ length: 256 }, (_, pixel) => (pixel * scale - mean[c % mean.length]!) / std[c % std.length]!));
  const values = new Float32Array(pictures.length * channels * area);
  for (const [n, { data }] of pictures.entries()) {
    for (const [c, table] of tables.entries()) {
      const start = (n * channels + c) * area;
      for (let i = 0; i < area; i++) values[start + i] = table[data[i * channels + c]!]!;
    }
  }
  return values;
}
