/** Converted Llamas against what transformers computed with the same checkpoints. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AttentionForm } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { greedy, type Ids, idsOf, maxDifference, recorded, rowsOf } from './support/hf-decoder.js';
import { decoderCases, decoderSuite, openDecoder as decoder, TOLERANCE } from './support/hf-decoder-suite.js';
import { testData } from './tools/test-data.js';

const fixtures = fileURLToPath(new URL('./fixtures/llama', import.meta.url));
const sapling = fileURLToPath(new URL('../models/sapling', import.meta.url));
const forms: readonly AttentionForm[] = ['gqa', 'standard'];

const cases = decoderCases('llama');

decoderSuite('llama', cases, forms);

test('standard attention continues padded batches in chunks', async () => {
  const folder = join(fixtures, 'gqa');
  const { floats, ids } = await recorded(join(folder, 'expected.safetensors'));
  await using llama = await decoder(openFolder(folder), { attention: 'standard' });
  const [all, mask, positions] = [ids('batch.input_ids'), ids('batch.attention_mask'), ids('batch.position_ids')];
  const wanted = floats('batch.logits');
  await llama.forward(idsOf(all, 0, 20), { mask: idsOf(mask, 0, 20), positions: idsOf(positions, 0, 20) });
  const rest = await llama.forward(idsOf(all, 20, 36), { mask, positions: idsOf(positions, 20, 36) });
  expect(maxDifference(rest, rowsOf(wanted, 20, 36))).toBeLessThan(TOLERANCE);
});

test('what ONNX Runtime refuses: a padded batch continued by several tokens in gqa form', async () => {
  const folder = join(fixtures, 'gqa');
  const { ids } = await recorded(join(folder, 'expected.safetensors'));
  await using llama = await decoder(openFolder(folder), { attention: 'gqa' });
  const [all, mask, positions] = [ids('batch.input_ids'), ids('batch.attention_mask'), ids('batch.position_ids')];
  await llama.forward(idsOf(all, 0, 20), { mask: idsOf(mask, 0, 20), positions: idsOf(positions, 0, 20) });
  const rest = llama.forward(idsOf(all, 20, 36), { mask, positions: idsOf(positions, 20, 36) });
  await expect(rest).rejects.toThrow(/batch_size must be 1 when sequence_length > 1 and past context is given/);
});

test('float16 stays close', async () => {
  const folder = join(fixtures, 'gqa');
  const { floats, ids } = await recorded(join(folder, 'expected.safetensors'));
  for (const attention of forms) {
    await using llama = await decoder(openFolder(folder), { attention, dtype: 'float16' });
    expect(maxDifference(await llama.forward(ids('prefill.input_ids')), floats('prefill.logits'))).toBeLessThan(0.1);
    llama.reset();
    expect(await greedy(llama, ids('greedy.input_ids'), 12)).toEqual([...ids('greedy.ids').data].map(Number));
  }
});

interface Greedy {
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
}

describe.skipIf(!testData)('stories260k (needs PENJING_TESTDATA)', () => {
  const root = join(testData ?? '', 'models/stories260k');

  test.each(['hf', 'hf-sharded'])('%s', async (kind) => {
    const expected = JSON.parse(readFileSync(join(root, 'expected.json'), 'utf8')) as { readonly cases: readonly Greedy[] };
    const { floats } = await recorded(join(root, 'expected_logits.safetensors'));
    await using llama = await decoder(openFolder(join(root, kind)), {});
    for (const [i, { prompt_ids, greedy_ids }] of expected.cases.entries()) {
      llama.reset();
      const prompt: Ids = { data: BigInt64Array.from(prompt_ids, BigInt), shape: [1, prompt_ids.length] };
      expect(maxDifference(await llama.forward(prompt), floats(`case${i}.logits`))).toBeLessThan(TOLERANCE);
      llama.reset();
      expect(await greedy(llama, prompt, greedy_ids.length)).toEqual(greedy_ids);
    }
  });
});

describe.skipIf(!existsSync(join(sapling, 'expected.json')))('the embedded model', () => {
  interface Expected {
    readonly greedy: readonly { readonly inputIds: readonly number[]; readonly newIds: readonly number[] }[];
  }

  test.each(forms)('continues as transformers does: %s', async (attention) => {
    const expected = JSON.parse(readFileSync(join(sapling, 'expected.json'), 'utf8')) as Expected;
    await using llama = await decoder(openFolder(sapling), { attention });
    for (const { inputIds, newIds } of expected.greedy) {
      llama.reset();
      const prompt: Ids = { data: BigInt64Array.from(inputIds, BigInt), shape: [1, inputIds.length] };
      expect(await greedy(llama, prompt, newIds.length)).toEqual(newIds);
    }
  });
});
