import { attribute, createRng, DenseTensor, GraphBuilder, Model, tensorType, toDense, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { mergeProducts } from './merge-products.js';

const [WIDTH, BLOCK] = [64, 32];

interface Product {
  readonly columns: number;
  readonly zeroPoints?: boolean;
  readonly level?: number;
  /** Reads the rows of another input. */
  readonly apart?: boolean;
}

/** MatMulNBits of int4, side by side. */
function products(list: readonly Product[]): Model {
  const rng = createRng(7);
  const model = new Model();
  model.opsetImports.set('', 21).set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  const inputs = ['x', 'y'].map((name) => b.input(name, tensorType('float32', [1, 'rows', WIDTH])));
  const bytes = (shape: number[]): DenseTensor => DenseTensor.of('uint8', shape, Uint8Array.from({ length: shape.reduce((a, c) => a * c, 1) }, () => rng.below(256)));
  list.forEach(({ columns, zeroPoints = false, level = 4, apart = false }, i) => {
    const blocks = WIDTH / BLOCK;
    const scales = DenseTensor.of('float32', [columns * blocks], Float32Array.from({ length: columns * blocks }, () => (1 + rng.below(100)) / 800));
    const weights: Value[] = [b.initializer(`w${i}`, bytes([columns, blocks, BLOCK / 2])), b.initializer(`s${i}`, scales)];
    if (zeroPoints) weights.push(b.initializer(`z${i}`, bytes([columns * (blocks / 2)])));
    const attributes = { K: WIDTH, N: columns, bits: 4, block_size: BLOCK, accuracy_level: attribute.int(level) };
    b.output(b.op('MatMulNBits', [inputs[apart ? 1 : 0], ...weights], attributes, { domain: 'com.microsoft' }), `out${i}`, tensorType('float32', [1, 'rows', columns]));
  });
  return model;
}

async function run(model: Model): Promise<number[][]> {
  await using executor = await referenceEngine().load(model);
  const rows = (shift: number): DenseTensor => DenseTensor.of('float32', [1, 3, WIDTH], Float32Array.from({ length: 3 * WIDTH }, (_, i) => Math.sin(i + shift)));
  const out = await executor.run({ x: rows(0), y: rows(9) });
  const names = model.graph.outputs.map(({ name }) => name);
  return await Promise.all(names.map(async (name) => Array.from((await toDense(out[name]!)).data as Float32Array)));
}

const count = (model: Model): number => [...model.graph.nodes()].filter(({ opType }) => opType === 'MatMulNBits').length;

describe('products of the same rows', () => {
  test.each([
    ['three', [{ columns: 24 }, { columns: 8 }, { columns: 8 }], 1],
    ['with zero points', [{ columns: 8, zeroPoints: true }, { columns: 16, zeroPoints: true }], 1],
    ['some with zero points', [{ columns: 8, zeroPoints: true }, { columns: 16 }, { columns: 24 }], 2],
    ['of another accuracy', [{ columns: 8, level: 4 }, { columns: 8, level: 1 }], 2],
    ['of other rows', [{ columns: 8 }, { columns: 8, apart: true }], 2],
  ] as const)('%s give what they gave', async (_, list, left) => {
    const [model, plain] = [products(list), products(list)];
    mergeProducts(model);
    expect(count(model)).toBe(left);
    expect(await run(model)).toEqual(await run(plain));
  });

  test('stay as they are where they take more memory than they may', () => {
    const model = products([{ columns: 24 }, { columns: 8 }]);
    const bytes = 32 * (WIDTH / 2 + (WIDTH / BLOCK) * 4);
    mergeProducts(model, bytes - 1);
    expect(count(model)).toBe(2);
    mergeProducts(model, bytes);
    expect(count(model)).toBe(1);
  });

  test('stay as they are where somebody else reads their weights', () => {
    const model = products([{ columns: 8 }, { columns: 8 }]);
    const b = new GraphBuilder(model.graph);
    const shared = [...model.graph.nodes()][0]!.input(1)!;
    b.output(b.op('Identity', [shared]), 'weights', shared.type ?? tensorType('uint8', [8, 2, 16]));
    mergeProducts(model);
    expect(count(model)).toBe(2);
  });
});
