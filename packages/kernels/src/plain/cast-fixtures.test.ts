/** Casts against values recorded from ONNX, ml_dtypes and numpy. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { FromFloatOptions, NumberDType } from '../kernels.js';
import { floats, readFixture, readJson } from '../../test/safetensors.js';
import { fromFloat32, toFloat32 } from './cast.js';

const recorded = readFixture('casts/casts.safetensors');

/** Options that a recorded tensor name stands for. */
function optionsOf(kind: string): FromFloatOptions | undefined {
  if (kind === 'bits' || kind === 'saturate0') return { saturate: false };
  if (kind === 'saturate1') return { saturate: true };
  const match = /^(up|down|nearest)\.saturate([01])$/.exec(kind);
  if (match) return { round: match[1] as 'up' | 'down' | 'nearest', saturate: match[2] === '1' };
  return undefined;
}

describe('float32 to small floats', () => {
  for (const [name, tensor] of recorded) {
    const slash = name.indexOf('/');
    const dtype = name.slice(0, slash) as NumberDType;
    const options = optionsOf(name.slice(slash + 1));
    if (options === undefined) continue;
    it(name, () => {
      const input = floats(recorded.get(`${dtype}/input`)!);
      const wanted = tensor.bytes.length === input.length ? tensor.bytes : new Uint16Array(tensor.bytes.buffer);
      const got = wanted.slice();
      fromFloat32(dtype, input, got.fill(0), options);
      const wrong = [...got].flatMap((code, i) => (code === wanted[i] ? [] : [[input[i], code, wanted[i]]]));
      expect(wrong).toEqual([]);
    });
  }
});

describe('small floats to float32', () => {
  const recordedCodes = readJson('casts/decode.json') as { decode: Record<string, { count: number; sha256: string }> };
  it.each(Object.entries(recordedCodes.decode))('%s', (name, { count, sha256 }) => {
    const dtype = name as NumberDType;
    const wide = dtype === 'float16' || dtype === 'bfloat16';
    const codes = wide ? Uint16Array.from({ length: count }, (_, i) => i) : Uint8Array.from({ length: count }, (_, i) => i);
    const values = new Float32Array(count);
    toFloat32(dtype, codes, values);
    const bits = new Uint32Array(values.buffer);
    for (let i = 0; i < count; i++) if ((bits[i]! & 0x7fffffff) > 0x7f800000) bits[i] = 0x7fc00000;
    expect(createHash('sha256').update(bits).digest('hex')).toBe(sha256);
  });
});
