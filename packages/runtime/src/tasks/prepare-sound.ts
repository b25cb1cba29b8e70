/** Sounds to what models hear, in the worker of the session: decoded, checked, resampled, and as log-mel spectrograms. */
import { type Job, jobModule, PenjingError } from '@penjing/core';
import { readWave } from '@penjing/graph-io/data';
import { logMel, type LogMelShape, logPowers, peakOf, relativeTo, type SoundPart } from './log-mel.js';
import { resampleSound } from './resample-sound.js';
import type { GivenSound } from './sound-input.js';
import { soundWindows } from './sound-windows.js';

export interface PrepareSound {
  readonly sound: GivenSound;
  /** Samples per second that the model hears. */
  readonly rate: number;
  /** Most samples of a window; the whole sound is one when absent. */
  readonly window?: number;
}

export interface PreparedSound {
  readonly samples: Float32Array;
  /** Where its windows begin. */
  readonly starts: readonly number[];
}

const module = jobModule(import.meta.url, './prepare-sound');

/** Samples at the wanted rate. Throws `E_INPUT` for samples that are no numbers, `E_DECODER` for files that are not WAV. */
export const prepareSoundJob: Job<PrepareSound, PreparedSound> = {
  module,
  name: 'prepareSoundJob',
  run: async ({ sound, rate, window = Infinity }) => {
    const { samples, rate: given } = 'bytes' in sound ? decoded(sound.name, sound.bytes) : sound;
    const wrong = samples.findIndex((sample) => !Number.isFinite(sample));
    if (wrong >= 0) throw new PenjingError('E_INPUT', `sample ${wrong} of the sound is ${samples[wrong]}`, { hint: 'Samples are numbers from -1 to 1.' });
    const heard = resampleSound(samples, given, rate);
    return { samples: heard, starts: soundWindows(heard, window, rate) };
  },
};

function decoded(name: string, bytes: Uint8Array): { readonly samples: Float32Array; readonly rate: number } {
  const head = String.fromCharCode(...bytes.subarray(0, 4), ...bytes.subarray(8, 12));
  if (head === 'RIFFWAVE') return readWave(name, bytes);
  throw new PenjingError('E_DECODER', `${name} is no WAV file`, { hint: `Convert it, for example: ffmpeg -i ${name} -ac 1 -ar 16000 sound.wav; or give samples { samples: Float32Array, rate }.` });
}

/** The log-mel spectrogram (mels, frames) of one window. */
export const logMelJob: Job<{ readonly samples: Float32Array; readonly shape: LogMelShape }, Float32Array> = {
  module,
  name: 'logMelJob',
  run: async ({ samples, shape }) => logMel(samples, shape),
};

export interface PartOfSpectrogram {
  readonly part: SoundPart;
  readonly shape: LogMelShape;
  readonly first: number;
  readonly count: number;
}

/** The loudest that these frames hold. */
export const peakJob: Job<PartOfSpectrogram, number> = {
  module,
  name: 'peakJob',
  run: async ({ part, shape, first, count }) => peakOf(logPowers(part, shape, first, count)),
};

/** Frames of a spectrogram (mels, width) whose loudest is known, with 0 behind them. */
export const framesJob: Job<PartOfSpectrogram & { readonly peak: number; readonly width: number }, Float32Array> = {
  module,
  name: 'framesJob',
  run: async ({ part, shape, first, count, peak, width }) => {
    const values = relativeTo(peak, logPowers(part, shape, first, count));
    if (count === width) return values;
    const wide = new Float32Array(shape.mels * width);
    for (let m = 0; m < shape.mels; m++) wide.set(values.subarray(m * count, (m + 1) * count), m * width);
    return wide;
  },
};
