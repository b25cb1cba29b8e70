/** A sound, window by window: by the times that the model writes, or cut at quiet places. One window is in memory at a time beside the samples. */
import type { TranscribeResult } from '../worker/transcribe.js';
import type { SessionHost } from '../session-host.js';
import { framesJob, logMelJob, type PartOfSpectrogram, peakJob } from './prepare-sound.js';
import { runJobIn } from './run-job-in.js';
import type { TranscribedSegment, TranscribedWindow, TranscribeOptions } from './speech-recognizer.js';
import { timeSegments } from './time-segments.js';
import type { WhisperConfig } from './whisper-config.js';

export interface Listened {
  /** The spectrogram (mels, frames). */
  readonly values: Float32Array;
  readonly previous: readonly number[];
  /** Code of the language that was heard before. */
  readonly language: string | undefined;
}

export interface Heard extends Omit<TranscribeResult, 'language'> {
  readonly language: string | undefined;
  readonly text: (tokens: readonly number[]) => string;
}

export interface Listener {
  readonly host: SessionHost;
  readonly config: WhisperConfig;
  readonly listen: (part: Listened) => Promise<Heard>;
}

type Windows = AsyncGenerator<TranscribedWindow>;

/** Windows that each have their own spectrogram and language. */
export async function* windowsByQuiet({ host, config: { features }, listen }: Listener, samples: Float32Array, starts: readonly number[], { signal, onProgress }: TranscribeOptions): Windows {
  for (const [i, start] of starts.entries()) {
    const end = starts[i + 1] ?? samples.length;
    if (end === start) break;
    const values = await runJobIn(host, logMelJob, { samples: samples.slice(start, end), shape: features }, { signal });
    const { text, ...heard } = await listen({ values, previous: [], language: undefined });
    yield { ...heard, start: start / features.rate, end: end / features.rate, text: heard.silent ? '' : text(heard.tokens), segments: [] };
    onProgress?.({ phase: 'listen', done: i + 1, total: starts.length, unit: 'windows' });
  }
}

/** A time is told for every second frame of the spectrogram. */
const FRAMES_PER_TIME = 2;
/** What is written at this temperature or above is no help to what follows. */
const TOO_FREE = 0.5;

/**
 * As OpenAI's program and transformers do it: the spectrogram is that of the whole sound, a window begins where the last time of the one before it was, and its language is heard
 * once.
 */
export async function* windowsByTime({ host, config, listen }: Listener, samples: Float32Array, { signal, onProgress, conditionOnPrevious = false }: TranscribeOptions): Windows {
  const { features, maxLength } = config;
  const { begin, previous: opener } = config.times!;
  const frames = Math.floor(features.length / features.hop);
  const framesPerSecond = features.rate / features.hop;
  // what is shorter than a window is filled up with silence, what is longer ends where it ends
  const total = Math.max(samples.length, features.length);
  const [whole, spoken] = [Math.floor(total / features.hop), Math.floor(samples.length / features.hop)];
  const partAt = (first: number): PartOfSpectrogram => {
    const count = Math.min(frames, whole - first);
    const from = Math.max(0, first * features.hop - features.window);
    const end = (first + count) * features.hop + features.window;
    return { part: { samples: samples.slice(from, end), offset: from, total }, shape: features, first, count };
  };
  let peak = -Infinity;
  for (let first = 0; first < whole; first += frames) peak = Math.max(peak, await runJobIn(host, peakJob, partAt(first), { signal }));
  const written: number[] = [];
  let language: string | undefined;
  let trusted = true;
  for (let seek = 0; seek < spoken; ) {
    const values = await runJobIn(host, framesJob, { ...partAt(seek), peak, width: frames }, { signal });
    const kept = conditionOnPrevious && trusted && written.length > 0 ? written.slice(-(Math.floor(maxLength / 2) - 1)) : [];
    const { text, ...heard } = await listen({ values, previous: kept.length > 0 && opener !== undefined ? [opener, ...kept] : kept, language });
    language ??= heard.language;
    trusted = heard.temperature < TOO_FREE;
    const size = Math.min(frames, spoken - seek);
    const offset = seek / framesPerSecond;
    const found = heard.silent ? { segments: [], heard: size } : timeSegments(heard.tokens, { begin, frames: size, framesPerTime: FRAMES_PER_TIME, framesPerSecond });
    const segments = found.segments.map(({ start, end, tokens }): TranscribedSegment => ({ start: offset + start, end: offset + end, text: text(tokens), tokens }));
    // of the pair that ends a segment and opens the next, the second is written again
    for (const { tokens } of segments) written.push(...(tokens.length > 2 && tokens.at(-2)! >= begin ? tokens.slice(0, -1) : tokens));
    const step = Math.max(1, found.heard);
    yield { ...heard, start: offset, end: offset + Math.min(step, size) / framesPerSecond, text: text(segments.flatMap(({ tokens }) => tokens)), segments };
    seek += step;
    onProgress?.({ phase: 'listen', done: Math.min(seek, spoken), total: spoken, unit: 'frames' });
  }
}
