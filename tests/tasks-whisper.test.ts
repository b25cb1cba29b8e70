/** Whisper over sounds longer than its window, against what transformers writes of them. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DenseTensor, memorySource, toDense } from '@penjing/core';
import { openSafetensors } from '@penjing/graph-io';
import { loadSpeechRecognizer, type SpeechRecognizer, type TranscribedWindow } from '@penjing/runtime';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runCaptured } from '../apps/cli/src/testing/run-captured.js';
import { logPowers, peakOf, relativeTo } from '../packages/runtime/src/tasks/log-mel.js';
import { timeSegments } from '../packages/runtime/src/tasks/time-segments.js';
import { applyTimestampRules } from '../packages/runtime/src/tasks/timestamp-rules.js';
import { fixturePath, TaskFolders } from './support/task-folder.js';

vi.setConfig({ testTimeout: 240_000 });

interface Row {
  readonly sound: number;
  readonly options: { readonly language: string | null; readonly task: 'transcribe' | 'translate'; readonly condition_on_prev_tokens?: boolean; readonly logprob_threshold?: number | null; readonly no_speech_threshold?: number | null; readonly compression_ratio_threshold?: number };
  readonly segments: readonly { readonly start: number; readonly end: number; readonly tokens: readonly number[] }[];
  readonly windows: readonly { readonly logProbability: number; readonly compressionRatio: number; readonly noSpeech?: number }[];
}
const { rows } = JSON.parse(readFileSync(fixturePath('tasks', 'whisper-long', 'expected.json'), 'utf8')) as { rows: Row[] };
const OFF = { compressionRatioThreshold: false, logProbabilityThreshold: false, noSpeechThreshold: false } as const;

let folders: TaskFolders;
let folder = '';
let scratch = '';
let recognizer: SpeechRecognizer;
let recorded: ReadonlyMap<string, DenseTensor>;
beforeAll(async () => {
  folders = await TaskFolders.open();
  scratch = await mkdtemp(join(tmpdir(), 'penjing-whisper-'));
  folder = await folders.convert('tasks/whisper-long');
  recognizer = await loadSpeechRecognizer(folder, { threads: 1 });
  const { tensors } = await openSafetensors(memorySource(readFileSync(fixturePath('tasks', 'whisper-long', 'expected.safetensors'))));
  recorded = new Map(await Promise.all([...tensors].map(async ([name, tensor]) => [name, await toDense(tensor)] as const)));
}, 240_000);
afterAll(async () => {
  await recognizer[Symbol.asyncDispose]();
  await folders[Symbol.asyncDispose]();
  await rm(scratch, { recursive: true });
});

const soundOf = (number: number) => ({ samples: Float32Array.from(recorded.get(`sound${number}`)!.data as Int16Array, (value) => value / 32768), rate: 16_000 });

test('the spectrogram of a long sound, part by part', () => {
  const { samples } = soundOf(0);
  const shape = { rate: 16_000, window: 400, hop: 160, mels: 16, length: 16_000 };
  const frames = Math.floor(samples.length / 160);
  const peak = peakOf(logPowers({ samples, offset: 0, total: samples.length }, shape, 0, frames));
  const wanted = recorded.get('features0')!;
  expect(wanted.shape).toEqual([16, frames]);
  for (let first = 0; first < frames; first += 100) {
    const count = Math.min(100, frames - first);
    const from = Math.max(0, first * 160 - 400);
    const made = relativeTo(peak, logPowers({ samples: samples.slice(from, (first + count) * 160 + 400), offset: from, total: samples.length }, shape, first, count));
    for (let m = 0; m < 16; m++) for (let i = 0; i < count; i++) expect(Math.abs(made[m * count + i]! - (wanted.data as Float32Array)[m * frames + first + i]!)).toBeLessThan(1e-4);
  }
});

test.each(rows.map((row, i) => [i, JSON.stringify(row.options), row] as const))('run %i, %s: the segments of transformers', async (_, __, { sound, options, segments, windows }) => {
  const seen: TranscribedWindow[] = [];
  const found = await recognizer.transcribe(soundOf(sound), {
    timestamps: true, temperatures: [0], task: options.task, ...(options.language !== null && { language: options.language }), conditionOnPrevious: options.condition_on_prev_tokens,
    compressionRatioThreshold: options.compression_ratio_threshold ?? false, logProbabilityThreshold: options.logprob_threshold ?? false, noSpeechThreshold: options.no_speech_threshold ?? false,
    onWindow: (window) => seen.push(window),
  });
  expect(found.segments.map(({ tokens }) => tokens)).toEqual(segments.map(({ tokens }) => tokens));
  for (const [i, { start, end }] of segments.entries()) {
    expect(found.segments[i]!.start).toBeCloseTo(start, 6);
    expect(found.segments[i]!.end).toBeCloseTo(end, 6);
  }
  expect(seen).toEqual(found.windows);
  expect(found.windows).toHaveLength(windows.length);
  for (const [i, wanted] of windows.entries()) {
    const { averageLogProbability, compressionRatio, noSpeechProbability } = found.windows[i]!;
    expect(averageLogProbability).toBeCloseTo(wanted.logProbability, 3);
    // Node's zlib may choose other matches
    expect(Math.abs(compressionRatio / wanted.compressionRatio - 1)).toBeLessThan(0.1);
    if (wanted.noSpeech !== undefined) expect(Math.abs(noSpeechProbability! / wanted.noSpeech - 1)).toBeLessThan(1e-2);
  }
  expect(found.text).toContain(found.segments[0]!.text.slice(0, 3));
});

test('a long sound has times without being asked, a short one when asked, and quiet cuts can be had', async () => {
  const long = await recognizer.transcribe(soundOf(0), { language: 'en', temperatures: [0], ...OFF });
  expect(long.segments.map(({ tokens }) => tokens)).toEqual(rows[0]!.segments.map(({ tokens }) => tokens));
  const short = await recognizer.transcribe(soundOf(2), { language: 'en' });
  expect([short.segments, short.windows.length]).toEqual([[], 1]);
  const cut = await recognizer.transcribe(soundOf(0), { language: 'en', timestamps: false });
  expect([cut.segments, cut.windows.length > 3]).toEqual([[], true]);
  const half = await recognizer.transcribe({ samples: soundOf(2).samples.slice(0, 7000), rate: 16_000 }, { timestamps: true, language: 'en', temperatures: [0], ...OFF });
  expect(half.windows.at(-1)!.end).toBeLessThanOrEqual(7000 / 16_000);
  expect((await recognizer.transcribe({ samples: new Float32Array(), rate: 16_000 }, { timestamps: true })).segments).toEqual([]);
});

test('poor texts are tried again at higher temperatures, the same for the same seed', async () => {
  const options = { language: 'en', compressionRatioThreshold: 1.35, logProbabilityThreshold: false, noSpeechThreshold: false } as const;
  const [first, same, other] = [await recognizer.transcribe(soundOf(2), { ...options, timestamps: true, seed: 1 }), await recognizer.transcribe(soundOf(2), { ...options, timestamps: true, seed: 1 }), await recognizer.transcribe(soundOf(2), { ...options, timestamps: true, seed: 2 })];
  expect(first).toEqual(same);
  expect(first.windows[0]!.temperature).toBeGreaterThan(0);
  expect(first.segments).not.toEqual(other.segments);
  // a text that passes at the first try stays the likeliest
  const easy = await recognizer.transcribe(soundOf(2), { ...options, compressionRatioThreshold: 100, timestamps: true });
  expect(easy.segments.map(({ tokens }) => tokens)).toEqual(rows[3]!.segments.map(({ tokens }) => tokens));
});

test('options out of range, and a signal between windows', async () => {
  for (const options of [{ temperatures: [] }, { temperatures: [3] }, { logProbabilityThreshold: 1 }, { noSpeechThreshold: 2 }, { compressionRatioThreshold: -1 }, { seed: -1 }, { seed: 0.5 }]) {
    await expect(recognizer.transcribe(soundOf(2), options), JSON.stringify(options)).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining(Object.keys(options)[0]!) as string });
  }
  const stop = new AbortController();
  let windows = 0;
  await expect(recognizer.transcribe(soundOf(0), { signal: stop.signal, onWindow: () => (windows++, stop.abort()) })).rejects.toThrow(/abort/i);
  expect(windows).toBe(1);
  await using plain = await loadSpeechRecognizer(await folders.convert('tasks/whisper'), { threads: 1 });
  await expect(plain.transcribe(soundOf(2), { timestamps: true })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringMatching(/does not know times/) as string });
});

test('times come in pairs and never go back', () => {
  const rules = { begin: 6, noTimestamps: 5, endToken: 3, maxInitial: 1 };
  const allowed = (written: number[], likely: number): number[] => {
    const row = new Float32Array(10).fill(-20);
    row[likely] = 10;
    applyTimestampRules(row, written, rules);
    return [...row.keys()].filter((token) => row[token]! > -Infinity);
  };
  expect(allowed([], 0)).toEqual([6, 7]);
  expect(allowed([7], 0)).toEqual([0, 1, 2, 3, 4]);
  expect(allowed([7, 1], 0)).toEqual([0, 1, 2, 3, 4, 8, 9]);
  expect(allowed([7, 1], 9)).toEqual([8, 9]);
  expect(allowed([7, 1, 8], 3)).toEqual([3, 4, 8, 9]);
  expect(allowed([7, 1, 8, 8], 0)).toEqual([0, 1, 2, 3, 4]);
});

test('segments lie between pairs; what is cut off is heard again', () => {
  const cut = (tokens: number[]) => timeSegments(tokens, { begin: 100, frames: 80, framesPerTime: 2, framesPerSecond: 100 });
  expect(cut([100, 1, 110, 110, 2])).toEqual({ segments: [{ start: 0, end: 0.2, tokens: [100, 1, 110, 110] }], heard: 20 });
  expect(cut([100, 1, 110, 110, 2, 120])).toEqual({ segments: [{ start: 0, end: 0.2, tokens: [100, 1, 110] }, { start: 0.2, end: 0.4, tokens: [110, 2, 120] }], heard: 80 });
  expect(cut([100, 1, 130])).toEqual({ segments: [{ start: 0, end: 0.6, tokens: [100, 1, 130] }], heard: 80 });
  expect(cut([1, 2])).toEqual({ segments: [{ start: 0, end: 0.8, tokens: [1, 2] }], heard: 80 });
  expect(cut([])).toEqual({ segments: [{ start: 0, end: 0.8, tokens: [] }], heard: 80 });
});

test('on the command line', async () => {
  const { samples } = soundOf(0);
  const wav = Buffer.alloc(44 + samples.length * 2);
  wav.write('RIFF', 0);
  wav.writeUInt32LE(36 + samples.length * 2, 4);
  wav.write('WAVEfmt ', 8);
  for (const [at, value] of [[16, 16], [24, 16_000], [28, 32_000], [40, samples.length * 2]] as const) wav.writeUInt32LE(value, at);
  for (const [at, value] of [[20, 1], [22, 1], [32, 2], [34, 16]] as const) wav.writeUInt16LE(value, at);
  wav.write('data', 36);
  for (const [i, sample] of samples.entries()) wav.writeInt16LE(Math.round(sample * 32768), 44 + i * 2);
  const path = join(scratch, 'talk.wav');
  await writeFile(path, wav);
  const argv = ['run', folder, '--sound', path, '--timestamps', '--language', 'en', '--temperature', '0', '--threads', '1'];
  const { stdout } = await runCaptured(...argv, '--json');
  const { task, results } = JSON.parse(stdout) as { task: string; results: { output: { segments: { start: number; tokens: number[] }[] } }[] };
  expect(task).toBe('automatic-speech-recognition');
  expect(results[0]!.output.segments.map(({ tokens }) => tokens)).toEqual(rows[0]!.segments.map(({ tokens }) => tokens));
  const printed = await runCaptured(...argv);
  expect(printed.stdout).toMatch(/0:00\.06 – 0:00\.76/);
  const wrong = await runCaptured('run', folder, '--sound', path, '--temperature', '9', '--threads', '1');
  expect(wrong.stderr).toMatch(/temperature/);
});
