/** Where somebody speaks in a sound. */
import { PenjingError, type TaskOptions } from '@penjing/core';
import { prepareSoundJob } from './prepare-sound.js';
import { runJobIn } from './run-job-in.js';
import { readSound, type SoundInput } from './sound-input.js';
import { type SegmentOptions, type SpeechSegment, speechSegments } from './speech-segments.js';
import { type LoadTaskOptions, openTaskModel } from './task-model.js';

export interface DetectVoiceOptions extends SegmentOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: TaskOptions['onProgress'] | undefined;
}

export interface DetectedVoice {
  readonly segments: SpeechSegment[];
  /** Of each window. */
  readonly probabilities: Float32Array;
  readonly windowSeconds: number;
  /** Of the whole sound. */
  readonly seconds: number;
}

export interface VoiceDetector extends AsyncDisposable {
  /** Throws `E_INPUT` for samples that are no numbers, `E_DECODER` for files that are not WAV. */
  detect(sound: SoundInput, options?: DetectVoiceOptions): Promise<DetectedVoice>;
}

const RATE = 16_000;
const WINDOW = 512;
/** Samples before a window that Silero sees with it. */
const CONTEXT = 64;
const INPUTS = ['input', 'sr', 'state'];

/** Loads Silero VAD (version 5 or later), an ONNX file. Throws `E_TASK` for another model. Sounds of other rates are resampled to 16 kHz. */
export async function loadVoiceDetector(path: string, options: LoadTaskOptions = {}): Promise<VoiceDetector> {
  // Steps of half a millisecond: more threads would only wait for each other.
  const model = await openTaskModel(path, { threads: 1, ...options });
  const names = model.inputs.map(({ name }) => name).sort();
  const state = model.inputs.find(({ name }) => name === 'state')?.type;
  if (names.join() !== INPUTS.join() || !['output', 'stateN'].every((name) => model.outputs.some((output) => output.name === name))) {
    await model[Symbol.asyncDispose]();
    throw new PenjingError('E_TASK', `${path} reads ${names.join(', ')}: it is not Silero VAD`, { hint: `Silero VAD from version 5 on reads ${INPUTS.join(', ')} and gives output, stateN.` });
  }
  const width = state?.kind === 'tensor' ? state.shape?.[2] : undefined;
  return {
    async detect(sound, given = {}) {
      const { signal, onProgress } = given;
      // what is wrong with the options is found before the sound is heard
      speechSegments(new Float32Array(), { window: WINDOW, rate: RATE, length: 0 }, given);
      const { samples } = await runJobIn(model.host, prepareSoundJob, { sound: await readSound(sound), rate: RATE }, { signal });
      const { length } = samples;
      const total = Math.ceil(length / WINDOW);
      const probabilities = await model.host.call('voice', { handle: model.handle, samples, rate: RATE, window: WINDOW, context: CONTEXT, stateWidth: typeof width === 'number' ? width : 128 }, {
        transfer: [samples.buffer as ArrayBuffer],
        ...(signal && { signal }),
        onEvent: ({ windows }) => onProgress?.({ phase: 'listen', done: windows, total, unit: 'windows' }),
      });
      const segments = speechSegments(probabilities, { window: WINDOW, rate: RATE, length }, given);
      return { segments, probabilities, windowSeconds: WINDOW / RATE, seconds: length / RATE };
    },
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}
