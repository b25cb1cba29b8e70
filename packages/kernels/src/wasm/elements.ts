/** Drives element-wise kernels over arrays of any size and place, a chunk at a time. */
import type { TypedArray } from '../kernels.js';
import { bytesOf, CHUNK, STAGE, STAGE_BYTES, type Instance } from './instance.js';

/** A kernel over `count` elements at two positions. */
export type Pair = (first: number, second: number, count: number) => void;

/**
 * Runs `kernel` over `count` elements of two arrays, of `firstBits` and `secondBits` bits each. What lies outside the memory is
 * copied in; the second array is copied out when `writes`. Chunks start at whole bytes.
 */
export function eachChunk(
  instance: Instance, kernel: Pair, count: number,
  first: TypedArray, firstBits: number, second: TypedArray, secondBits: number, writes: boolean,
): void {
  const stageFirst = instance.holds(first) ? undefined : bytesOf(first);
  const stageSecond = instance.holds(second) ? undefined : bytesOf(second);
  const half = STAGE_BYTES / 2;
  const fits = Math.floor((half * 8) / Math.max(firstBits, secondBits));
  const step = Math.min(CHUNK, fits);
  for (let begin = 0; begin < count; begin += step) {
    const n = Math.min(step, count - begin);
    const a = (begin * firstBits) / 8;
    const b = (begin * secondBits) / 8;
    const bEnd = b + Math.ceil((n * secondBits) / 8);
    let firstAt = first.byteOffset + a;
    let secondAt = second.byteOffset + b;
    if (stageFirst) {
      firstAt = STAGE;
      instance.bytes(firstAt, half).set(stageFirst.subarray(a, a + Math.ceil((n * firstBits) / 8)));
    }
    if (stageSecond) {
      secondAt = STAGE + half;
      if (!writes) instance.bytes(secondAt, half).set(stageSecond.subarray(b, bEnd));
    }
    kernel(firstAt, secondAt, n);
    if (stageSecond && writes) stageSecond.set(instance.bytes(secondAt, bEnd - b), b);
  }
}
