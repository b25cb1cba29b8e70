/** Sounds as callers give them: a WAV file, the bytes of one, or samples. */
import { readFile } from 'node:fs/promises';
import { PenjingError } from '@penjing/core';

/** SoundSamples of one channel, from -1 to 1. */
export interface SoundSamples {
  readonly samples: Float32Array;
  /** SoundSamples per second. */
  readonly rate: number;
}

/** A WAV file, the bytes of one, or samples. */
export type SoundInput = string | Uint8Array | SoundSamples;

/** For the worker. */
export type GivenSound = SoundSamples | { readonly name: string; readonly bytes: Uint8Array };

/** Three hours of 16-bit stereo at 48 kHz take 2 GB; a file is read whole. */
const MAX_FILE_BYTES = 2 ** 31;

/** Throws `E_INPUT` for what is no sound, `E_NOT_FOUND` for a file that is not there. */
export async function readSound(sound: SoundInput): Promise<GivenSound> {
  if (sound instanceof Uint8Array) return { name: 'the sound', bytes: sound };
  if (typeof sound === 'string') {
    const bytes = await readFile(sound).catch((cause: unknown) => {
      throw new PenjingError('E_NOT_FOUND', `${sound} cannot be read`, { cause });
    });
    if (bytes.length > MAX_FILE_BYTES) throw new PenjingError('E_LIMIT', `${sound} takes ${bytes.length} bytes`, { hint: `At most ${MAX_FILE_BYTES} are read; cut it.` });
    return { name: sound, bytes };
  }
  const { samples, rate } = sound ?? {};
  if (!(samples instanceof Float32Array)) throw new PenjingError('E_INPUT', 'a sound is a path, the bytes of a WAV file, or { samples: Float32Array, rate }');
  if (!Number.isInteger(rate) || rate < 1000 || rate > 384_000) throw new PenjingError('E_INPUT', `the sampling rate is ${rate}; it must be a whole number from 1000 to 384000`);
  return { samples, rate };
}
