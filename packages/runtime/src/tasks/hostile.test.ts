/** Configurations and inputs of strangers end in a result or a typed error. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isPenjingError } from '@penjing/core';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTokenizer } from '../tokenize/tokenizer.js';
import { letterTokenizer } from '../testing/model-folder.js';
import { readEmbeddingConfig } from './embedding-config.js';
import { fourier } from './fourier.js';
import { groupTokens } from './group-tokens.js';
import { pictureProcessor } from './picture-processor.js';
import { resizePicture } from './resize-picture.js';
import { readWhisperConfig } from './whisper-config.js';

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-hostile-'))));
afterAll(() => rm(folder, { recursive: true }));

/** Whatever JSON can say, and what comes near the truth. */
const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.integer(), fc.double(), fc.constantFrom(224, 'ViTImageProcessor', 'CLIPImageProcessor', 'ConvNextImageProcessor', null, -1, 1e300));

async function typed(work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    expect([isPenjingError(error), String(error)]).toEqual([true, String(error)]);
  }
}

test('preprocessor_config.json of pictures', async () => {
  const fields = ['image_processor_type', 'feature_extractor_type', 'size', 'crop_size', 'resample', 'do_resize', 'do_center_crop', 'do_rescale', 'rescale_factor', 'image_mean', 'image_std', 'crop_pct', 'do_pad'];
  const config = fc.record(Object.fromEntries(fields.map((name) => [name, value])), { requiredKeys: [] });
  await fc.assert(fc.asyncProperty(config, (given) => typed(() => pictureProcessor({ image_processor_type: 'ViTImageProcessor', ...given }))), { numRuns: 150 });
});

test('files of Whisper', async () => {
  const inner = join(folder, 'whisper');
  await mkdir(inner, { recursive: true });
  const sound = fc.dictionary(fc.constantFrom('sampling_rate', 'n_fft', 'hop_length', 'chunk_length', 'feature_size'), value);
  const generation = fc.dictionary(fc.constantFrom('decoder_start_token_id', 'eos_token_id', 'no_timestamps_token_id', 'lang_to_id', 'task_to_id', 'suppress_tokens', 'is_multilingual', 'max_initial_timestamp_index', 'prev_sot_token_id'), value);
  await fc.assert(fc.asyncProperty(sound, generation, async (a, b) => {
    await writeFile(join(inner, 'preprocessor_config.json'), JSON.stringify(a));
    await writeFile(join(inner, 'generation_config.json'), JSON.stringify(b));
    await typed(() => readWhisperConfig(inner, { decoder_start_token_id: 1, eos_token_id: 2 }));
  }), { numRuns: 50 });
});

test('modules.json, also where it points out of the folder', async () => {
  const row = fc.oneof(value, fc.record({ type: fc.oneof(value, fc.constantFrom('Pooling', 'a.Normalize')), path: fc.oneof(value, fc.constantFrom('', '1_Pooling')) }));
  await fc.assert(fc.asyncProperty(fc.oneof(value, fc.array(row)), async (given) => {
    await writeFile(join(folder, 'modules.json'), JSON.stringify(given));
    await typed(() => readEmbeddingConfig(folder));
  }), { numRuns: 50 });
  for (const path of ['../..', '/etc', 'a/../../b', 'C:\\']) {
    await writeFile(join(folder, 'modules.json'), JSON.stringify([{ type: 'Transformer', path: '' }, { type: 'Pooling', path }]));
    await expect(readEmbeddingConfig(folder)).rejects.toMatchObject({ code: 'E_CONFIG', message: expect.stringMatching(/outside/) as string });
  }
});

test('spans lie in their text, in order, whatever the text', () => {
  const tokenizer = createTokenizer({ tokenizer: { ...letterTokenizer, model: { ...letterTokenizer.model, unk_token: '</s>' } }, config: {} });
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'abc .,\nÄ日👍') }), (text) => {
    const [input] = tokenizer.encodeInputs([text]);
    const spans = tokenizer.spans(text, input!.tokens);
    let at = 0;
    for (const { start, end } of spans) {
      expect(start).toBeGreaterThanOrEqual(at);
      expect(end).toBeGreaterThanOrEqual(start);
      at = end;
    }
    expect(at).toBeLessThanOrEqual(text.length);
    const scores = Float64Array.of(0.4, 0.6);
    const tokens = spans.map((span, i) => ({ ...span, token: input!.tokens[i]!, scores, unknown: false }));
    for (const aggregation of ['none', 'simple', 'first', 'average', 'max'] as const) {
      for (const span of groupTokens(text, tokens, { aggregation, labels: ['O', 'B-X'], wordAware: false })) expect(span.text).toBe(text.slice(span.start, span.end));
    }
  }), { numRuns: 80 });
});

test('an unknown word is one span, also where a known one is in it', () => {
  const vocabulary = ['[UNK]', 'tree', '##s', 'a', ','];
  const wordpiece = {
    version: '1.0', added_tokens: [], normalizer: { type: 'BertNormalizer', lowercase: true, clean_text: true, handle_chinese_chars: true, strip_accents: null }, pre_tokenizer: { type: 'BertPreTokenizer' }, post_processor: null,
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])) },
  };
  const tokenizer = createTokenizer({ tokenizer: wordpiece, config: {} });
  const text = 'xtree Trees, zz qq a日本,tree';
  const [input] = tokenizer.encodeInputs([text]);
  expect(tokenizer.spans(text, input!.tokens).map(({ start, end }) => text.slice(start, end))).toEqual(['xtree', 'Tree', 's', ',', 'zz', 'qq', 'a', '日', '本', ',', 'tree']);
});

test('resizing keeps what is even even, and stays within bounds', () => {
  const edge = fc.integer({ min: 1, max: 40 });
  fc.assert(fc.property(edge, edge, edge, edge, fc.constantFrom('nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'), fc.integer({ min: 0, max: 255 }), (width, height, toWidth, toHeight, filter, grey) => {
    const made = resizePicture({ width, height, channels: 1, data: new Uint8Array(width * height).fill(grey) }, toWidth, toHeight, filter);
    expect(made.data).toHaveLength(toWidth * toHeight);
    expect(made.data.every((pixel) => pixel === grey)).toBe(true);
  }), { numRuns: 80 });
});

test('Fourier transforms of any length are the sums they stand for', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 60 }), fc.infiniteStream(fc.double({ min: -1, max: 1, noNaN: true })), (length, stream) => {
    const given = Float64Array.from({ length }, () => stream.next().value as number);
    const [real, imaginary] = [given.slice(), new Float64Array(length)];
    fourier(length).transform(real, imaginary);
    for (let k = 0; k < length; k++) {
      let [x, y] = [0, 0];
      for (const [i, sample] of given.entries()) {
        x += sample * Math.cos((2 * Math.PI * i * k) / length);
        y -= sample * Math.sin((2 * Math.PI * i * k) / length);
      }
      expect(Math.hypot(real[k]! - x, imaginary[k]! - y)).toBeLessThan(1e-10);
    }
  }), { numRuns: 60 });
});
