/** Another sampling rate: band-limited interpolation by windowed sines (J. O. Smith, Digital Audio Resampling), with the window and width of torchaudio. */

/** Zero crossings of the sine on either side, and what part of the band is kept. */
const CROSSINGS = 6;
const ROLLOFF = 0.99;

export function resampleSound(samples: Float32Array, from: number, to: number): Float32Array {
  if (from === to) return samples;
  const divisor = gcd(from, to);
  const [source, target] = [from / divisor, to / divisor];
  const base = Math.min(source, target) * ROLLOFF;
  const width = Math.ceil((CROSSINGS * source) / base);
  const length = Math.ceil((target * samples.length) / source);
  const taps = 2 * width + source;
  const made = new Float32Array(length);
  // one filter for each of the places that a result can have between two samples, made when it is first needed
  const filters = new Map<number, Float64Array>();
  for (let i = 0; i < length; i++) {
    const phase = i % target;
    let filter = filters.get(phase);
    if (!filter) filters.set(phase, (filter = filterOf(phase, source, target, base, width, taps)));
    const start = Math.floor(i / target) * source - width;
    let sum = 0;
    for (let k = Math.max(0, -start), end = Math.min(taps, samples.length - start); k < end; k++) sum += filter[k]! * samples[start + k]!;
    made[i] = sum;
  }
  return made;
}

function filterOf(phase: number, source: number, target: number, base: number, width: number, taps: number): Float64Array {
  return Float64Array.from({ length: taps }, (_, k) => {
    const t = Math.min(CROSSINGS, Math.max(-CROSSINGS, (-phase / target + (k - width) / source) * base));
    const window = Math.cos((t * Math.PI) / CROSSINGS / 2) ** 2;
    const sine = t === 0 ? 1 : Math.sin(t * Math.PI) / (t * Math.PI);
    return (sine * window * base) / source;
  });
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
