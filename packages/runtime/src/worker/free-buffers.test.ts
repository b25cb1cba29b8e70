import { describe, expect, test } from 'vitest';
import { freeBuffers } from './free-buffers.js';

const MB = 2 ** 20;
const held = (): number => process.memoryUsage().arrayBuffers;

describe('freeing buffers', () => {
  test('gives large ones back without a collection', () => {
    const buffer = new ArrayBuffer(64 * MB);
    const before = held();
    freeBuffers([buffer, buffer]);
    expect(buffer.byteLength).toBe(0);
    expect(before - held()).toBeGreaterThan(60 * MB);
  });

  test('leaves small ones, shared ones and what is none', () => {
    const small = new ArrayBuffer(16);
    const shared = new SharedArrayBuffer(MB);
    freeBuffers([small, shared, ['a text'], undefined]);
    expect([small.byteLength, shared.byteLength]).toEqual([16, MB]);
  });
});
