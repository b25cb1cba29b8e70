/** Students by width of the architectures that the converter knows: sound graphs that run, or a refusal by name. */
import { join } from 'node:path';
import { assertSound, cloneModel, denseOf, inferShapes, inlineJobs, type Model } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { pruneWidth, structuredPrune } from '@penjing/compress';
import { convertHuggingFaceGraphs, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { plainKernels } from '@penjing/kernels';
import { randomFeeds } from '@penjing/runtime';
import { expect, test } from 'vitest';

const jobs = inlineJobs({ engine: referenceEngine(), kernels: plainKernels() });

async function graphOf(fixture: string): Promise<Model> {
  const graphs = await convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(join(import.meta.dirname, 'fixtures', fixture))), {});
  return [...graphs.values()][0]!;
}

const elements = (model: Model): number => [...model.graph.initializers.values()].reduce((sum, { tensor }) => sum + (tensor!.dtype === 'float32' ? tensor!.byteLength / 4 : 0), 0);

test.each(['decoders/gpt2', 'decoders/qwen3', 'decoders/gemma2', 'encoders/bert-classes', 'encoders/modernbert-mlm', 'encoders/llama-classes', 'sentences/qwen3-last', 'encoders/t5-encoder'])('%s becomes narrower in all of its parts', async (fixture) => {
  const model = await graphOf(fixture);
  const before = elements(model);
  const { model: narrow, sizes } = await pruneWidth({ ratio: 0.5 }).run(cloneModel(model), { jobs });
  inferShapes(narrow);
  assertSound(narrow);
  const { hidden } = sizes!;
  expect(hidden!.after).toBe(hidden!.before / 2);
  expect(elements(narrow)).toBeLessThan(0.56 * before);
  await using executor = await referenceEngine().load(narrow);
  const dims = { batch_size: 2, sequence_length: 5, total_sequence_length: 5, past_sequence_length: 0, encoder_sequence_length: 5 };
  const ids = denseOf('int64', [2, 5], [5, 6, 7, 8, 9, 9, 8, 7, 6, 5]);
  const fetched = await executor.run({ ...randomFeeds(executor.inputs, { dims, seed: 1 }), input_ids: ids });
  for (const tensor of Object.values(fetched)) if (tensor.dtype === 'float32') expect((tensor.data as Float32Array).every(Number.isFinite)).toBe(true);
}, 30_000);

test.each([['decoders/mixtral', /ScatterND .*has no rule/], ['encoders/vit-classes', /Expand .*is computed/]] as const)('%s is refused by name', async (fixture, message) => {
  await expect(structuredPrune({ structure: 'hidden', ratio: 0.5 }).run(await graphOf(fixture), { jobs })).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO', message: expect.stringMatching(message) as string });
});
