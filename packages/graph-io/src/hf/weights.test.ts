import { DenseTensor, PenjingError, type Tensor } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import { type Naming, Weights } from './weights.js';

const table = DenseTensor.of('float32', [2, 2], Float32Array.of(1, 2, 3, 4));
const twin = DenseTensor.of('float32', [2, 2], Float32Array.of(1, 2, 3, 4));
const other = DenseTensor.of('float32', [2, 2], Float32Array.of(1, 2, 3, 5));

const weights = (tensors: Record<string, Tensor>, naming: Naming = {}): Weights =>
  new Weights({ tensors: new Map(Object.entries(tensors)), metadata: new Map() }, 'float32', naming);

describe('tied names', () => {
  test('one stored name serves both', async () => {
    for (const stored of ['table', 'head']) {
      const some = weights({ [stored]: table });
      expect(await some.tie('table', 'head')).toBe(true);
      expect(some.take('table', [2, 2])).toBe(table);
      expect(() => some.assertAllTaken([])).not.toThrow();
    }
  });

  test('equal copies are one', async () => {
    const both = weights({ table, head: twin });
    expect(await both.tie('table', 'head')).toBe(true);
    both.take('table', [2, 2]);
    expect(() => both.assertAllTaken([])).not.toThrow();
  });

  test('different ones stay two', async () => {
    const both = weights({ table, head: other });
    expect(await both.tie('table', 'head')).toBe(false);
    expect(both.take('head', [2, 2])).toBe(other);
  });
});

test('integers are no weights', () => {
  const packed = DenseTensor.of('int32', [1], Int32Array.of(7));
  expect(() => weights({ packed }).take('packed', [1])).toThrow(PenjingError);
});

describe('names of the checkpoint', () => {
  test('without the module of the network get it, all or none', () => {
    expect(weights({ 'embed.weight': table }, { backbone: 'net' }).take('net.embed.weight', [2, 2])).toBe(table);
    const headed = weights({ 'net.embed.weight': table, 'head.weight': other }, { backbone: 'net' });
    expect(headed.take('head.weight', [2, 2])).toBe(other);
    expect(() => headed.take('net.head.weight', [2, 2])).toThrow(/no tensor net.head.weight/);
  });

  test('are found in another spelling, unless both are stored', () => {
    const naming: Naming = { backbone: 'net', renamed: [[/^net\.old\./, 'net.new.']] };
    expect(weights({ 'old.weight': table }, naming).take('net.new.weight', [2, 2])).toBe(table);
    for (const stored of [{ 'net.old.weight': other, 'net.new.weight': table }, { 'net.new.weight': table, 'net.old.weight': other }]) {
      const both = weights(stored, naming);
      expect(both.take('net.new.weight', [2, 2])).toBe(table);
      expect(() => both.assertAllTaken([])).not.toThrow();
    }
  });

  test('of norms may be those of TensorFlow', () => {
    const old = weights({ 'a.LayerNorm.gamma': table, 'a.LayerNorm.beta': other, 'layer_scale.gamma': twin });
    expect([old.take('a.LayerNorm.weight', [2, 2]), old.take('a.LayerNorm.bias', [2, 2])]).toEqual([table, other]);
    expect(old.take('layer_scale.gamma', [2, 2])).toBe(twin);
  });
});
