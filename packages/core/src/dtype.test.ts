import { expect, it } from 'vitest';
import { typedView } from './dtype.js';

class LikeBuffer extends Uint8Array {
  override slice(start?: number, end?: number): Uint8Array<ArrayBuffer> {
    return this.subarray(start, end);
  }
}

it('views bytes at an odd address, even those whose slice does not copy', () => {
  const bytes = new LikeBuffer(new ArrayBuffer(9), 1, 8);
  bytes.set([0, 0, 128, 63, 0, 0, 0, 64]);
  expect([...(typedView('float32', bytes) as Float32Array)]).toEqual([1, 2]);
});
