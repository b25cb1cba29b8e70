import { expect, test } from 'vitest';
import { logBucket } from './attention-disentangled.js';

test('buckets of distances are those of transformers', () => {
  // bucket and the first distance in it, from make_log_bucket_position of transformers 5.23 with DeBERTa-v3's 256 buckets
  const starts = [[144, 151], [160, 180], [176, 214], [192, 255], [208, 303], [224, 361], [240, 430], [256, 512], [272, 609]] as const;
  const shape = { span: 256, buckets: 256, maxDistance: 512 };
  for (const [bucket, distance] of starts) {
    expect([distance, logBucket(distance, shape), logBucket(-distance, shape)]).toEqual([distance, bucket, -bucket]);
    expect([distance, logBucket(distance - 1, shape)]).toEqual([distance, bucket - 1]);
  }
  expect([-128, -5, 0, 128].map((distance) => logBucket(distance, shape))).toEqual([-128, -5, 0, 128]);
  expect(logBucket(400, { span: 512, maxDistance: 512 })).toBe(400);
});
