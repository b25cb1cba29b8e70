/** Resizing as PIL does it, to the last bit: separable filters that widen where a picture shrinks, in integers of 22 fractional bits. */
import type { ResizeFilter } from './picture-processor.js';

/** Rows from the top, channels last. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

interface Kernel {
  readonly support: number;
  readonly at: (x: number) => number;
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

const kernels: Readonly<Record<Exclude<ResizeFilter, 'nearest'>, Kernel>> = {
  box: { support: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: { support: 1, at: (x) => (Math.abs(x) >= 1 ? 0 : x === 0 ? 1 : sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x))) },
  bicubic: {
    support: 2,
    at: (given) => {
      const [a, x] = [-0.5, Math.abs(given)];
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
  lanczos: { support: 3, at: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

const PRECISION = 2 ** 22;

export function resizePicture(picture: Pixels, width: number, height: number, filter: ResizeFilter): Pixels {
  if (filter === 'nearest') return nearest(picture, width, height);
  const wide = picture.width === width ? picture : horizontally(picture, width, kernels[filter]);
  return wide.height === height ? wide : vertically(wide, height, kernels[filter]);
}

interface Weights {
  readonly first: number;
  readonly weights: Float64Array;
}

/** For each place of the result: where its sources begin, and their weights, whole numbers of 2^-22. */
function weightsOf(from: number, to: number, { support, at }: Kernel): Weights[] {
  const scale = from / to;
  const widened = Math.max(scale, 1);
  const reach = support * widened;
  return Array.from({ length: to }, (_, place) => {
    const center = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const end = Math.min(from, Math.trunc(center + reach + 0.5));
    const plain = Float64Array.from({ length: end - first }, (_, i) => at((i + first - center + 0.5) / widened));
    const total = plain.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: plain.map((weight) => roundAway((total === 0 ? weight : weight / total) * PRECISION)) };
  });
}

function roundAway(value: number): number {
  return value < 0 ? Math.trunc(value - 0.5) : Math.trunc(value + 0.5);
}

function horizontally({ width: from, height, channels, data }: Pixels, width: number, kernel: Kernel): Pixels {
  const made = new Uint8Array(width * height * channels);
  const places = weightsOf(from, width, kernel);
  for (let y = 0; y < height; y++) {
    for (const [x, { first, weights }] of places.entries()) {
      for (let c = 0; c < channels; c++) {
        let sum = PRECISION / 2;
        for (let i = 0, at = (y * from + first) * channels + c; i < weights.length; i++, at += channels) sum += data[at]! * weights[i]!;
        made[(y * width + x) * channels + c] = clipped(sum);
      }
    }
  }
  return { width, height, channels, data: made };
}

function vertically({ width, height: from, channels, data }: Pixels, height: number, kernel: Kernel): Pixels {
  const row = width * channels;
  const made = new Uint8Array(row * height);
  for (const [y, { first, weights }] of weightsOf(from, height, kernel).entries()) {
    for (let x = 0; x < row; x++) {
      let sum = PRECISION / 2;
      for (let i = 0, at = first * row + x; i < weights.length; i++, at += row) sum += data[at]! * weights[i]!;
      made[y * row + x] = clipped(sum);
    }
  }
  return { width, height, channels, data: made };
}

function clipped(sum: number): number {
  const value = Math.floor(sum / PRECISION);
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function nearest({ width: fromWidth, height: fromHeight, channels, data }: Pixels, width: number, height: number): Pixels {
  const made = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const row = Math.min(fromHeight - 1, Math.floor(((y + 0.5) * fromHeight) / height)) * fromWidth;
    for (let x = 0; x < width; x++) {
      const from = (row + Math.min(fromWidth - 1, Math.floor(((x + 0.5) * fromWidth) / width))) * channels;
      for (let c = 0; c < channels; c++) made[(y * width + x) * channels + c] = data[from + c]!;
    }
  }
  return { width, height, channels, data: made };
}
