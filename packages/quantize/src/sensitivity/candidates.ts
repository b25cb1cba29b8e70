/** Ways to round a weight that are worth comparing, and what each takes in the file. */
import { describeScheme, storedBits, type WeightScheme } from '../scheme.js';

export interface WeightCandidate extends WeightScheme {
  readonly method: 'rtn' | 'hqq' | 'gptq';
}

const grids: readonly WeightScheme[] = [
  { bits: 8, blockSize: 128, symmetric: true },
  { bits: 8, blockSize: 32, symmetric: true },
  { bits: 4, blockSize: 128, symmetric: false },
  { bits: 4, blockSize: 32, symmetric: true },
  { bits: 4, blockSize: 32, symmetric: false },
  // the block sizes that have a fast kernel for 2 bits
  { bits: 2, blockSize: 128, symmetric: false },
  { bits: 2, blockSize: 64, symmetric: false },
  { bits: 2, blockSize: 32, symmetric: false },
];

/** With 8 bits there is nothing to choose between methods; below, GPTQ where data says what reaches the weight. */
export const weightCandidates: readonly WeightCandidate[] = grids.flatMap((scheme) => {
  const methods = scheme.bits === 8 ? (['rtn'] as const) : (['rtn', 'hqq', 'gptq'] as const);
  return methods.map((method) => ({ ...scheme, method }));
});

/** Bytes of codes, float scales and zero points of a matrix (rows, cols), as MatMulNBits stores them. */
export function candidateBytes(scheme: WeightScheme, rows: number, cols: number): number {
  const blocks = Math.ceil(cols / scheme.blockSize);
  const bits = storedBits(scheme);
  const codes = rows * blocks * ((scheme.blockSize * bits) / 8);
  return codes + rows * blocks * 4 + (scheme.symmetric ? 0 : rows * Math.ceil((blocks * bits) / 8));
}

/** `gptq int4 block 32 symmetric`. */
export function describeCandidate(candidate: WeightCandidate): string {
  return `${candidate.method} ${describeScheme(candidate)}`;
}
