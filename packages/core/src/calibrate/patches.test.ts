/** Statistics of convolutions: their patches against a plain walk over the picture, and the product that they stand for. */
import { wasmKernels } from '@penjing/kernels';
import { expect, test } from 'vitest';
import { denseOf, GraphBuilder } from '../builder.js';
import { Model } from '../graph/model.js';
import { tensorType } from '../graph/value-type.js';
import { inlineJobs } from '../job.js';
import { referenceEngine } from '../reference/index.js';
import { createRng } from '../rng.js';
import { calibrateLayers } from './calibrate-layers.js';
import { layerGroups } from './layer-groups.js';
import { weightMatrices } from './weight-matrices.js';

const jobs = inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() });
const CHANNELS = 2;
const [HEIGHT, WIDTH] = [5, 6];

test('patches are what a convolution sums over, at strides, pads and dilations', async () => {
  const rng = createRng(4);
  const values = (count: number): number[] => Array.from({ length: count }, () => rng.normal());
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const x = b.op('Relu', [b.input('x', tensorType('float32', [1, CHANNELS, HEIGHT, WIDTH]))]);
  const form = { strides: [2, 1], pads: [1, 0, 0, 2], dilations: [1, 2] };
  const first = b.op('Conv', [x, b.initializer('first', denseOf('float32', [3, CHANNELS, 3, 2], values(36)))], form);
  const twin = b.op('Conv', [x, b.initializer('twin', denseOf('float32', [1, CHANNELS, 3, 2], values(12)))], form);
  const other = b.op('Conv', [x, b.initializer('other', denseOf('float32', [3, CHANNELS, 1, 1], values(6)))]);
  const groups = b.op('Conv', [other, b.initializer('groups', denseOf('float32', [3, 1, 1, 1], values(3)))], { group: 3 });
  for (const [i, value] of [first, twin, groups].entries()) b.output(value, `y${i}`);
  const { groups: found, skipped } = layerGroups(model, weightMatrices(model, ['conv']).matrices);
  expect(found.map(({ layers }) => layers.map(({ weight }) => weight.name))).toEqual([['first', 'twin'], ['other']]);
  expect(skipped.map(({ weight, reason }) => `${weight.name}: ${reason}`)).toEqual(['groups: it is the kernel of a convolution in groups, which read other channels each']);

  const picture = values(CHANNELS * HEIGHT * WIDTH);
  const samples = [{ x: denseOf('float32', [1, CHANNELS, HEIGHT, WIDTH], picture) }];
  const at = (c: number, i: number, j: number): number => (i < 0 || j < 0 || i >= HEIGHT || j >= WIDTH ? 0 : Math.max(0, picture[(c * HEIGHT + i) * WIDTH + j]!));
  const rows: number[][] = [];
  for (let top = -1; top + 3 <= HEIGHT; top += 2) {
    for (let left = 0; left + 3 <= WIDTH + 2; left++) {
      rows.push(Array.from({ length: CHANNELS * 6 }, (_, k) => at(Math.floor(k / 6), top + Math.floor((k % 6) / 2), left + 2 * (k % 2))));
    }
  }
  let seen = 0;
  for await (const { group, statistics: { gram } } of calibrateLayers(model, { jobs, samples, groups: found, statistics: ['gram'] })) {
    expect(gram.channels).toBe(group.channels);
    if (seen++ > 0) continue;
    expect(gram.rows).toBe(rows.length);
    for (let i = 0; i < 12; i++) for (let j = 0; j < 12; j++) expect(gram.sums[i * 12 + j]).toBeCloseTo(rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0), 3);
  }
  expect(seen).toBe(2);
});
