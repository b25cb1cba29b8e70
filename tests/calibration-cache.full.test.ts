/** The calibration cache with the steps that the unit tests leave out. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { test } from 'vitest';
import { cachedRuns, chain, expectCached, writeSamples } from './support/cached-runs.js';

test('serves GPTQ, AWQ, Wanda, SparseGPT, SVD-LLM and palettes, to the same bytes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-cache-'));
  try {
    await saveFile(join(folder, 'model.onnx'), serializeOnnx(chain()));
    await writeSamples(join(folder, 'data.jsonl'), 5);
    await expectCached(cachedRuns(folder), {
      gptq: { quantize: { method: 'gptq', blockSize: 16 } },
      awq: { quantize: { method: 'awq', blockSize: 16 } },
      wanda: { prune: { method: 'wanda', sparsity: 0.5 } },
      sparsegpt: { prune: { method: 'sparsegpt', pattern: '2:4' } },
      svd: { lowrank: { method: 'svd-llm', ratio: 0.3 } },
      palette: { cluster: { method: 'sensitivity' } },
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 300_000);
