/** Converted decoders against what transformers computed with the same checkpoints: one suite for all architectures. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DenseTensor, Model } from '@penjing/core';
import {
  type AttentionForm, convertHuggingFace, type ConvertHuggingFaceOptions, layoutToBytes, type ModelFolder, openHuggingFaceFolder,
  serializeOnnx,
} from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { CachedDecoder, greedy, idsOf, maxDifference, recorded, rowsOf, steps } from './hf-decoder.js';
import { TestSession } from './ort-session.js';

/** Largest difference of a logit. */
export const TOLERANCE = 1e-4;

export interface DecoderCase {
  readonly name: string;
  readonly covers: readonly string[];
  readonly ropeType: string;
  /** Whether the folder has the config as transformers 4 wrote it. */
  readonly oldConfig?: boolean;
}

/** The cases of a folder of fixtures. */
export function decoderCases(fixtures: string): readonly DecoderCase[] {
  const { cases } = JSON.parse(readFileSync(join(folderOf(fixtures), 'cases.json'), 'utf8')) as { readonly cases: readonly DecoderCase[] };
  return cases;
}

export async function openDecoder(folder: ModelFolder, options: ConvertHuggingFaceOptions): Promise<CachedDecoder> {
  return cachedDecoder(await convertHuggingFace(await openHuggingFaceFolder(folder), options));
}

/** On ONNX Runtime, on the thread of the test. */
export async function cachedDecoder(model: Model): Promise<CachedDecoder> {
  const session = await TestSession.load(model);
  const inputs = model.graph.inputs.map(({ name, type }) => ({ name, type: type! }));
  return new CachedDecoder({
    inputs,
    run: (feeds) => session.run(feeds as Readonly<Record<string, DenseTensor>>),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  });
}

/** One pass, a padded batch, token by token, in chunks, and greedily, for every case and form. */
export function decoderSuite(fixtures: string, cases: readonly DecoderCase[], forms: readonly AttentionForm[]): void {
  describe.each(forms)('%s attention gives the logits of transformers', (attention) => {
    test.each(cases)('$name: $covers', async ({ name, ropeType }) => {
      const folder = join(folderOf(fixtures), name);
      const { floats, ids } = await recorded(join(folder, 'expected.safetensors'));
      await using decoder = await openDecoder(openFolder(folder), { attention });

      // one pass
      expect(maxDifference(await decoder.forward(ids('prefill.input_ids')), floats('prefill.logits'))).toBeLessThan(TOLERANCE);

      // a batch with padding on the left, then one more token of both rows
      decoder.reset();
      const batch = { ids: ids('batch.input_ids'), mask: ids('batch.attention_mask'), positions: ids('batch.position_ids') };
      const logits = await decoder.forward(batch.ids, batch);
      expect(logits.data.every(Number.isFinite)).toBe(true);
      expect(maxDifference(logits, floats('batch.logits'), batch.mask)).toBeLessThan(TOLERANCE);
      const more = { mask: ids('batch.step.attention_mask'), positions: ids('batch.step.position_ids') };
      expect(maxDifference(await decoder.forward(ids('batch.step.input_ids'), more), floats('batch.step.logits'))).toBeLessThan(TOLERANCE);

      // token by token with the cache
      decoder.reset();
      expect(maxDifference(await decoder.forward(ids('step.prefill.input_ids')), floats('step.prefill.logits'))).toBeLessThan(TOLERANCE);
      const wanted = floats('step.logits');
      for (const [i, token] of steps(ids('step.input_ids')).entries()) {
        expect(maxDifference(await decoder.forward(token), rowsOf(wanted, i, i + 1))).toBeLessThan(TOLERANCE);
      }

      // the same tokens in two unequal chunks; where frequencies follow the length of a call, chunks matter
      if (ropeType !== 'dynamic' && ropeType !== 'longrope') {
        decoder.reset();
        const all = ids('prefill.input_ids');
        const whole = floats('prefill.logits');
        expect(maxDifference(await decoder.forward(idsOf(all, 0, 19)), rowsOf(whole, 0, 19))).toBeLessThan(TOLERANCE);
        expect(maxDifference(await decoder.forward(idsOf(all, 19, 44)), rowsOf(whole, 19, 44))).toBeLessThan(TOLERANCE);
      }

      // what generate() writes
      decoder.reset();
      expect(await greedy(decoder, ids('greedy.input_ids'), 12)).toEqual([...ids('greedy.ids').data].map(Number));
    });
  });

  test.each(cases.filter(({ oldConfig }) => oldConfig !== false))('$name: the spelling of transformers 4 makes the same file', async ({ name }) => {
    const folder = openFolder(join(folderOf(fixtures), name));
    const old: ModelFolder = { ...folder, open: (file) => folder.open(file === 'config.json' ? 'config.old.json' : file) };
    expect((await graphBytes(folder)).equals(await graphBytes(old))).toBe(true);
  });
}

function folderOf(fixtures: string): string {
  return fileURLToPath(new URL(`../fixtures/${fixtures}`, import.meta.url));
}

/** The bytes of the model file, weights as zeros. */
async function graphBytes(folder: ModelFolder): Promise<Buffer> {
  const model = await convertHuggingFace(await openHuggingFaceFolder(folder));
  const [file] = serializeOnnx(model);
  return Buffer.from(await layoutToBytes({ ...file!, pieces: file!.pieces.filter(({ kind }) => kind === 'bytes') }));
}
