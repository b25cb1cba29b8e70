/**
 * Models of others (the test material) against what is recorded of them: greedy tokens, log-probabilities, embeddings, classes, outputs. Through tasks where there is one, else
 * through the engine and `penjing run`. Every model of the material has a record; that of stories260K's probabilities and embeddings and of tiny-t5's states was made by
 * `peers/fixtures/real_models.py`. The material has no BERT, GPT-2 or Whisper of real size, so nothing of such a one is compared here.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type DenseTensor, denseOf, type Executor, type Feeds, memorySource, toDense } from '@penjing/core';
import { openSafetensors } from '@penjing/graph-io';
import { runRecipe } from '@penjing/recipe';
import { loadEmbedder, loadGenerator, loadVoiceDetector, ortEngine, type TextPiece } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runCaptured } from '../apps/cli/src/testing/run-captured.js';
import { fixturePath } from './support/task-folder.js';
import { testData } from './tools/test-data.js';

// each loads a model in a thread of its own
vi.setConfig({ testTimeout: 240_000 });

const of = (...parts: string[]): string => join(testData ?? '', 'models', ...parts);
const TASKS = { threads: 1 } as const;

interface Recorded {
  readonly stories260k: {
    readonly greedy: readonly { readonly prompt: string; readonly tokens: readonly number[]; readonly logProbabilities: readonly number[]; readonly top: readonly { readonly tokens: readonly number[]; readonly values: readonly number[] }[] }[];
    readonly texts: readonly string[];
    readonly embeddings: Readonly<Record<'lasttoken' | 'mean', readonly (readonly number[])[]>>;
  };
  readonly 'tiny-t5': { readonly ids: readonly (readonly number[])[]; readonly means: readonly (readonly number[])[] };
}
const recorded = JSON.parse(readFileSync(fixturePath('real-models', 'expected.json'), 'utf8')) as Recorded;

let scratch = '';
beforeAll(async () => void (scratch = await mkdtemp(join(tmpdir(), 'penjing-real-'))));
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function tensors(...parts: string[]): Promise<Readonly<Record<string, DenseTensor>>> {
  const { tensors: found } = await openSafetensors(memorySource(readFileSync(of(...parts))));
  return Object.fromEntries(await Promise.all([...found].map(async ([name, tensor]) => [name, await toDense(tensor)] as const)));
}

function worst(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

const argmax = (values: ArrayLike<number>): number => Array.from(values).reduce((best, value, i, all) => (value > all[best]! ? i : best), 0);
const rowsOf = (tensor: DenseTensor): Float32Array[] => {
  const width = tensor.shape.at(-1)!;
  return Array.from({ length: tensor.data.length / width }, (_, i) => (tensor.data as Float32Array).slice(i * width, (i + 1) * width));
};

async function converted(name: string, input: string, task?: string): Promise<string> {
  const output = join(scratch, name);
  await runRecipe({ input, output, steps: [{ convert: task ? { task } : {} }] }, { check: false });
  return output;
}

/** Outputs in the order of the model, of inputs in its order. */
async function outputsOf(executor: Executor, ...inputs: DenseTensor[]): Promise<DenseTensor[]> {
  const feeds: Feeds = Object.fromEntries(executor.inputs.map(({ name }, i) => [name, inputs[i]!]));
  const fetched = await executor.run(feeds);
  return executor.outputs.map(({ name }) => fetched[name] as DenseTensor);
}

async function withModel<Result>(path: string, work: (executor: Executor) => Promise<Result>): Promise<Result> {
  // in this thread: one of its own takes seconds to start from sources
  await using executor = await ortEngine({ ...TASKS, thread: 'calling' }).loadFile(path);
  return await work(executor);
}

describe.skipIf(!testData)('language', () => {
  test('stories260K: greedy tokens, and how likely they and the five likeliest were', async () => {
    const folder = await converted('stories', of('stories260k', 'hf'));
    await using generator = await loadGenerator(folder, TASKS);
    for (const { prompt, tokens, logProbabilities, top } of recorded.stories260k.greedy) {
      const pieces: TextPiece[] = [];
      for await (const piece of generator.stream(prompt, { maxNewTokens: tokens.length, logProbabilities: 5 })) pieces.push(piece);
      expect(pieces.map(({ token }) => token)).toEqual(tokens);
      expect(worst(pieces.map(({ logProbability }) => logProbability!), logProbabilities)).toBeLessThan(1e-3);
      // places of like chances may change
      for (const [i, { likeliest }] of pieces.entries()) expect(worst(likeliest!.map(({ logProbability }) => logProbability), top[i]!.values)).toBeLessThan(1e-3);
    }
    const logits = await tensors('stories260k', 'expected_logits.safetensors');
    for (let i = 0; logits[`case${i}.logits`]; i++) {
      const row = rowsOf(logits[`case${i}.logits`]!).at(-1)!;
      const chance = row[argmax(row)]! - Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
      expect(Math.abs(chance - recorded.stories260k.greedy[i]!.logProbabilities[0]!)).toBeLessThan(1e-4);
      expect(argmax(row)).toBe(recorded.stories260k.greedy[i]!.tokens[0]);
    }
  });

  test('stories260K: embeddings, of the last state and of the mean of all', async () => {
    const folder = await converted('stories-states', of('stories260k', 'hf'), 'feature-extraction');
    for (const pooling of ['lasttoken', 'mean'] as const) {
      await using embedder = await loadEmbedder(folder, { ...TASKS, pooling: [pooling], normalize: true });
      const found = await embedder.embed(recorded.stories260k.texts, { batchSize: 3 });
      for (const [i, wanted] of recorded.stories260k.embeddings[pooling].entries()) expect(worst(found[i]!, wanted)).toBeLessThan(1e-5);
    }
  });

  test('tiny-t5: states of its encoder', async () => {
    const folder = await converted('tiny-t5', of('tiny-t5'), 'feature-extraction');
    await withModel(join(folder, 'onnx', 'model.onnx'), async (executor) => {
      for (const [i, ids] of recorded['tiny-t5'].ids.entries()) {
        const all: Feeds = { input_ids: denseOf('int64', [1, ids.length], [...ids]), attention_mask: denseOf('int64', [1, ids.length], ids.map(() => 1)) };
        const { last_hidden_state: states } = await executor.run(all);
        const rows = rowsOf(states as DenseTensor);
        const mean = recorded['tiny-t5'].means[i]!.map((_, j) => rows.reduce((sum, row) => sum + row[j]!, 0) / rows.length);
        expect(worst(mean, recorded['tiny-t5'].means[i]!)).toBeLessThan(1e-4);
      }
    });
  });
});

describe.skipIf(!testData)('pictures', () => {
  test('ResNet-20 of CIFAR-10: logits of PyTorch, and their classes', async () => {
    const { input, output } = await tensors('resnet20-cifar10', 'resnet20_expected.safetensors');
    const file = join(scratch, 'resnet20.onnx');
    await runRecipe({ input: of('resnet20-cifar10', 'resnet20.pt2'), output: file, steps: [] }, { check: false });
    const [found] = await withModel(file, (executor) => outputsOf(executor, input!));
    expect(worst(found!.data as Float32Array, output!.data as Float32Array)).toBeLessThan(1e-4);
    expect(rowsOf(found!).map(argmax)).toEqual(rowsOf(output!).map(argmax));
  });

  test('MobileNetV2: the codes of the interpreter, and a uniform', async () => {
    const expected = await tensors('mobilenet-v2', 'expected.safetensors');
    const file = join(scratch, 'mobilenet.onnx');
    await runRecipe({ input: of('mobilenet-v2', 'mobilenet_v2_quantized_1x3x224x224.tflite'), output: file, steps: [] }, { check: false });
    const [found] = await withModel(file, (executor) => outputsOf(executor, expected['in.grace_hopper']!));
    const wanted = expected['out.grace_hopper']!;
    // fast integer arithmetic, as it is converted by itself: the exact one is in tflite-read.test.ts
    expect(worst(found!.data as Int8Array, wanted.data as Int8Array)).toBeLessThanOrEqual(4);
    expect(argmax(found!.data as Int8Array)).toBe(652);
    expect(readFileSync(of('mobilenet-v2', 'imagenet1000_labels.txt'), 'utf8')).toMatch(/652: 'military uniform'/);
  });

  test('the CNN of CNTK reads digits', async () => {
    const images = gunzipSync(readFileSync(join(testData!, 'datasets/mnist/mnist-t10k-first6000-images-idx3-ubyte.gz'))).subarray(16);
    const labels = gunzipSync(readFileSync(join(testData!, 'datasets/mnist/mnist-t10k-first6000-labels-idx1-ubyte.gz'))).subarray(8);
    const right = await withModel(of('mnist', 'mnist-cntk.onnx'), async (executor) => {
      let count = 0;
      for (let i = 0; i < 500; i++) {
        const [logits] = await outputsOf(executor, denseOf('float32', [1, 1, 28, 28], [...images.subarray(i * 784, (i + 1) * 784)]));
        if (argmax(logits!.data as Float32Array) === labels[i]) count++;
      }
      return count;
    });
    // 98.91 % of all ten thousand is recorded
    expect(right / 500).toBeGreaterThan(0.975);
  });

  test('UltraFace on the command line: one face', async () => {
    const expected = await tensors('ultraface', 'version-RFB-320_expected.safetensors');
    const input = expected['in.input']!;
    await writeFile(join(scratch, 'face.npy'), npy(input));
    const { stderr, code } = await runCaptured('run', of('ultraface', 'version-RFB-320.onnx'), '--input', `input=@${join(scratch, 'face.npy')}`, '-o', join(scratch, 'faces'), '--threads', '1');
    expect([code, stderr]).toEqual([0, expect.any(String) as string]);
    for (const name of ['scores', 'boxes']) expect(worst(floatsOf(readFileSync(join(scratch, 'faces', `${name}.npy`))), expected[`out.${name}`]!.data as Float32Array), name).toBeLessThan(1e-4);
  });

  test('super resolution', async () => {
    const expected = await tensors('super-resolution', 'expected.safetensors');
    const [found] = await withModel(of('super-resolution', 'pytorch_super_resolution.onnx'), (executor) => outputsOf(executor, expected['in.input']!));
    expect(found!.shape).toEqual([1, 1, 672, 672]);
    expect(worst((found!.data as Float32Array).subarray(0, 96 * 672), expected['out.output_rows0_96']!.data as Float32Array)).toBeLessThan(1e-4);
  });

  test.each([['pretrainedResnet', 'mlperf_tiny_resnet8_cifar10', 'float', 1e-4], ['kws_ref_model_float32', 'mlperf_tiny_kws_dscnn', 'float', 1e-4], ['pretrainedResnet_quant', 'mlperf_tiny_resnet8_cifar10', 'int8', 2], ['kws_ref_model', 'mlperf_tiny_kws_dscnn', 'int8', 2]] as const)('MLPerf Tiny %s', async (name, record, kind, tolerance) => {
    const expected = await tensors('tflite', `${record}_expected.safetensors`);
    const [input, wanted] = [expected[`in.${kind}`]!, expected[`out.${kind}`]!];
    const file = join(scratch, `${name}.onnx`);
    await runRecipe({ input: of('tflite', `${name}.tflite`), output: file, steps: [] }, { check: false });
    const size = input.data.length / input.shape[0]!;
    await withModel(file, async (executor) => {
      for (const [i, row] of Array.from({ length: input.shape[0]! }, (_, n) => n).entries()) {
        const [found] = await outputsOf(executor, denseOf(input.dtype, [1, ...input.shape.slice(1)], Array.from(input.data.slice(row * size, (row + 1) * size), Number)));
        const width = wanted.shape[1]!;
        const codes = Array.from(wanted.data.slice(i * width, (i + 1) * width), Number);
        expect(worst(Array.from(found!.data, Number), codes)).toBeLessThanOrEqual(tolerance);
        expect(argmax(Array.from(found!.data, Number))).toBe(argmax(codes));
      }
    });
  });
});

describe.skipIf(!testData)('sounds and bytes', () => {
  test('Silero: the probability of speech of every window', async () => {
    const expected = await tensors('silero-vad', 'expected_probs_first20s.safetensors');
    await using detector = await loadVoiceDetector(of('silero-vad', 'silero_vad.onnx'), TASKS);
    const { probabilities, segments } = await detector.detect(of('silero-vad', 'speech_first20s.wav'));
    const wanted = expected['silero_vad.onnx']!.data as Float32Array;
    expect(worst(probabilities.subarray(0, wanted.length), wanted)).toBeLessThan(1e-4);
    const printed = JSON.parse((await runCaptured('run', of('silero-vad', 'silero_vad.onnx'), '--task', 'voice-activity-detection', '--sound', of('silero-vad', 'speech_first20s.wav'), '--threads', '1', '--json')).stdout) as { results: { output: { segments: unknown } }[] };
    expect(printed.results[0]!.output.segments).toEqual(segments);
  });

  test('DTLN: three steps with their state', async () => {
    const expected = await tensors('dtln', 'model_1_expected.safetensors');
    await withModel(of('dtln', 'model_1.onnx'), async (executor) => {
      let state = expected['step0.state_in']!;
      for (const step of ['step0', 'step1', 'step2']) {
        const found = await outputsOf(executor, expected[`${step}.in`]!, state);
        expect(worst(found[0]!.data as Float32Array, expected[`${step}.out`]!.data as Float32Array)).toBeLessThan(1e-5);
        expect(worst(found[1]!.data as Float32Array, expected[`${step}.state_out`]!.data as Float32Array)).toBeLessThan(1e-5);
        state = found[1]!;
      }
    });
  });

  test('Magika: the types of the published examples', async () => {
    const { target_labels_space: labels } = JSON.parse(readFileSync(of('magika', 'config.min.json'), 'utf8')) as { target_labels_space: string[] };
    const examples = (JSON.parse(gunzipSync(readFileSync(of('magika', 'inference_examples_by_content.json.gz'))).toString()) as { content_base64: string; prediction: { dl: string; score: number } }[]).filter(({ prediction }) => prediction.dl !== 'undefined');
    expect(examples.length).toBeGreaterThan(80);
    await withModel(of('magika', 'model.onnx'), async (executor) => {
      for (const { content_base64: content, prediction } of examples) {
        const [scores] = await outputsOf(executor, denseOf('int32', [1, 2048], magikaBytes(Buffer.from(content, 'base64'))));
        const row = scores!.data as Float32Array;
        expect(labels[argmax(row)]).toBe(prediction.dl);
        expect(Math.abs(row[argmax(row)]! - prediction.score)).toBeLessThan(1e-3);
      }
    });
  });
});

const SPACE = new Set([9, 10, 11, 12, 13, 32]);

/** The first 1,024 bytes after white space, and the last before it; 256 where there are none. */
function magikaBytes(content: Uint8Array): number[] {
  const [head, tail] = [[...content.subarray(0, 4096)], [...content.subarray(-4096)]];
  while (head.length > 0 && SPACE.has(head[0]!)) head.shift();
  while (tail.length > 0 && SPACE.has(tail.at(-1)!)) tail.pop();
  const [begin, end] = [head.slice(0, 1024), tail.slice(-1024)];
  const filler = (count: number): number[] => new Array<number>(count).fill(256);
  return [...begin, ...filler(1024 - begin.length), ...filler(1024 - end.length), ...end];
}

function npy({ shape, data }: DenseTensor): Buffer {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')}), }`.padEnd(117) + '\n';
  const head = Buffer.alloc(10);
  head.write('\x93NUMPY\x01\x00', 'latin1');
  head.writeUInt16LE(header.length, 8);
  return Buffer.concat([head, Buffer.from(header), Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}

function floatsOf(bytes: Buffer): Float32Array {
  const start = 10 + bytes.readUInt16LE(8);
  return new Float32Array(new Uint8Array(bytes.subarray(start)).buffer);
}
