import { expect, test } from 'vitest';
import { heldZeros } from './held-zeros.js';

const grid = (weight: string, lowest: number, highest: number): { weight: string; lowest: number; highest: number } => ({ weight, lowest, highest });
const pruned = new Map([['float', 0.5], ['int2', 0.55], ['int4', 0.12], ['int4 of a half', 0.56], ['int8', 0.06]]);
const grids = [grid('int2', -2, 1), grid('int4', -8, 7), grid('int4 of a half', -8, 7), grid('int8', -128, 127)];

test('zeros of rounded weights are free, those of pruned ones stay', () => {
  expect(heldZeros(pruned, grids, undefined)).toEqual(['float', 'int4 of a half']);
  expect(heldZeros(pruned, grids, 'hold')).toEqual([...pruned.keys()]);
});
