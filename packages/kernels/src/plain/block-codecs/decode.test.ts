/** Block formats against the values that gguf-py gives, and the repacked form against the decoded one. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { floats, readFixture, readJson } from '../../../test/safetensors.js';
import { type BlockCodecName, blockCodecs } from '../../shared/block-codecs.js';
import { wasmKernels } from '../../wasm/index.js';
import { plainKernels } from '../index.js';

const recorded = readFixture('gguf/blocks.safetensors');
const { sha256 } = readJson('gguf/blocks.json') as { sha256: Record<BlockCodecName, string> };
const names = Object.keys(blockCodecs) as BlockCodecName[];
const kernels = [plainKernels(), wasmKernels()];

const blocksOf = (codec: BlockCodecName): Uint8Array => recorded.get(`${codec}.blocks`)!.bytes;

test('every format is recorded', () => {
  expect(Object.keys(sha256).sort()).toEqual([...names].sort());
});

describe.each(kernels)('$name', (kernel) => {
  test.each(names)('%s is decoded bit for bit', (codec) => {
    const src = blocksOf(codec);
    const { blockSize, blockBytes } = blockCodecs[codec];
    const dst = new Float32Array((src.length / blockBytes) * blockSize);
    kernel.decodeBlocks({ codec, src, dst });
    expect(dst.subarray(0, blockSize)).toEqual(floats(recorded.get(`${codec}.first`)!));
    expect(createHash('sha256').update(new Uint8Array(dst.buffer)).digest('hex')).toBe(sha256[codec]);
  });

  test.each(names)('%s is repacked without rounding', (codec) => {
    const src = blocksOf(codec);
    const { blockSize, blockBytes, subSize, bits, corrected } = blockCodecs[codec];
    const count = (src.length / blockBytes) * blockSize;
    const wanted = new Float32Array(count);
    kernel.decodeBlocks({ codec, src, dst: wanted });
    const values = new Uint8Array((count * bits) / 8);
    const scales = new Float32Array(count / subSize);
    const correction = corrected ? new Float32Array(scales.length) : undefined;
    kernel.repackBlocks({ codec, src, values, scales, ...(correction && { correction }) });
    let worst = 0;
    for (let i = 0; i < count; i++) {
      const code = bits === 8 ? values[i]! : (values[i >> 1]! >> ((i & 1) * 4)) & 15;
      const sub = Math.floor(i / subSize);
      const scale = scales[sub]!;
      const product = Math.fround(scale * (code - 2 ** (bits - 1)));
      const value = correction ? product + correction[sub]! : product;
      // Without a correction the same bits; with one, the rounding of sums that are as large as scale · code.
      const magnitude = correction ? Math.abs(product) + Math.abs(correction[sub]!) : 0;
      worst = Math.max(worst, Math.abs(value - wanted[i]!) - magnitude * 2 ** -23);
    }
    expect(worst).toBeLessThanOrEqual(0);
  });

  test.each(names.filter((name) => blockCodecs[name].bits === 8))('%s is cut into two planes of 4 bits without rounding', (codec) => {
    const src = blocksOf(codec);
    const { blockSize, blockBytes, subSize, corrected } = blockCodecs[codec];
    const count = (src.length / blockBytes) * blockSize;
    const subs = count / subSize;
    const correction = corrected ? { correction: new Float32Array(subs) } : {};
    const whole = { values: new Uint8Array(count), scales: new Float32Array(subs), ...correction };
    const [high, low] = [0, 1].map(() => ({ values: new Uint8Array(count / 2), scales: new Float32Array(subs) })) as [typeof whole, typeof whole];
    kernel.repackBlocks({ codec, src, ...whole });
    kernel.repackBlocks({ codec, src, ...high, low, ...correction });
    for (let i = 0; i < count; i++) {
      const nibble = ({ values }: typeof whole): number => (values[i >> 1]! >> ((i & 1) * 4)) & 15;
      if (16 * nibble(high) + nibble(low) !== whole.values[i]) expect.fail(`code ${i}`);
    }
    expect(low.scales).toEqual(whole.scales);
    expect(high.scales).toEqual(whole.scales.map((scale) => 16 * scale));
    expect(() => kernel.repackBlocks({ codec: 'Q4_0', src: blocksOf('Q4_0'), ...high, low })).toThrow(/4 bits/);
  });

  test.each(['Q8_0', 'Q4_0'] as const)('%s is written as gguf-py writes it', (codec) => {
    const src = floats(recorded.get('write.input')!);
    const wanted = recorded.get(`write.${codec}`)!.bytes;
    const dst = new Uint8Array(wanted.length);
    const stats = kernel.encodeBlocks({ codec, src, dst });
    expect(Buffer.from(dst).equals(wanted)).toBe(true);
    const back = new Float32Array(src.length);
    kernel.decodeBlocks({ codec, src: dst, dst: back });
    const measured = kernel.errorStats(src, back);
    expect(Math.abs(stats.sumSquaredError / measured.sumSquaredError - 1)).toBeLessThan(1e-6);
    expect(Math.abs(stats.sumSquares / measured.sumSquares - 1)).toBeLessThan(1e-6);
    expect(Math.abs(stats.maxError / measured.maxError - 1)).toBeLessThan(1e-6);
    expect(kernel.encodeBlocks({ codec, src: new Float32Array(32).fill(NaN), dst: dst.subarray(0, blockCodecs[codec].blockBytes) }).nonFinite).toBe(32);
    expect(() => kernel.encodeBlocks({ codec, src, dst: dst.subarray(1) })).toThrow(/whole blocks/);
  });

  test('wrong sizes are refused', () => {
    const src = blocksOf('Q4_K');
    expect(() => kernel.decodeBlocks({ codec: 'Q4_K', src: src.subarray(1), dst: new Float32Array(256) })).toThrow(/whole blocks of Q4_K/);
    expect(() => kernel.decodeBlocks({ codec: 'Q4_K', src, dst: new Float32Array(256) })).toThrow(/floats/);
    expect(() => kernel.decodeBlocks({ codec: 'Q9' as BlockCodecName, src, dst: new Float32Array(256) })).toThrow(/Q9/);
    const values = new Uint8Array(128);
    const one = src.subarray(0, 144);
    expect(() => kernel.repackBlocks({ codec: 'Q4_K', src: one, values, scales: new Float32Array(8) })).toThrow(/correction/);
    expect(() => kernel.repackBlocks({ codec: 'Q4_K', src: one, values: new Uint8Array(1), scales: new Float32Array(8), correction: new Float32Array(8) })).toThrow(/values/);
  });
});
