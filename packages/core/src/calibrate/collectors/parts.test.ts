/** Collectors over parts of the samples: how often they multiply, what memory they take, and that channels stay the same. */
import { wasmKernels } from '@penjing/kernels';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { denseOf } from '../../builder.js';
import type { Products } from '../../linalg/products.js';
import type { DenseTensor } from '../../tensor.js';
import { collectors } from './index.js';

const kernels = wasmKernels();
const CHANNELS = 48;

/** XᵀX by definition, in one tile that is there from the beginning. */
function products(): Products & { calls: number[] } {
  const calls: number[] = [];
  const tile = new Float32Array(CHANNELS ** 2);
  return {
    calls,
    async multiply(a) {
      calls.push(a.rows);
      for (let i = 0; i < a.cols; i++) {
        for (let j = 0; j < a.cols; j++) {
          tile[i * a.cols + j] = 0;
          for (let r = 0; r < a.rows; r++) tile[i * a.cols + j]! += a.data[r * a.cols + i]! * a.data[r * a.cols + j]!;
        }
      }
      return tile;
    },
    multiplyWide: () => Promise.reject(new Error('a Gram is of one precision')),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Small integers, whose sums are exact. */
function rowsOf(count: number, from: number): DenseTensor {
  return denseOf('float32', [count, CHANNELS], Array.from({ length: count * CHANNELS }, (_, i) => ((from + i) * 7) % 11 - 5));
}

function gramOf(tensors: readonly DenseTensor[]): Float32Array {
  const sums = new Float32Array(CHANNELS ** 2);
  for (const { data } of tensors as readonly { readonly data: Float32Array }[]) {
    for (let at = 0; at < data.length; at += CHANNELS) for (let i = 0; i < CHANNELS; i++) for (let j = 0; j < CHANNELS; j++) sums[i * CHANNELS + j]! += data[at + i]! * data[at + j]!;
  }
  return sums;
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('a Gram over parts', () => {
  test('multiplies few rows with those of other parts', async () => {
    const counted = products();
    const gram = collectors.gram('x', { kernels, products: counted });
    const rows = Array.from({ length: 300 }, (_, i) => rowsOf(1, i));
    for (const [i, row] of rows.entries()) {
      await gram.add(row);
      if (i % 8 === 7) await gram.endPart();
    }
    const { sums } = await gram.result();
    expect(sums).toEqual(gramOf(rows));
    expect(counted.calls).toEqual([256, 44]);
  });

  test.each([['many rows', [300, 300, 300]], ['few between many', [300, 20, 10, 400, 250, 30]], ['few before many', [200, 100, 300]], ['many, then few', [260, 270, 3]]])('has room for one matrix: %s', async (_, parts) => {
    const tensors = parts.map((count, i) => rowsOf(count, i));
    const tools = { kernels, products: products() };
    const large: number[] = [];
    vi.stubGlobal('Float32Array', class extends Float32Array {
      constructor(...given: [number]) {
        super(...given);
        if (this.length === CHANNELS ** 2) large.push(this.length);
      }
    });
    const gram = collectors.gram('x', tools);
    for (const tensor of tensors) {
      await gram.add(tensor);
      await gram.endPart();
    }
    const { sums, rows } = await gram.result();
    expect(large).toHaveLength(1);
    vi.unstubAllGlobals();
    expect([...sums]).toEqual([...gramOf(tensors)]);
    expect(rows).toBe(parts.reduce((sum, count) => sum + count, 0));
  });
});

test.each(['channelRange', 'norms', 'magnitudes', 'gram'] as const)('%s refuses other channels in another part', async (name) => {
  for (const [before, after] of [[3, 2], [2, 3]] as const) {
    const part = async (channels: number): Promise<ReturnType<(typeof collectors)[typeof name]>> => {
      const collector = collectors[name]('x', { kernels, products: products() });
      await collector.add(denseOf('float32', [1, channels], Array.from({ length: channels }, () => 1)));
      return collector;
    };
    const all = await part(before);
    await all.endPart();
    const other = (await (await part(after)).pause()) as never;
    await expect(all.resume(other)).rejects.toMatchObject({ code: 'E_SHAPE', message: `x had ${before} channels, now ${after}` });
    const own = await part(before);
    await own.endPart();
    await expect((async () => {
      await own.add(denseOf('float32', [1, after], Array.from({ length: after }, () => 1)));
      await own.endPart();
    })()).rejects.toMatchObject({ code: 'E_SHAPE' });
  }
});
