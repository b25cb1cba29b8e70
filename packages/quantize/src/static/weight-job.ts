/** Rounds one weight to int8 around zero, with one scale or one for each index of an axis, off the calling thread. */
import { type Job, type JobContext, jobModule } from '@penjing/core';
import type { BlockStats } from '@penjing/kernels';

export interface WeightJobInput {
  readonly weights: Float32Array;
  readonly shape: readonly number[];
  /** Axis with a scale for each index; undefined: one scale. */
  readonly axis: number | undefined;
  /** Codes go from minus this to this. */
  readonly highest: number;
  /** Scales that must not be undercut, one for each index: a bias in their unit must fit into int32. */
  readonly leastScales?: Float32Array;
}

export interface WeightJobOutput {
  readonly codes: Int8Array;
  readonly scales: Float32Array;
  readonly stats: BlockStats;
}

export const weightJob: Job<WeightJobInput, WeightJobOutput> = { module: jobModule(import.meta.url, './weight-job'), name: 'weightJob', run: roundWeight };

/** An index that holds nothing but zeros. */
const NO_SCALE = 1;

async function roundWeight({ weights, shape, axis, highest, leastScales }: WeightJobInput, { kernels }: JobContext): Promise<WeightJobOutput> {
  const channels = axis === undefined ? 1 : shape[axis]!;
  const inner = axis === undefined ? weights.length : shape.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const scales = new Float32Array(channels);
  const channelAt = (i: number): number => Math.floor(i / inner) % channels;
  for (let i = 0; i < weights.length; i += inner) scales[channelAt(i)] = Math.max(scales[channelAt(i)]!, kernels.absMax(weights.subarray(i, i + inner)));
  for (let c = 0; c < channels; c++) {
    const scale = Math.fround(scales[c]! / highest);
    // Scales that vanish, or of weights that are not finite, would make every code 0 or the largest.
    scales[c] = Math.max(scale >= 2 ** -126 && Number.isFinite(scale) ? scale : NO_SCALE, leastScales?.[c] ?? 0);
  }
  const codes = new Int8Array(weights.length);
  const rounded = new Float32Array(weights.length);
  for (let i = 0; i < weights.length; i++) {
    const scale = scales[channelAt(i)]!;
    const code = Math.max(-highest, Math.min(highest, roundHalfEven(weights[i]! / scale)));
    codes[i] = code;
    rounded[i] = code * scale;
  }
  return { codes, scales, stats: kernels.errorStats(weights, rounded) };
}

/** As ONNX's QuantizeLinear rounds. */
function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}
