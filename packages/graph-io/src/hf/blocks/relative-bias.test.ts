import { expect, test } from 'vitest';
import { distanceBucket } from './relative-bias.js';

test('buckets of distances are those of transformers', () => {
  // first distance of every bucket from the ninth on, from MPNetEncoder.relative_position_bucket of transformers 5.23
  const starts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91];
  for (const [bucket, start] of starts.entries()) {
    expect([start, distanceBucket(-start, 32, 128)]).toEqual([start, bucket]);
    if (start > 0) expect([start, distanceBucket(1 - start, 32, 128)]).toEqual([start, bucket - 1]);
    if (start > 0) expect([start, distanceBucket(start, 32, 128)]).toEqual([start, 16 + bucket]);
  }
  expect([distanceBucket(-128, 32, 128), distanceBucket(10_000, 32, 128)]).toEqual([15, 31]);
});
