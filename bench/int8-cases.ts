/** Networks that int8 quantization is measured on, each with real data to calibrate with and to judge by. */
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { join } from 'node:path';
import { createRng, type DenseTensor, DenseTensor as Dense, denseOf, type Feeds, type Fetches, memorySource, type Model, toDense } from '@penjing/core';
import { simplify } from '@penjing/core/rewrite';
import { convertPt2, openExportedProgram, readOnnx } from '@penjing/graph-io';
import { ortEngine } from '@penjing/runtime';
import { testData } from '../tests/tools/test-data.js';

export type Run = (feeds: Feeds) => Promise<Fetches>;

export interface Int8Case {
  readonly name: string;
  /** What it is judged on, in words. */
  readonly data: string;
  readonly model: Model;
  readonly calibrate: readonly Feeds[];
  /** Outputs over the test data, one row for each example. */
  readonly evaluate: (run: Run) => Promise<Float32Array[]>;
  /** Class of each row. */
  readonly labels?: Uint8Array;
}

if (!testData) throw new Error('there is no test material: set PENJING_TESTDATA');
const folder = testData;
const file = (path: string): Promise<Buffer> => readFile(join(folder, path));

/** Simplified at opset 13, so that both quantizers start from the same graph. */
async function prepared(model: Model): Promise<Model> {
  return (await simplify({ opset: Math.max(13, model.opset() ?? 1), engine: ortEngine() }).run(model, {})).model;
}

async function onnx(path: string): Promise<Model> {
  return prepared(await readOnnx(memorySource(await file(path))));
}

const floats = (shape: readonly number[], data: Float32Array): DenseTensor => Dense.of('float32', shape, data);
const rowsOf = (output: unknown): Float32Array => (output as DenseTensor).data as Float32Array;

/** Runs the rows in order and gives the outputs of each, joined. */
function overAll(feeds: readonly Feeds[]): Int8Case['evaluate'] {
  return async (run) => {
    const rows: Float32Array[] = [];
    for (const feed of feeds) {
      const outputs = Object.entries(await run(feed)).sort(([a], [b]) => (a < b ? -1 : 1));
      rows.push(Float32Array.from(outputs.flatMap(([, output]) => [...rowsOf(output)])));
    }
    return rows;
  };
}

async function digits(name: string, path: string, normalize: (x: number) => number): Promise<Int8Case> {
  const model = await onnx(path);
  const pixels = gunzipSync(await file('datasets/mnist/mnist-t10k-first6000-images-idx3-ubyte.gz')).subarray(16);
  const labels = gunzipSync(await file('datasets/mnist/mnist-t10k-first6000-labels-idx1-ubyte.gz')).subarray(8);
  const feed = (i: number): Feeds => ({ [model.graph.inputs[0]!.name]: floats([1, 1, 28, 28], Float32Array.from(pixels.subarray(i * 784, (i + 1) * 784), normalize)) });
  const from = (start: number, end: number): Feeds[] => Array.from({ length: end - start }, (_, i) => feed(start + i));
  return { name, data: 'digits 512-5,999', model, calibrate: from(0, 512), evaluate: overAll(from(512, 6000)), labels: new Uint8Array(labels.subarray(512, 6000)) };
}

interface Picture {
  readonly width: number;
  readonly height: number;
  /** Red, green or blue, 0 to 255. */
  readonly at: (x: number, y: number, channel: number) => number;
}

/** The portrait among the test material: 24 bits a pixel, rows from below. */
async function portrait(): Promise<Picture> {
  const bytes = await file('images/grace_hopper.bmp');
  const [start, width, height] = [bytes.readUInt32LE(10), bytes.readInt32LE(18), bytes.readInt32LE(22)];
  const stride = Math.ceil((width * 3) / 4) * 4;
  return { width, height, at: (x, y, channel) => bytes[start + (height - 1 - y) * stride + x * 3 + (2 - channel)]! };
}

/** Seeded windows of a picture, scaled, some mirrored, lighter or darker: (1, channels, height, width). */
function windows(picture: Picture, count: number, seed: number, [channels, height, width]: readonly [number, number, number], value: (rgb: readonly number[], channel: number) => number): DenseTensor[] {
  const rng = createRng(seed);
  return Array.from({ length: count }, () => {
    const scale = 0.3 + 0.7 * rng.uniform();
    const [w, h] = [Math.floor(picture.width * scale), Math.floor(picture.height * scale)];
    const [left, top] = [rng.below(picture.width - w + 1), rng.below(picture.height - h + 1)];
    const mirrored = rng.uniform() < 0.5;
    const light = 0.7 + 0.5 * rng.uniform();
    const data = new Float32Array(channels * height * width);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const sx = left + Math.floor(((mirrored ? width - 1 - x : x) * w) / width);
        const sy = top + Math.floor((y * h) / height);
        const rgb = [0, 1, 2].map((channel) => Math.min(255, picture.at(sx, sy, channel) * light));
        for (let c = 0; c < channels; c++) data[(c * height + y) * width + x] = value(rgb, c);
      }
    }
    return floats([1, channels, height, width], data);
  });
}

async function pictures(name: string, model: Model, shape: readonly [number, number, number], value: (rgb: readonly number[], channel: number) => number, counts: readonly [number, number]): Promise<Int8Case> {
  const picture = await portrait();
  const input = model.graph.inputs[0]!.name;
  const [calibrate, test] = counts.map((count, i) => windows(picture, count, i + 1, shape, value).map((tensor): Feeds => ({ [input]: tensor })));
  return { name, data: `${counts[1]} windows of one portrait (calibrated on ${counts[0]} others)`, model, calibrate: calibrate!, evaluate: overAll(test!) };
}

async function resnet(): Promise<Int8Case> {
  const model = convertPt2(await openExportedProgram(memorySource(await file('models/resnet20-cifar10/resnet20.pt2'))));
  const mean = [0.485, 0.456, 0.406];
  const std = [0.229, 0.224, 0.225];
  return pictures('ResNet-20', await prepared(model), [3, 32, 32], (rgb, c) => (rgb[c]! / 255 - mean[c]!) / std[c]!, [256, 512]);
}

async function magika(): Promise<Int8Case> {
  const model = await onnx('models/magika/model.onnx');
  const examples = JSON.parse(gunzipSync(await file('models/magika/inference_examples_by_content.json.gz')).toString()) as { content_base64: string }[];
  const feeds = examples.map(({ content_base64: text }) => Buffer.from(text, 'base64')).filter((bytes) => bytes.length > 16).map((bytes): Feeds => {
    const trimmed = bytes.toString('latin1');
    const begin = Buffer.from(trimmed.replace(/^\s+/, ''), 'latin1').subarray(0, 1024);
    const end = Buffer.from(trimmed.replace(/\s+$/, ''), 'latin1').subarray(-1024);
    const row = new Array<number>(2048).fill(256);
    begin.forEach((byte, i) => (row[i] = byte));
    end.forEach((byte, i) => (row[2048 - end.length + i] = byte));
    return { [model.graph.inputs[0]!.name]: denseOf('int32', [1, 2048], row) };
  });
  return { name: 'Magika', data: 'every second of the recorded files (calibrated on the others)', model, calibrate: feeds.filter((_, i) => i % 2 === 0), evaluate: overAll(feeds.filter((_, i) => i % 2 === 1)) };
}

/** At 16 kHz, so that no branch is left: 10 s of speech calibrate, 10 s are judged, each step with the state that the one before left. */
async function silero(): Promise<Int8Case> {
  const model = await readOnnx(memorySource(await file('models/silero-vad/silero_vad.onnx')));
  const rate = model.graph.inputs.find(({ name }) => name === 'sr')!;
  model.graph.inputs.splice(model.graph.inputs.indexOf(rate), 1);
  rate.tensor = denseOf('int64', [], [16000]);
  model.graph.initializers.set('sr', rate);
  const flat = await prepared(model);
  const wave = new Int16Array((await file('models/silero-vad/speech_first20s.wav')).buffer.slice(44));
  const steps = async (run: Run, from: number, to: number, seen?: (feeds: Feeds) => void): Promise<Float32Array[]> => {
    let state = denseOf('float32', [2, 1, 128], new Array<number>(256).fill(0));
    const rows: Float32Array[] = [];
    for (let step = from; step < to; step++) {
      const samples = (at: number, count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => (wave[at + i] ?? 0) / 32768);
      const feeds = { input: floats([1, 576], samples(step * 512 - 64, 576)), state };
      seen?.(feeds);
      const { output, stateN } = await run(feeds);
      state = (await toDense(stateN as DenseTensor));
      rows.push(rowsOf(output).slice());
    }
    return rows;
  };
  const calibrate: Feeds[] = [];
  await using executor = await ortEngine({ threads: 1 }).load(flat);
  await steps((feeds) => executor.run(feeds), 0, 312, (feeds) => calibrate.push(feeds));
  return { name: 'Silero VAD', data: 'seconds 10-20 of speech (calibrated on 0-10)', model: flat, calibrate, evaluate: (run) => steps(run, 312, 625) };
}

export const int8Cases: readonly (() => Promise<Int8Case>)[] = [cntk, burn, ultraface, resnet, superResolution, magika, silero];

function cntk(): Promise<Int8Case> {
  return digits('MNIST, CNTK', 'models/mnist/mnist-cntk.onnx', (x) => x);
}

function burn(): Promise<Int8Case> {
  return digits('MNIST, burn', 'models/mnist/burn-mnist.onnx', (x) => (x / 255 - 0.1307) / 0.3081);
}

async function ultraface(): Promise<Int8Case> {
  return pictures('UltraFace', await onnx('models/ultraface/version-RFB-320.onnx'), [3, 240, 320], (rgb, c) => (rgb[c]! - 127) / 128, [32, 8]);
}

async function superResolution(): Promise<Int8Case> {
  const model = await onnx('models/super-resolution/pytorch_super_resolution.onnx');
  return pictures('super-resolution', model, [1, 224, 224], ([r, g, b]) => (0.299 * r! + 0.587 * g! + 0.114 * b!) / 255, [8, 8]);
}
