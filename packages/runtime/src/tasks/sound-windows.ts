/** Where a long sound is cut into windows: at the quietest place of the last part of each. */

/** Of a window, how much of its end is looked at for a place to cut. */
const SEARCHED = 1 / 6;
/** Loudness is that of 1/50 s. */
const FRAMES_PER_SECOND = 50;

/** Starts of windows of at most `length` samples over the whole of the sound. One for an empty sound. */
export function soundWindows(samples: Float32Array, length: number, rate: number): number[] {
  const starts = [0];
  const frame = Math.max(1, Math.floor(rate / FRAMES_PER_SECOND));
  for (let start = 0; samples.length - start > length; ) {
    const end = start + length;
    const from = end - Math.floor(length * SEARCHED);
    let [quietest, least] = [end, Infinity];
    for (let at = from; at + frame <= end; at += frame) {
      let power = 0;
      for (let i = at; i < at + frame; i++) power += samples[i]! ** 2;
      // the last of equals: windows are no shorter than they must be
      if (power <= least) [quietest, least] = [at + (frame >> 1), power];
    }
    starts.push((start = quietest));
  }
  return starts;
}
