/** Converted torch.export programs, simplified: the recorded values of PyTorch, and no more nodes than OnnxSlim leaves. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, memorySource } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { simplify } from '@penjing/core/rewrite';
import { openPt2 } from '@penjing/graph-io';
import { expect, test } from 'vitest';
import { recordedOf, runModel } from './support/pt2-cases.js';
import { slimRecords } from './tools/simplify-corpus.js';

const folder = fileURLToPath(new URL('./fixtures/pt2/models', import.meta.url));
const programs = readdirSync(folder).filter((name) => name.endsWith('.pt2'));
const slim = slimRecords('onnxslim-converted.json');

test.each(programs)('%s', async (file) => {
  const { model, nodesAfter } = await simplify({ engine: referenceEngine() }).run(await openPt2(memorySource(readFileSync(join(folder, file)), file)), {});
  expect(check(model)).toEqual([]);
  const recorded = await recordedOf(readFileSync(join(folder, `${file.split('.')[0]!}.safetensors`)));
  expect(await runModel(referenceEngine(), model, recorded)).toBeLessThan(1e-4);
  expect(nodesAfter).toBeLessThanOrEqual(slim[`pt2/${file}.onnx`]!.after!.nodes);
});
