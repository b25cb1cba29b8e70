/** Many weights as few points: neighbours on a logarithmic scale are taken together, their sums kept exactly. */
import type { Points } from './kmeans.js';

/** Sign, exponent and seven bits of mantissa: neighbours differ by less than 1 %, far less than entries of a codebook do. */
const BINS = 1 << 16;

export interface WeightHistogram {
  /** Adds weights, each counting `factors[i % factors.length]` times: once without factors. NaN and infinities are left out. */
  add(weights: Float32Array, factors?: Float64Array): void;
  /** In ascending order. */
  points(): Points;
  /** NaN and infinities seen. */
  readonly nonFinite: number;
}

/** Takes 1.5 MiB, whatever is added. `clear` by taking a new one, or by `points`, which empties it. */
export function weightHistogram(): WeightHistogram {
  const weights = new Float64Array(BINS);
  const sums = new Float64Array(BINS);
  const squares = new Float64Array(BINS);
  let nonFinite = 0;
  return {
    get nonFinite() {
      return nonFinite;
    },
    add(values, factors) {
      const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
      const period = factors?.length ?? 1;
      for (let i = 0, f = 0; i < values.length; i++, f = f + 1 === period ? 0 : f + 1) {
        const bin = bits[i]! >>> 16;
        if ((bin & 0x7f80) === 0x7f80) {
          nonFinite++;
          continue;
        }
        const factor = factors ? factors[f]! : 1;
        const value = values[i]!;
        weights[bin]! += factor;
        sums[bin]! += factor * value;
        squares[bin]! += factor * value * value;
      }
    },
    points() {
      const used: number[] = [];
      // negative numbers have the sign bit, and the larger bits the smaller they are
      for (let bin = BINS - 1; bin >= BINS / 2; bin--) if (weights[bin]! > 0) used.push(bin);
      for (let bin = 0; bin < BINS / 2; bin++) if (weights[bin]! > 0) used.push(bin);
      const take = (from: Float64Array): Float64Array => {
        const taken = Float64Array.from(used, (bin) => from[bin]!);
        from.fill(0);
        return taken;
      };
      nonFinite = 0;
      return { weights: take(weights), sums: take(sums), squares: take(squares) };
    },
  };
}
