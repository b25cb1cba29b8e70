/** The calibration cache with every calibrated step of recipes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { expect, test } from 'vitest';
import { cachedRuns, chain, expectCached, writeSamples } from './support/cached-runs.js';

test('serves every calibrated step of recipes, to the same bytes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-cache-'));
  try {
    await saveFile(join(folder, 'model.onnx'), serializeOnnx(chain()));
    await writeSamples(join(folder, 'data.jsonl'), 5);
    const run = cachedRuns(folder);
    await expectCached(run, {
      static: { quantizeStatic: { calibrate: 'entropy' } },
      gptq: { quantize: { method: 'gptq', blockSize: 16 } },
      awq: { quantize: { method: 'awq', blockSize: 16 } },
      wanda: { prune: { method: 'wanda', sparsity: 0.5 } },
      sparsegpt: { prune: { method: 'sparsegpt', pattern: '2:4' } },
      svd: { lowrank: { method: 'svd-llm', ratio: 0.3 } },
      palette: { cluster: { method: 'sensitivity' } },
    });
    await writeSamples(join(folder, 'others.jsonl'), 6);
    const others = await run({ quantizeStatic: { calibrate: 'entropy' } }, 'others.onnx', 'others.jsonl');
    expect(others.notes.join()).toMatch(/fits nothing/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 300_000);
