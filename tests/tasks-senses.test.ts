/** Tasks over pictures and sounds against what transformers, PIL and Silero give for the same. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DenseTensor, memorySource, toDense } from '@penjing/core';
import { openSafetensors } from '@penjing/graph-io';
import { loadImageClassifier, loadImageEmbedder, loadSpeechRecognizer, loadVoiceDetector, type Pixels } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { logMel } from '../packages/runtime/src/tasks/log-mel.js';
import { pictureProcessor } from '../packages/runtime/src/tasks/picture-processor.js';
import { preparePicturesJob } from '../packages/runtime/src/tasks/prepare-pictures.js';
import { resampleSound } from '../packages/runtime/src/tasks/resample-sound.js';
import { soundWindows } from '../packages/runtime/src/tasks/sound-windows.js';
import { speechSegments } from '../packages/runtime/src/tasks/speech-segments.js';
import { expectClose, fixturePath, TaskFolders } from './support/task-folder.js';
import { testData } from './tools/test-data.js';

// each loads a model in a thread of its own
vi.setConfig({ testTimeout: 240_000 });

let folders: TaskFolders;
let scratch = '';
beforeAll(async () => {
  folders = await TaskFolders.open();
  scratch = await mkdtemp(join(tmpdir(), 'penjing-senses-'));
});
afterAll(async () => {
  await folders[Symbol.asyncDispose]();
  await rm(scratch, { recursive: true });
});

const ONE = { threads: 1 };
const json = (...parts: string[]): never => JSON.parse(readFileSync(fixturePath(...parts), 'utf8')) as never;

interface GivenPixels {
  readonly width: number;
  readonly height: number;
  readonly channels?: number;
  readonly data: readonly number[];
}
const pixels = ({ width, height, data, channels = 3 }: GivenPixels): Pixels => ({ width, height, channels, data: Uint8Array.from(data) });

async function tensors(path: string): Promise<ReadonlyMap<string, DenseTensor>> {
  const { tensors: found } = await openSafetensors(memorySource(readFileSync(path)));
  return new Map(await Promise.all([...found].map(async ([name, tensor]) => [name, await toDense(tensor)] as const)));
}

const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), a.length === b.length ? 0 : Infinity);

describe('pictures', () => {
  interface Row {
    readonly config: Record<string, unknown>;
    readonly picture: string;
    readonly shape: readonly number[];
    readonly torchvision?: readonly number[];
    readonly pil?: readonly number[];
  }
  const { pictures, rows } = json('tasks', 'pictures', 'expected.json') as { pictures: Record<string, GivenPixels>; rows: Row[] };
  const prepare = (config: Record<string, unknown>, picture: Pixels) => preparePicturesJob.run({ processor: pictureProcessor(config), pictures: [picture], channels: 3 }, {} as never);

  test.each(rows.map((row) => [`${String(row.config['image_processor_type'])} ${JSON.stringify(row.config['size'])}, ${row.picture}`, row] as const))('%s: pixels of PIL exactly, those of torchvision but for its rounding', async (_, { config, picture, shape, pil, torchvision }) => {
    const made = await prepare(config, pixels(pictures[picture]!));
    expect([3, made.height, made.width]).toEqual(shape);
    if (pil) expect(worst(made.values, pil)).toBeLessThan(1e-6);
    if (torchvision) expect(worst(made.values, torchvision)).toBeLessThanOrEqual(1);
  });

  test('old spellings: a size that is one number', () => {
    expect(pictureProcessor({ feature_extractor_type: 'ViTFeatureExtractor', size: 224 }).resize?.to).toEqual({ height: 224, width: 224 });
    expect(pictureProcessor({ feature_extractor_type: 'CLIPFeatureExtractor', size: 224, crop_size: 224 })).toMatchObject({ resize: { to: 224 }, crop: { height: 224, width: 224 } });
  });

  test.each<[object, string, RegExp]>([
    [{ image_processor_type: 'DonutImageProcessor' }, 'E_UNSUPPORTED', /DonutImageProcessor/],
    [{}, 'E_UNSUPPORTED', /without a name/],
    [{ image_processor_type: 'ViTImageProcessor', size: { height: 0, width: 1e9 } }, 'E_CONFIG', /size/],
    [{ image_processor_type: 'ViTImageProcessor', image_std: [0, 0, 0] }, 'E_CONFIG', /image_std/],
    [{ image_processor_type: 'ViTImageProcessor', resample: 9 }, 'E_CONFIG', /resample/],
    [{ image_processor_type: 'CLIPImageProcessor', size: { longest_edge: 9 } }, 'E_UNSUPPORTED', /longest/],
  ])('%j is refused', (config, code, message) => {
    expect(() => pictureProcessor(config as never)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) as string }) as Error);
  });

  test('classes: those of transformers, of pixels and of grey ones', async () => {
    const [{ image, output }] = json('encoders', 'vit-classes', 'pipelines.json') as [{ image: GivenPixels; output: unknown }];
    await using classifier = await loadImageClassifier(await folders.convert('encoders/vit-classes'), ONE);
    const picture = pixels(image);
    expectClose(await classifier.classify([picture, picture], { topK: 3 }), [output, output]);
    const grey = { ...picture, channels: 1, data: picture.data.slice(0, picture.width * picture.height) };
    const coloured = { ...picture, data: Uint8Array.from({ length: picture.data.length }, (_, i) => grey.data[Math.floor(i / 3)]!) };
    expectClose(await classifier.classify([grey]), await classifier.classify([coloured]));
    expect(await classifier.classify([])).toEqual([]);
  });

  test('embeddings: the first state, the mean of all, and what the graph gives itself', async () => {
    const [{ image, output }] = json('encoders', 'dinov2-classes', 'pipelines.json') as [{ image: GivenPixels; output: number[][][] }];
    const folder = await folders.convert('encoders/dinov2-classes', 'image-feature-extraction');
    await using first = await loadImageEmbedder(folder, ONE);
    expectClose(await first.embed([pixels(image)]), [output[0]![0]!]);
    await using mean = await loadImageEmbedder(folder, { ...ONE, pooling: 'mean', normalize: true });
    const [embedding] = await mean.embed([pixels(image)]);
    const average = output[0]![0]!.map((_, i) => output[0]!.reduce((sum, row) => sum + row[i]!, 0) / output[0]!.length);
    const length = Math.hypot(...average);
    expectClose(embedding, average.map((value) => value / length));
  });

  test('what is no picture is named', async () => {
    await using classifier = await loadImageClassifier(await folders.convert('encoders/vit-classes'), ONE);
    const fine = { width: 16, height: 16, channels: 3, data: new Uint8Array(768) };
    await expect(classifier.classify([fine, { ...fine, width: 0 }])).rejects.toMatchObject({ code: 'E_INPUT', message: expect.stringMatching(/picture 1 is no picture: 0 × 16/) as string });
    await expect(classifier.classify([{ ...fine, data: new Uint8Array(3) }])).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(classifier.classify([fine, { ...fine, width: 8, height: 32 }])).rejects.toMatchObject({ code: 'E_INPUT', message: expect.stringMatching(/not resized/) as string });
    await expect(classifier.classify([join(scratch, 'none.png')])).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    await writeFile(join(scratch, 'odd.webp'), 'RIFF....WEBPVP8 ');
    // where sharp is installed; without it, see tasks-pictures
    await expect(classifier.classify([join(scratch, 'odd.webp')])).rejects.toMatchObject({ code: 'E_DATA', message: expect.stringMatching(/odd\.webp/) as string });
    await expect(classifier.classify([Uint8Array.of(0xff, 0xd8, 0xff, 1, 2, 3)])).rejects.toMatchObject({ code: 'E_DATA' });
    expect(await classifier.classify([fine])).toHaveLength(1);
  });
});

describe('sounds', () => {
  test('log-mel spectrograms of WhisperFeatureExtractor', async () => {
    const expected = await tensors(fixturePath('tasks', 'whisper', 'expected.safetensors'));
    const samples = (i: number): Float32Array => Float32Array.from(expected.get(`sound${i}`)!.data as Int32Array, (value) => value / 32768);
    const shape = { rate: 16_000, window: 400, hop: 160, length: 16_000 };
    for (const [name, i, mels] of [['features0', 0, 16], ['features1', 1, 16], ['wide', 0, 80]] as const) {
      expect(worst(logMel(samples(i), { ...shape, mels }), expected.get(name)!.data as Float32Array), name).toBeLessThan(1e-4);
    }
  });

  test('another rate: the formula of torchaudio', () => {
    const { samples, rows } = json('tasks', 'resampled', 'expected.json') as { samples: number[]; rows: { from: number; to: number; values: number[] }[] };
    for (const { from, to, values } of rows) expect(worst(resampleSound(Float32Array.from(samples), from, to), values), `${from} to ${to}`).toBeLessThan(1e-6);
  });

  test('a long sound is cut where it is quiet', () => {
    const samples = Float32Array.from({ length: 5000 }, (_, i) => (i % 950 > 900 ? 0 : 0.5));
    const starts = soundWindows(samples, 1000, 1000);
    expect(starts[0]).toBe(0);
    for (const [i, start] of starts.entries()) {
      expect((starts[i + 1] ?? samples.length) - start).toBeLessThanOrEqual(1000);
      if (i > 0) expect(samples[start]).toBe(0);
    }
    expect(soundWindows(new Float32Array(), 1000, 1000)).toEqual([0]);
  });

  test('Whisper writes the tokens of transformers', async () => {
    const { rows } = json('tasks', 'whisper', 'expected.json') as { rows: { sound: number; language: string | null; task: 'transcribe'; sequence: number[]; text: string; heard: string }[] };
    const expected = await tensors(fixturePath('tasks', 'whisper', 'expected.safetensors'));
    const { eos_token_id: end } = json('tasks', 'whisper', 'generation_config.json') as { eos_token_id: number };
    await using recognizer = await loadSpeechRecognizer(await folders.convert('tasks/whisper'), ONE);
    expect([...recognizer.languages].sort()).toEqual(['de', 'en', 'fr']);
    for (const { sound, language, task, sequence, text, heard } of rows) {
      const samples = Float32Array.from(expected.get(`sound${sound}`)!.data as Int32Array, (value) => value / 32768);
      const found = await recognizer.transcribe({ samples, rate: 16_000 }, { task, ...(language !== null && { language }) });
      expect(found.windows).toHaveLength(1);
      const [window] = found.windows as [(typeof found.windows)[0]];
      // transformers gives the four tokens of the prompt, and the one that ends the text, too
      expect([...sequence.slice(0, 4), ...window.tokens, ...(window.ended ? [end] : [])]).toEqual(sequence);
      expect(found.text).toBe(text.trim());
      expect(window.language).toBe(language ?? heard.slice(2, -2));
    }
    await expect(recognizer.transcribe({ samples: new Float32Array(10), rate: 16_000 }, { language: 'xx' })).rejects.toMatchObject({ code: 'E_OPTION', hint: expect.stringMatching(/de, en, fr/) as string });
    await expect(recognizer.transcribe({ samples: Float32Array.of(0, NaN), rate: 16_000 })).rejects.toMatchObject({ code: 'E_INPUT', message: expect.stringMatching(/sample 1 .* NaN/) as string });
    await expect(recognizer.transcribe({ samples: new Float32Array(10), rate: 1 })).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(recognizer.transcribe({ samples: new Float32Array(10), rate: 16_000 }, { maxNewTokens: 400 })).rejects.toMatchObject({ code: 'E_OPTION' });
    await expect(recognizer.transcribe(new TextEncoder().encode('OggS and so on'))).rejects.toMatchObject({ code: 'E_DECODER' });
    expect((await recognizer.transcribe({ samples: new Float32Array(), rate: 16_000 })).windows).toEqual([]);
    const long = await recognizer.transcribe({ samples: new Float32Array(20_000).fill(0.1), rate: 8000 }, { maxNewTokens: 3 });
    expect(long.windows.length).toBeGreaterThan(2);
    expect(long.windows.at(-1)!.end).toBeCloseTo(2.5, 3);
  });

  test('stretches of speech', () => {
    const probabilities = Float32Array.from({ length: 100 }, (_, i) => (i >= 10 && i < 30 ? 0.9 : i >= 31 && i < 40 ? 0.8 : i === 60 ? 1 : i >= 80 ? 0.7 : 0.1));
    const found = speechSegments(probabilities, { window: 512, rate: 16_000, length: 51_200 });
    // a gap of one window is no end, a single window is no speech
    expect(found).toEqual([{ start: (10 * 512 - 480) / 16_000, end: (40 * 512 + 480) / 16_000 }, { start: (80 * 512 - 480) / 16_000, end: 3.2 }]);
    expect(() => speechSegments(probabilities, { window: 512, rate: 16_000, length: 51_200 }, { threshold: 2 })).toThrow(/from 0 to 1/);
  });
});

describe.skipIf(!testData)('real models', () => {
  const silero = (name: string): string => join(testData!, 'models', 'silero-vad', name);

  test('Silero VAD: its probabilities of twenty seconds', async () => {
    const expected = await tensors(silero('expected_probs_first20s.safetensors'));
    await using detector = await loadVoiceDetector(silero('silero_vad.onnx'));
    const { probabilities, segments, seconds } = await detector.detect(silero('speech_first20s.wav'));
    const wanted = [...expected.values()].find(({ data }) => data.length >= 600)!;
    expect(worst(probabilities.subarray(0, wanted.data.length), wanted.data as Float32Array)).toBeLessThan(1e-4);
    expect(seconds).toBeCloseTo(20, 1);
    expect(segments.length).toBeGreaterThan(2);
    for (const [i, { start, end }] of segments.entries()) {
      expect(end).toBeGreaterThan(start);
      if (i > 0) expect(start).toBeGreaterThanOrEqual(segments[i - 1]!.end);
    }
    await expect(detector.detect({ samples: Float32Array.of(Infinity), rate: 16_000 })).rejects.toMatchObject({ code: 'E_INPUT' });
    expect((await detector.detect({ samples: new Float32Array(), rate: 16_000 })).segments).toEqual([]);
    const stop = new AbortController();
    const onProgress = (): void => stop.abort();
    await expect(detector.detect(silero('speech_first20s.wav'), { signal: stop.signal, onProgress })).rejects.toThrow(/abort/i);
    await expect(loadVoiceDetector(join(testData!, 'models', 'mnist', 'burn-mnist.onnx'))).rejects.toMatchObject({ code: 'E_TASK' });
  });
});
