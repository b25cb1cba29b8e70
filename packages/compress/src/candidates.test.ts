/** What palettes and zeros are predicted to lose against what the passes record, and passes that treat each weight in its own way. */
import { check } from '@penjing/core';
import { weightLosses } from '@penjing/core/calibrate';
import { referenceEngine } from '@penjing/core/reference';
import { expect, test } from 'vitest';
import { clusterBySensitivity } from './palette/cluster-weights.js';
import { paletteLosses } from './palette/palette-losses.js';
import { sparseGpt } from './sparse/calibrated-prune.js';
import { pruneLosses } from './sparse/prune-losses.js';
import { network, samples, testTools, weightsOf } from './testing.js';

const { jobs } = testTools(referenceEngine());
const ROWS = 180;

test('palettes fit the bytes that are stored, and lose less with more entries', async () => {
  const found = await weightLosses(network(), { jobs, samples, measures: [paletteLosses()] });
  expect(found.map(({ name, metric }) => [name, metric])).toEqual([['table', 'identity'], ['gate', 'hessian'], ['up', 'hessian'], ['down', 'hessian'], ['head', 'hessian']]);
  const layers = [{ match: 'gate', bits: 3 }, { match: ['up', 'table'], bits: 5 }, { match: /^/, method: 'none' as const }];
  const { model, records } = await clusterBySensitivity({ layers }).run(network(), { jobs, samples });
  expect(check(model)).toEqual([]);
  expect(records.filter(({ method }) => method !== 'none').map(({ name }) => name).sort()).toEqual(['gate', 'table', 'up']);
  for (const { name, candidates } of found) {
    for (const [i, { error }] of candidates.entries()) if (i > 0) expect(error).toBeLessThan(candidates[i - 1]!.error);
    const bits = { gate: 3, up: 5, table: 5 }[name];
    const record = records.find((one) => one.name === name)!;
    if (bits === undefined) expect([record.method, record.note]).toEqual(['none', 'excluded']);
    else expect(candidates.find(({ candidate }) => candidate.bits === bits)!.bytes).toBe(record.bytesAfter);
  }
});

test('zeros are predicted as SparseGPT makes them, and each weight gets its own share', async () => {
  const found = await weightLosses(network(), { jobs, samples, measures: [pruneLosses([{ method: 'sparsegpt', sparsity: 0.25 }, { method: 'sparsegpt', sparsity: 0.75 }, { method: 'sparsegpt', pattern: '2:4' }])] });
  // a lookup table is not pruned
  expect(found.find(({ name }) => name === 'table')!.candidates).toEqual([]);
  const layers = [{ match: 'gate', sparsity: 0.75 }, { match: 'up', pattern: '2:4' }, { match: 'head', method: 'none' as const }];
  const { model, records } = await sparseGpt({ sparsity: 0.25, damping: 1e-6, layers }).run(network(), { jobs, samples });
  const wanted = { gate: 0.75, up: 0.5, down: 0.25, head: 0 } as const;
  for (const [name, share] of Object.entries(wanted)) {
    const values = await weightsOf(model, name);
    expect(values.filter((value) => value === 0).length / values.length).toBeCloseTo(share, 2);
  }
  // the first layers see the same activations in both: errors are those of the pass, per row
  for (const [name, at] of [['gate', 1], ['up', 2]] as const) {
    const { candidates } = found.find((one) => one.name === name)!;
    expect(candidates[at]!.error / ((2 * records.find((one) => one.name === name)!.objective!) / ROWS)).toBeCloseTo(1, 0.5);
    expect(candidates[at]!.bytes).toBe(32 * 64 * 4 * (name === 'gate' ? 0.25 : 0.5));
  }
});
