/** Files of pictures against the pixels that transformers loads of them: by sharp, and without it. */
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { isPenjingError } from '@penjing/core';
import { loadImageClassifier } from '@penjing/runtime';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runCaptured } from '../apps/cli/src/testing/run-captured.js';
import { exifOrientation, turnUpright } from '../packages/graph-io/src/data/orientation.js';
import { decodeBySharp } from '../packages/runtime/src/tasks/decode-by-sharp.js';
import { preparePicturesJob } from '../packages/runtime/src/tasks/prepare-pictures.js';
import { expectClose, fixturePath, TaskFolders } from './support/task-folder.js';

// each loads a model in a thread of its own
vi.setConfig({ testTimeout: 240_000 });

let folders: TaskFolders;
let scratch = '';
beforeAll(async () => {
  folders = await TaskFolders.open();
  scratch = await mkdtemp(join(tmpdir(), 'penjing-pictures-'));
});
afterAll(async () => {
  await folders[Symbol.asyncDispose]();
  await rm(scratch, { recursive: true });
});

interface Loaded {
  readonly width: number;
  readonly height: number;
  /** RGB, base64. */
  readonly data: string;
}
const expected = JSON.parse(readFileSync(fixturePath('tasks', 'files', 'expected.json'), 'utf8')) as Record<string, Loaded>;
const bytesOf = (name: string): Uint8Array => readFileSync(fixturePath('tasks', 'files', name));
const missing = (): Promise<never> => Promise.reject(new Error("Cannot find package 'sharp'"));

/** Pixels (height, width, 3) from 0 to 255, through the same job as a model's. */
async function pixelsOf(name: string, load?: typeof missing): Promise<{ readonly width: number; readonly height: number; readonly data: Uint8Array }> {
  const picture = await decodeBySharp(name, bytesOf(name), load);
  const { values, width, height } = await preparePicturesJob.run({ processor: { resize: undefined, crop: undefined, scale: 1, mean: [0], std: [1] }, pictures: [picture], channels: 3 }, {} as never);
  return { width, height, data: Uint8Array.from(values, (_, i) => values[(i % 3) * width * height + Math.floor(i / 3)]!) };
}

function differences(a: Uint8Array, b: Uint8Array): { readonly most: number; readonly mean: number } {
  const all = Array.from(a, (value, i) => Math.abs(value - b[i]!));
  return { most: Math.max(...all), mean: all.reduce((sum, value) => sum + value, 0) / all.length };
}

describe('by sharp', () => {
  test.each(Object.keys(expected))('%s: the pixels of transformers, to the last bit', async (name) => {
    const { width, height, data } = await pixelsOf(name);
    expect([width, height]).toEqual([expected[name]!.width, expected[name]!.height]);
    // libvips rounds what PIL cuts at 255
    if (name === 'deep-grey.png') expect(differences(data, Buffer.from(expected[name]!.data, 'base64')).most).toBeLessThanOrEqual(1);
    else expect(Buffer.from(data).toString('base64')).toBe(expected[name]!.data);
  });
});

describe('without sharp', () => {
  // JPEG leaves it to decoders how colours of half the resolution are spread: jpeg-js repeats them, where others interpolate. These two are of one picture, at a mean of 17.8
  const spread = ['subsampled.jpg', 'progressive.jpg'];
  const readable = Object.keys(expected).filter((name) => /\.(png|jpg)$/.test(name));
  test.each(readable)('%s', async (name) => {
    const { width, height, data } = await pixelsOf(name, missing);
    const wanted = Buffer.from(expected[name]!.data, 'base64');
    expect([width, height]).toEqual([expected[name]!.width, expected[name]!.height]);
    const { most, mean } = differences(data, wanted);
    // of 16 bits pngjs rounds, and PIL takes the upper 8
    if (name.endsWith('png')) expect(most).toBeLessThanOrEqual(name.startsWith('deep') ? 1 : 0);
    else if (spread.includes(name)) expect(mean).toBeLessThan(21.4);
    else expect(most).toBeLessThanOrEqual(2);
  });

  test.each(Object.keys(expected).filter((name) => !readable.includes(name)))('%s is refused, saying what to install', async (name) => {
    await expect(decodeBySharp(name, bytesOf(name), missing)).rejects.toMatchObject({ code: 'E_DECODER', message: expect.stringContaining(name) as string, hint: expect.stringMatching(/npm install sharp/) as string });
  });
});

test('a directory of EXIF that is no directory says nothing', () => {
  const little = Uint8Array.from([0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0]);
  expect(exifOrientation(little)).toBe(6);
  for (let length = 0; length < little.length; length++) expect(exifOrientation(little.subarray(0, length))).toBe(1);
  for (const [at, value] of [[0, 0], [4, 255], [7, 255], [8, 255], [9, 255], [18, 9], [18, 0]] as const) expect(exifOrientation(Uint8Array.from(little, (byte, i) => (i === at ? value : byte))), `${at}: ${value}`).toSatisfy((found) => found === 1 || found === 6);
  const picture = { width: 2, height: 1, channels: 1, data: Uint8Array.of(1, 2) };
  expect(turnUpright(picture, 9)).toBe(picture);
  expect(turnUpright(picture, 8)).toEqual({ width: 1, height: 2, channels: 1, data: Uint8Array.of(2, 1) });
});

/** A PNG of grey pixels, all of one value, that is small however many there are. */
function flat(width: number, height: number): Buffer {
  const chunk = (type: string, data: Uint8Array): Buffer => {
    const [length, end] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    end.writeUInt32BE(crc(Buffer.concat([Buffer.from(type), data])));
    return Buffer.concat([length, Buffer.from(type), data, end]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([1, 0, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]), chunk('IHDR', head), chunk('IDAT', deflateSync(Buffer.alloc((Math.ceil(width / 8) + 1) * height))), chunk('IEND', Buffer.alloc(0))]);
}

function crc(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return (value ^ 0xffffffff) >>> 0;
}

describe('what is hostile or broken', () => {
  test.each<[name: string, bytes: () => Uint8Array, code: string]>([
    ['bomb.png', () => flat(9000, 9000), 'E_LIMIT'],
    ['cut.jpg', () => bytesOf('turned1.jpg').subarray(0, 700), 'E_DATA'],
    ['cut.png', () => bytesOf('colours.png').subarray(0, 90), 'E_DATA'],
    ['text.txt', () => Buffer.from('no picture at all'), 'E_DATA'],
    ['empty', () => new Uint8Array(), 'E_DATA'],
    ['drawing.svg', () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'), 'E_DECODER'],
  ])('%s', async (name, bytes, code) => {
    await expect(decodeBySharp(name, bytes())).rejects.toMatchObject({ code, message: expect.stringContaining(name) as string });
  });

  test('whatever is changed in a file, it is pixels or a typed error', async () => {
    const names = Object.keys(expected);
    const changes = fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), { minLength: 1, maxLength: 8 });
    await fc.assert(fc.asyncProperty(fc.constantFrom(...names), changes, fc.boolean(), async (name, places, native) => {
      const bytes = Uint8Array.from(bytesOf(name));
      for (const [place, value] of places) bytes[Math.floor(place * bytes.length)] = value;
      const picture = await decodeBySharp(name, bytes, native ? undefined : missing).catch((error: unknown) => {
        expect([isPenjingError(error), String(error)]).toEqual([true, String(error)]);
      });
      if (picture && 'data' in picture) expect(picture.data.length).toBe(picture.width * picture.height * picture.channels);
      else if (picture) await preparePicturesJob.run({ processor: { resize: undefined, crop: { width: 4, height: 4 }, scale: 1, mean: [0], std: [1] }, pictures: [picture], channels: 3 }, {} as never).catch((error: unknown) => expect([isPenjingError(error), String(error)]).toEqual([true, String(error)]));
    }), { numRuns: 300 });
  });

  test('the same without sharp', async () => {
    const prepare = async (name: string, bytes: Uint8Array) => preparePicturesJob.run({ processor: { resize: undefined, crop: undefined, scale: 1, mean: [0], std: [1] }, pictures: [await decodeBySharp(name, bytes, missing)], channels: 3 }, {} as never);
    await expect(prepare('bomb.png', flat(9000, 9000))).rejects.toMatchObject({ code: 'E_LIMIT' });
    await expect(prepare('cut.jpg', bytesOf('turned1.jpg').subarray(0, 700))).rejects.toMatchObject({ code: 'E_DATA' });
  });
});

test('a model sees a file as it sees its pixels, in whatever format and however it was held', async () => {
  const folder = await folders.convert('encoders/vit-classes');
  await writeFile(join(folder, 'preprocessor_config.json'), JSON.stringify({ image_processor_type: 'ViTImageProcessor', size: { height: 16, width: 16 } }));
  await using classifier = await loadImageClassifier(folder, { threads: 1 });
  const { width, height, data } = expected['colours.png']!;
  const [wanted] = await classifier.classify([{ width, height, channels: 3, data: Buffer.from(data, 'base64') }]);
  const files = ['colours.png', 'turned1.jpg', 'turned6.webp', 'lossless.webp'];
  const found = await classifier.classify(files.map((name) => fixturePath('tasks', 'files', name)));
  expectClose([found[0], found[3]], [wanted, wanted]);
  expect(found[2]).not.toEqual(wanted);
  // a folder holds them too, and is told file by file
  await mkdir(join(scratch, 'album', 'inner'), { recursive: true });
  for (const [i, name] of files.entries()) await writeFile(join(scratch, 'album', i > 1 ? 'inner' : '.', name), bytesOf(name));
  await writeFile(join(scratch, 'album', 'notes.txt'), 'no picture');
  const { stdout } = await runCaptured('run', folder, '--data', join(scratch, 'album'), '--threads', '1', '--json');
  const { results } = JSON.parse(stdout) as { results: { input: string; output: unknown }[] };
  expect(results.map(({ input }) => input)).toEqual(['colours.png', 'inner/lossless.webp', 'inner/turned6.webp', 'turned1.jpg'].map((name) => join(scratch, 'album', name)));
  expectClose(results.map(({ output }) => output), [found[0], found[3], found[2], found[1]]);
});
