/** A sound as the one input of a model: windows of the length that it reads. */
import { type Feeds, PenjingError } from '@penjing/core';
import type { Sound } from '@penjing/graph-io/data';
import { numbersAs } from './array-feeds.js';
import { describeShape, type ModelInputs, onlyInput } from './model-inputs.js';

/** Seconds of a window for models that take any length. */
const SECONDS = 10;

/** The windows, one after the other; what is left at the end is filled up with silence only when there is no other. Throws `E_DATA`. */
export function* soundFeeds(inputs: ModelInputs, { rate, samples }: Sound): Generator<Feeds> {
  const input = onlyInput(inputs, 'sounds');
  const shape = input.shape ?? ['n', 'length'];
  const last = shape.at(-1);
  if (shape.length === 0 || shape.slice(0, -1).some((dim) => typeof dim === 'number' && dim !== 1)) {
    throw new PenjingError('E_DATA', `${input.name} reads ${describeShape(input.shape)}: no sound`, { hint: 'Give what is computed from the sound as arrays: .npy or .npz.' });
  }
  const length = typeof last === 'number' ? last : Math.max(1, Math.min(samples.length, rate * SECONDS));
  const count = Math.max(1, Math.floor(samples.length / length));
  for (let i = 0; i < count; i++) {
    const window = new Float32Array(length);
    window.set(samples.subarray(i * length, (i + 1) * length));
    yield { [input.name]: numbersAs(input.dtype, [...shape.slice(0, -1).map(() => 1), length], window) };
  }
}
