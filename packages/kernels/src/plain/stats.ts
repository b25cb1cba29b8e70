/** Ranges, errors and similarities of float vectors; every sum in float64. */
import type { BlockStats } from '../kernels.js';
import { argumentError, checkSameLength } from '../shared/check.js';

export function minMax(src: Float32Array): { min: number; max: number } {
  let min = Infinity;
  let max = -Infinity;
  for (let i = 0; i < src.length; i++) {
    const x = src[i]!;
    if (x < min) min = x;
    if (x > max) max = x;
  }
  return { min: min + 0, max: max + 0 }; // no negative zero
}

export function absMax(src: Float32Array): number {
  let max = 0;
  for (let i = 0; i < src.length; i++) {
    const x = Math.abs(src[i]!);
    if (x > max) max = x;
  }
  return max;
}

export function errorStats(a: Float32Array, b: Float32Array): BlockStats {
  checkSameLength(a, b);
  let sumSquares = 0;
  let sumSquaredError = 0;
  let maxError = 0;
  let nonFinite = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i]!;
    const error = Math.abs(x - b[i]!);
    if (error < Infinity) {
      sumSquares += x * x;
      sumSquaredError += error * error;
      if (error > maxError) maxError = error;
    } else nonFinite++;
  }
  return { sumSquares, sumSquaredError, maxError, nonFinite };
}

export function cosine(a: Float32Array, b: Float32Array): number {
  checkSameLength(a, b);
  let aa = 0;
  let ab = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i]!;
    const y = b[i]!;
    aa += x * x;
    ab += x * y;
    bb += y * y;
  }
  return cosineOf(aa, ab, bb);
}

/** Cosine from the three products a·a, a·b, b·b. */
export function cosineOf(aa: number, ab: number, bb: number): number {
  if (aa === 0 || bb === 0) return aa === bb ? 1 : 0;
  return Math.max(-1, Math.min(1, ab / Math.sqrt(aa * bb)));
}

export function klDivergence(logitsP: Float32Array, logitsQ: Float32Array): number {
  checkSameLength(logitsP, logitsQ);
  if (logitsP.length === 0) return 0;
  const maxP = minMax(logitsP).max;
  const maxQ = minMax(logitsQ).max;
  let sumP = 0;
  let sumQ = 0;
  let cross = 0; // Σ exp(p − maxP) · (log-odds of p against q, before both normalizers)
  for (let i = 0; i < logitsP.length; i++) {
    const p = logitsP[i]! - maxP;
    const q = logitsQ[i]! - maxQ;
    const weight = Math.exp(p);
    sumP += weight;
    sumQ += Math.exp(q);
    if (weight !== 0) cross += weight * (p - q);
  }
  const divergence = cross / sumP - Math.log(sumP) + Math.log(sumQ);
  return divergence < 0 ? 0 : divergence; // it cannot be negative except by rounding
}

export function argMax(src: Float32Array): number {
  let best = -1;
  let max = -Infinity;
  for (let i = 0; i < src.length; i++) {
    const x = src[i]!;
    if (x > max || (best < 0 && x === max)) {
      max = x;
      best = i;
    }
  }
  return best;
}

export function topK(src: Float32Array, k: number): Uint32Array {
  if (!Number.isSafeInteger(k) || k < 0) throw argumentError(`the ${k} largest values`);
  // A min-heap of the best so far: its root is what the next candidate has to beat.
  const heap: number[] = [];
  const worse = (i: number, j: number): boolean => src[i]! < src[j]! || (src[i] === src[j] && i > j);
  for (let i = 0; i < src.length && k > 0; i++) {
    if (Number.isNaN(src[i])) continue;
    if (heap.length < k) siftUp(heap, heap.push(i) - 1, worse);
    else if (worse(heap[0]!, i)) {
      heap[0] = i;
      siftDown(heap, worse);
    }
  }
  return Uint32Array.from(heap.sort((i, j) => (worse(i, j) ? 1 : -1)));
}

function siftUp(heap: number[], at: number, worse: (i: number, j: number) => boolean): void {
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!worse(heap[at]!, heap[parent]!)) return;
    [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
    at = parent;
  }
}

function siftDown(heap: number[], worse: (i: number, j: number) => boolean): void {
  for (let at = 0; ; ) {
    let child = 2 * at + 1;
    if (child >= heap.length) return;
    if (child + 1 < heap.length && worse(heap[child + 1]!, heap[child]!)) child++;
    if (!worse(heap[child]!, heap[at]!)) return;
    [heap[at], heap[child]] = [heap[child]!, heap[at]!];
    at = child;
  }
}
