/** Every method whose jobs workers know gives the same bytes from a fleet as from one machine. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { RecipeStep } from '../steps/steps.js';
import { fleetOfFile } from './testing/fleet-recipes.js';

const { folder, run } = fleetOfFile();

const calibration = { data: join(folder, 'data.jsonl'), samples: 20 };
const steps: Readonly<Record<string, { readonly step: RecipeStep; readonly jobs: readonly string[] }>> = {
  awq: { step: { quantize: { bits: 4, method: 'awq', ...calibration } }, jobs: ['awqJob', 'blockJob'] },
  static: { step: { quantizeStatic: { calibrate: 'entropy', ...calibration } }, jobs: ['blockJob'] },
  smooth: { step: { smooth: { multiply: true, ...calibration } }, jobs: ['blockJob'] },
  sparsegpt: { step: { prune: { method: 'sparsegpt', pattern: '2:4', ...calibration } }, jobs: ['blockJob', 'pruneJob'] },
  cluster: { step: { cluster: { bits: 3, method: 'sensitivity', ...calibration } }, jobs: ['blockJob', 'paletteJob'] },
  lowrank: { step: { lowrank: { rank: 8, method: 'svd-llm', ...calibration } }, jobs: ['blockJob', 'factorsJob', 'spectrumJob'] },
};

for (const [name, { step, jobs }] of Object.entries(steps)) {
  it(name, async () => {
    const found = await run(name, step);
    expect(Buffer.compare(found.together, found.alone)).toBe(0);
    expect([...new Set(found.jobs)].sort()).toEqual(jobs);
  });
}
