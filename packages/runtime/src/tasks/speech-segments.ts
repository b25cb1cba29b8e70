/** From probabilities of voice to stretches of speech, by the rules that come with Silero VAD. */
import { PenjingError } from '@penjing/core';

export interface SegmentOptions {
  /** Speech begins at a window of at least this probability; 0.5 when absent. */
  readonly threshold?: number | undefined;
  /** It ends below this one; 0.15 less than the threshold, at least 0.01, when absent. */
  readonly endThreshold?: number | undefined;
  /** Shorter speech is left out; 0.25 s when absent. */
  readonly minSpeechSeconds?: number | undefined;
  /** Shorter silence is no end; 0.1 s when absent. */
  readonly minSilenceSeconds?: number | undefined;
  /** Added on either side; 0.03 s when absent. */
  readonly padSeconds?: number | undefined;
}

export interface SpeechSegment {
  /** Seconds from the beginning. */
  readonly start: number;
  readonly end: number;
}

/** `length` in samples of the sound; windows of `window` samples. */
export function speechSegments(probabilities: Float32Array, { window, rate, length }: { readonly window: number; readonly rate: number; readonly length: number }, options: SegmentOptions = {}): SpeechSegment[] {
  const threshold = within('threshold', options.threshold, 0.5, 0, 1);
  const low = within('endThreshold', options.endThreshold, Math.max(threshold - 0.15, 0.01), 0, 1);
  const seconds = (name: keyof SegmentOptions, usual: number): number => within(name, options[name], usual, 0, 3600) * rate;
  const [minSpeech, minSilence, pad] = [seconds('minSpeechSeconds', 0.25), seconds('minSilenceSeconds', 0.1), seconds('padSeconds', 0.03)];
  const found: { start: number; end: number }[] = [];
  let start: number | undefined;
  let quiet: number | undefined;
  for (const [i, probability] of probabilities.entries()) {
    const at = i * window;
    if (probability >= threshold) {
      quiet = undefined;
      start ??= at;
    } else if (probability < low && start !== undefined) {
      quiet ??= at;
      if (at - quiet < minSilence) continue;
      if (quiet - start > minSpeech) found.push({ start, end: quiet });
      start = quiet = undefined;
    }
  }
  if (start !== undefined && length - start > minSpeech) found.push({ start, end: length });
  padded(found, pad, length);
  return found.map(({ start: from, end }) => ({ start: from / rate, end: end / rate }));
}

/** Two neighbours share what lies between them when it is too short for both. */
function padded(segments: { start: number; end: number }[], pad: number, length: number): void {
  for (const [i, segment] of segments.entries()) {
    const next = segments[i + 1];
    if (i === 0) segment.start = Math.max(0, segment.start - pad);
    const room = next ? next.start - segment.end : Infinity;
    const added = room < 2 * pad ? Math.floor(room / 2) : pad;
    segment.end = Math.min(length, segment.end + added);
    if (next) next.start = Math.max(0, next.start - added);
  }
}

function within(name: string, value: number | undefined, usual: number, low: number, high: number): number {
  if (value === undefined) return usual;
  if (Number.isFinite(value) && value >= low && value <= high) return value;
  throw new PenjingError('E_OPTION', `${name} is ${value}; it must be from ${low} to ${high}`);
}
