/** Converted Llamas against what transformers computed with the same checkpoints. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type AttentionForm, convertHuggingFace, type ConvertHuggingFaceOptions, layoutToBytes, type ModelFolder, openHuggingFaceFolder,
  serializeOnnx,
} from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { ortEngine } from '@penjing/runtime';
import { describe, expect, test } from 'vitest';
import { argmax, CachedDecoder, type Ids, idsOf, maxDifference, recorded, rowsOf, steps } from './support/hf-decoder.js';
import { testData } from './tools/test-data.js';

const fixtures = fileURLToPath(new URL('./fixtures/llama', import.meta.url));
const sapling = fileURLToPath(new URL('../models/sapling', import.meta.url));
const forms: readonly AttentionForm[] = ['gqa', 'standard'];
const TOLERANCE = 1e-4;

interface Cases {
  readonly cases: readonly { readonly name: string; readonly covers: readonly string[]; readonly ropeType: string }[];
}
const { cases } = JSON.parse(readFileSync(join(fixtures, 'cases.json'), 'utf8')) as Cases;

async function decoder(folder: ModelFolder, options: ConvertHuggingFaceOptions): Promise<CachedDecoder> {
  const model = await convertHuggingFace(await openHuggingFaceFolder(folder), options);
  return new CachedDecoder(await ortEngine({ threads: 1 }).load(model));
}

describe.each(forms)('%s attention gives the logits of transformers', (attention) => {
  test.each(cases)('$name: $covers', async ({ name, ropeType }) => {
    const folder = join(fixtures, name);
    const { floats, ids } = await recorded(join(folder, 'expected.safetensors'));
    await using llama = await decoder(openFolder(folder), { attention });

    // one pass
    expect(maxDifference(await llama.forward(ids('prefill.input_ids')), floats('prefill.logits'))).toBeLessThan(TOLERANCE);

    // a batch with padding on the left, then one more token of both rows
    llama.reset();
    const batch = { ids: ids('batch.input_ids'), mask: ids('batch.attention_mask'), positions: ids('batch.position_ids') };
    const logits = await llama.forward(batch.ids, batch);
    expect(logits.data.every(Number.isFinite)).toBe(true);
    expect(maxDifference(logits, floats('batch.logits'), batch.mask)).toBeLessThan(TOLERANCE);
    const more = { mask: ids('batch.step.attention_mask'), positions: ids('batch.step.position_ids') };
    expect(maxDifference(await llama.forward(ids('batch.step.input_ids'), more), floats('batch.step.logits'))).toBeLessThan(TOLERANCE);

    // token by token with the cache
    llama.reset();
    expect(maxDifference(await llama.forward(ids('step.prefill.input_ids')), floats('step.prefill.logits'))).toBeLessThan(TOLERANCE);
    const wanted = floats('step.logits');
    for (const [i, token] of steps(ids('step.input_ids')).entries()) {
      expect(maxDifference(await llama.forward(token), rowsOf(wanted, i, i + 1))).toBeLessThan(TOLERANCE);
    }

    // the same tokens in two unequal chunks; where frequencies follow the length of a call, chunks matter
    if (ropeType !== 'dynamic' && ropeType !== 'longrope') {
      llama.reset();
      const all = ids('prefill.input_ids');
      const whole = floats('prefill.logits');
      expect(maxDifference(await llama.forward(idsOf(all, 0, 19)), rowsOf(whole, 0, 19))).toBeLessThan(TOLERANCE);
      expect(maxDifference(await llama.forward(idsOf(all, 19, 44)), rowsOf(whole, 19, 44))).toBeLessThan(TOLERANCE);
    }

    // what generate() writes
    llama.reset();
    expect(await greedy(llama, ids('greedy.input_ids'), 12)).toEqual([...ids('greedy.ids').data].map(Number));
  });
});

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

test.each(cases)('$name: the spelling of transformers 4 makes the same file', async ({ name }) => {
  const folder = openFolder(join(fixtures, name));
  const old: ModelFolder = { ...folder, open: (file) => folder.open(file === 'config.json' ? 'config.old.json' : file) };
  expect((await graphBytes(folder)).equals(await graphBytes(old))).toBe(true);
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

/** The tokens of highest logit, one after the other. */
async function greedy(llama: CachedDecoder, prompt: Ids, count: number): Promise<number[]> {
  const tokens: number[] = [];
  let logits = await llama.forward(prompt);
  for (;;) {
    tokens.push(argmax(logits));
    if (tokens.length === count) return tokens;
    logits = await llama.forward({ data: BigInt64Array.of(BigInt(tokens.at(-1)!)), shape: [1, 1] });
  }
}

/** The bytes of the model file, weights as zeros. */
async function graphBytes(folder: ModelFolder): Promise<Buffer> {
  const model = await convertHuggingFace(await openHuggingFaceFolder(folder));
  const [file] = serializeOnnx(model);
  return Buffer.from(await layoutToBytes({ ...file!, pieces: file!.pieces.filter(({ kind }) => kind === 'bytes') }));
}
