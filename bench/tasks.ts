/**
 * How far the tasks are from what transformers, sentence-transformers and Silero gave for the same folders, and how long they take.
 *
 *     npx tsx --conditions=@penjing/source bench/tasks.ts [THREADS]
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { memorySource, toDense } from '@penjing/core';
import { openSafetensors } from '@penjing/graph-io';
import { loadEmbedder, loadTextClassifier, loadVoiceDetector } from '@penjing/runtime';
import { logMel } from '../packages/runtime/src/tasks/log-mel.js';
import { resizePicture } from '../packages/runtime/src/tasks/resize-picture.js';
import { fixturePath, TaskFolders } from '../tests/support/task-folder.js';
import { testData } from '../tests/tools/test-data.js';

const threads = Number(process.argv[2] ?? 2);
const json = <T>(...parts: string[]): T => JSON.parse(readFileSync(fixturePath(...parts), 'utf8')) as T;
const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

async function floats(path: string): Promise<ReadonlyMap<string, ArrayLike<number>>> {
  const { tensors } = await openSafetensors(memorySource(readFileSync(path)));
  return new Map(await Promise.all([...tensors].map(async ([name, tensor]) => [name, (await toDense(tensor)).data as unknown as ArrayLike<number>] as const)));
}

/** Milliseconds of this thread's processor, the least of five. */
function cpu(work: () => unknown): number {
  return Math.min(...Array.from({ length: 5 }, () => {
    const before = process.cpuUsage();
    work();
    return process.cpuUsage(before).user / 1000;
  }));
}

await using folders = await TaskFolders.open();
const rows: Record<string, number> = {};

for (const name of ['bert-mean', 'qwen3-last']) {
  const { texts, embeddings } = json<{ texts: string[]; embeddings: number[][] }>('sentences', name, 'texts.json');
  await using embedder = await loadEmbedder(await folders.convert(`sentences/${name}`), { threads });
  rows[`embeddings, ${name}: largest difference`] = worst((await embedder.embed(texts)).flatMap((row) => [...row]), embeddings.flat());
}
const { texts, labels } = json<{ texts: string[]; labels: { label: string; score: number }[][] }>('tasks', 'several', 'expected.json');
await using classifier = await loadTextClassifier(await folders.convert('tasks/several'), { threads });
rows['classes, several: largest difference'] = worst((await classifier.classify(texts)).flat().map(({ score }) => score), labels.flat().map(({ score }) => score));

const heard = await floats(fixturePath('tasks', 'whisper', 'expected.safetensors'));
const shape = { rate: 16_000, window: 400, hop: 160, mels: 80 };
rows['log-mel spectrogram: largest difference'] = worst(logMel(Float32Array.from(heard.get('sound0')!, (value) => value / 32768), { ...shape, length: 16_000 }), heard.get('wide')!);
const long = Float32Array.from({ length: 480_000 }, (_, i) => Math.sin((i * i) / 1e6) / 2);
rows['log-mel spectrogram of 30 s: ms of a core'] = cpu(() => logMel(long, { ...shape, length: long.length }));
const picture = { width: 1920, height: 1080, channels: 3, data: Uint8Array.from({ length: 1920 * 1080 * 3 }, (_, i) => i * 7) };
rows['1,920 × 1,080 pixels to 398 × 224, bicubic: ms of a core'] = cpu(() => resizePicture(picture, 398, 224, 'bicubic'));

if (testData) {
  const silero = (name: string): string => join(testData!, 'models', 'silero-vad', name);
  const expected = [...(await floats(silero('expected_probs_first20s.safetensors'))).values()].find(({ length }) => length >= 600)!;
  await using detector = await loadVoiceDetector(silero('silero_vad.onnx'));
  const started = performance.now();
  const { probabilities, seconds } = await detector.detect(silero('speech_first20s.wav'));
  rows['Silero VAD: largest difference'] = worst(probabilities.subarray(0, expected.length), expected);
  rows['Silero VAD: seconds of sound a second'] = (seconds * 1000) / (performance.now() - started);
}
console.log(JSON.stringify(rows, null, 2));
