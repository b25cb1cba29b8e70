/** Log-mel spectrograms as Whisper was trained with: Hann windows, Slaney's mel scale, eight decades below the loudest. */
import { fourier } from './fourier.js';

export interface LogMelShape {
  readonly rate: number;
  /** Samples of a window, and from one to the next. */
  readonly window: number;
  readonly hop: number;
  readonly mels: number;
  /** Samples that are looked at; shorter sounds are filled up with silence. */
  readonly length: number;
}

/** A part of a sound: `samples` from `offset` on, of `total`. What is missing of it counts as silence. */
export interface SoundPart {
  readonly samples: Float32Array;
  readonly offset: number;
  readonly total: number;
}

/** (mels, length / hop), of the first `length` samples. */
export function logMel(samples: Float32Array, shape: LogMelShape): Float32Array {
  const values = logPowers({ samples, offset: 0, total: shape.length }, shape, 0, Math.floor(shape.length / shape.hop));
  return relativeTo(peakOf(values), values);
}

/** Logarithms (mels, count) of the powers in frames from `first` on, of the whole sound's. */
export function logPowers({ samples, offset, total }: SoundPart, { rate, window, hop, mels }: LogMelShape, first: number, count: number): Float32Array {
  const half = window / 2;
  const bins = half + 1;
  const hann = Float64Array.from({ length: window }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / window));
  const filters = melFilters(rate, window, mels);
  const plan = fourier(window);
  const [real, imaginary] = [new Float64Array(window), new Float64Array(window)];
  const power = new Float64Array(bins);
  const values = new Float32Array(mels * count);
  for (let frame = 0; frame < count; frame++) {
    for (let i = 0; i < window; i++) real[i] = hann[i]! * (samples[reflected((first + frame) * hop + i - half, total) - offset] ?? 0);
    imaginary.fill(0);
    plan.transform(real, imaginary);
    for (let k = 0; k < bins; k++) power[k] = real[k]! ** 2 + imaginary[k]! ** 2;
    for (const [m, { first: bin, weights }] of filters.entries()) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k]! * power[bin + k]!;
      values[m * count + frame] = Math.log10(Math.max(sum, 1e-10));
    }
  }
  return values;
}

export function peakOf(values: Float32Array): number {
  let top = -Infinity;
  for (const value of values) if (value > top) top = value;
  return top;
}

/** As the model wants them: eight decades below the peak of the whole sound are the floor. */
export function relativeTo(peak: number, values: Float32Array): Float32Array {
  return values.map((value) => (Math.max(value, peak - 8) + 4) / 4);
}

/** Sounds go on mirrored at either end. */
function reflected(at: number, length: number): number {
  return at < 0 ? -at : at >= length ? 2 * (length - 1) - at : at;
}

interface Filter {
  readonly first: number;
  readonly weights: Float64Array;
}

/** Triangles of equal area whose corners lie evenly on the mel scale, from 0 Hz to 8 kHz (half the rate of all Whispers). */
export function melFilters(rate: number, window: number, mels: number): Filter[] {
  const corners = Array.from({ length: mels + 2 }, (_, i) => hertz((mel(8000) * i) / (mels + 1)));
  const bins = window / 2 + 1;
  const frequency = (bin: number): number => (bin * Math.floor(rate / 2)) / (bins - 1);
  return Array.from({ length: mels }, (_, m) => {
    const [left, middle, right] = [corners[m]!, corners[m + 1]!, corners[m + 2]!];
    const weights = Array.from({ length: bins }, (_, bin) => {
      const f = frequency(bin);
      return (Math.max(0, Math.min((f - left) / (middle - left), (right - f) / (right - middle))) * 2) / (right - left);
    });
    const first = Math.max(0, weights.findIndex((weight) => weight > 0));
    let end = weights.length;
    while (end > first && weights[end - 1] === 0) end--;
    return { first, weights: Float64Array.from(weights.slice(first, end)) };
  });
}

/** Slaney's scale: even up to 1 kHz, logarithmic above. */
function mel(frequency: number): number {
  return frequency < 1000 ? (3 * frequency) / 200 : 15 + (27 * Math.log(frequency / 1000)) / Math.log(6.4);
}

function hertz(value: number): number {
  return value < 15 ? (200 * value) / 3 : 1000 * Math.exp((Math.log(6.4) * (value - 15)) / 27);
}
