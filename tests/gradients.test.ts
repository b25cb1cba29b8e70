/** Gradients of whole networks in ONNX Runtime against those of PyTorch, on one and on two threads. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { denseOf, DenseTensor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { adamW, chain, clipByNorm, differentiate, gradientName, trainableInputs } from '@penjing/distill';
import { convertHuggingFace, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { recorded } from './support/hf-decoder.js';
import { TestSession } from './support/ort-session.js';

const fixture = (name: string): string => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
const TOLERANCE = 1e-4;

type Recorded = Awaited<ReturnType<typeof recorded>>;

function graph(): { model: Model; b: GraphBuilder } {
  const model = new Model();
  model.opsetImports.set('', 21);
  return { model, b: new GraphBuilder(model.graph) };
}

/** A recorded weight as an initializer. */
const weight = (b: GraphBuilder, { floats }: Recorded, name: string): Value => {
  const { data, shape } = floats(name);
  return b.initializer(name, DenseTensor.of('float32', shape, data));
};

/** Mean cross-entropy of (…, classes) against labels of the leading axes. */
function crossEntropy(b: GraphBuilder, logits: Value, classes: number): void {
  const labels = b.op('Reshape', [b.input('labels', tensorType('int64', undefined)), b.constant('int64', [-1])]);
  b.output(b.op('SoftmaxCrossEntropyLoss', [b.op('Reshape', [logits, b.constant('int64', [-1, classes])]), labels], { ignore_index: -100 }), 'loss', tensorType('float32', []));
}

function mlp(file: Recorded): Model {
  const { model, b } = graph();
  const w = (name: string): Value => weight(b, file, name);
  const hidden = b.op('Gelu', [b.op('Gemm', [b.input('x', tensorType('float32', ['n', 6])), w('a.weight'), w('a.bias')], { transB: 1 })]);
  crossEntropy(b, b.op('Gemm', [b.op('LayerNormalization', [hidden, w('norm.weight'), w('norm.bias')]), w('b.weight'), w('b.bias')], { transB: 1 }), 5);
  return model;
}

function residual(file: Recorded): Model {
  const { model, b } = graph();
  const w = (name: string): Value => weight(b, file, name);
  const batchNorm = (x: Value, name: string): Value => {
    const stored = [0, 1].map((value) => b.constant('float32', new Array<number>(8).fill(value)));
    return b.nodes('BatchNormalization', [x, w(`${name}.weight`), w(`${name}.bias`), ...stored], { training_mode: 1 }, { outputCount: 3 })[0]!;
  };
  const x = b.input('x', tensorType('float32', ['n', 3, 12, 10]));
  const inner = b.op('Relu', [batchNorm(b.op('Conv', [x, w('conv1.weight')], { strides: [2, 2], pads: [1, 1, 1, 1] }), 'bn1')]);
  const y = batchNorm(b.op('Conv', [inner, w('conv2.weight')], { pads: [1, 1, 1, 1], group: 8 }), 'bn2');
  const sum = b.op('Relu', [b.op('Add', [y, b.op('Conv', [x, w('shortcut.weight'), w('shortcut.bias')], { strides: [2, 2] })])]);
  const pooled = b.op('MaxPool', [sum], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
  const flat = b.op('Flatten', [b.op('GlobalAveragePool', [pooled])]);
  crossEntropy(b, b.op('Gemm', [flat, w('head.weight'), w('head.bias')], { transB: 1 }), 4);
  return model;
}

async function llama(): Promise<Model> {
  const model = await convertHuggingFace(await openHuggingFaceFolder(openFolder(fixture('llama/gqa'))), { attention: 'standard' });
  const logits = model.graph.outputs.find(({ name }) => name === 'logits')!;
  model.graph.outputs.length = 0;
  crossEntropy(new GraphBuilder(model.graph), logits, 96);
  return model;
}

/** Feeds of a decoder that has seen nothing yet. */
function decoderFeeds(model: Model, [batch, length]: readonly number[]): Record<string, DenseTensor> {
  const ints = (of: (i: number) => number): DenseTensor => denseOf('int64', [batch!, length!], Array.from({ length: batch! * length! }, (_, i) => of(i)));
  const caches = model.graph.inputs.flatMap(({ name, type }) => {
    if (!name.startsWith('past_key_values') || type?.kind !== 'tensor') return [];
    return [[name, new DenseTensor('float32', [batch!, type.shape![1] as number, 0, type.shape![3] as number], new Uint8Array(0))] as const];
  });
  return { attention_mask: ints(() => 1), position_ids: ints((i) => i % length!), ...Object.fromEntries(caches) };
}

/** The largest difference over the largest magnitude, of gradients that may be stored turned. */
function difference(ours: DenseTensor, theirs: { readonly data: Float32Array; readonly shape: readonly number[] }): number {
  const [rows = 1, columns = 1] = theirs.shape;
  const turned = ours.shape.length === 2 && (ours.shape[0] !== rows || ours.shape[1] !== columns);
  const at = (i: number): number => (turned ? (i % columns) * rows + Math.floor(i / columns) : i);
  const direct = compare(ours, theirs.data, at);
  // Square matrices show by their content alone which way they lie.
  const square = ours.shape.length === 2 && rows === columns;
  return square ? Math.min(direct, compare(ours, theirs.data, (i) => (i % columns) * rows + Math.floor(i / columns))) : direct;
}

function compare(ours: DenseTensor, theirs: Float32Array, at: (i: number) => number): number {
  let [worst, largest] = [0, 0];
  for (let i = 0; i < theirs.length; i++) {
    worst = Math.max(worst, Math.abs((ours.data[at(i)] as number) - theirs[i]!));
    largest = Math.max(largest, Math.abs(theirs[i]!));
  }
  return worst / largest;
}

describe.each([1, 2])('on %i threads', (threads) => {
  test.each([['mlp', mlp, false], ['residual', residual, false], ['llama', llama, true]] as const)('%s', async (name, build, decoder) => {
    const file = await recorded(join(fixture('gradients'), `${name}.safetensors`));
    const model = await build(file);
    const weights = await trainableInputs(model);
    differentiate(model, { loss: 'loss', of: [...weights.keys()] });
    await using session = await TestSession.load(model, { threads });
    const labels = file.ids('labels');
    const x: Record<string, DenseTensor> = decoder ? { input_ids: denseOf('int64', file.ids('x').shape, Array.from(file.ids('x').data, Number)), ...decoderFeeds(model, file.ids('x').shape) } : { x: DenseTensor.of('float32', file.floats('x').shape, file.floats('x').data) };
    const outputs = await session.run({ ...x, labels: denseOf('int64', labels.shape, Array.from(labels.data, Number)), ...Object.fromEntries(weights) });
    expect(Math.abs((outputs['loss']!.data[0] as number) - file.floats('loss').data[0]!)).toBeLessThan(1e-5);
    const errors = [...weights.keys()].map((weightName) => [weightName, difference(outputs[gradientName(weightName)]!, file.floats(`gradient.${weightName}`))] as const);
    expect(errors.length).toBeGreaterThan(5);
    expect(errors.filter(([, error]) => !(error < TOLERANCE))).toEqual([]);
  });
});

test('fifty steps of a Llama follow the losses of PyTorch', async () => {
  const wanted = JSON.parse(readFileSync(join(fixture('gradients'), 'llama-curve.json'), 'utf8')) as readonly number[];
  const model = await llama();
  const inputs = await trainableInputs(model);
  differentiate(model, { loss: 'loss', of: [...inputs.keys()] });
  await using session = await TestSession.load(model);
  const weights = new Map([...inputs].map(([name, { data }]) => [name, data as Float32Array]));
  const optimizer = chain(clipByNorm(1), adamW({ rate: 3e-3, weightDecay: 0.01 }));
  const state = optimizer.init(weights);
  const losses: number[] = [];
  for (let step = 0; step < wanted.length; step++) {
    // (4, 16) tokens, and the next of each
    const ids = (ahead: number): DenseTensor => denseOf('int64', [4, 16], Array.from({ length: 64 }, (_, i) => 1 + ((7 * (step % 5) + 13 * Math.floor(i / 16) + 3 * ((i % 16) + ahead) ** 2) % 90)));
    const outputs = await session.run({ input_ids: ids(0), labels: ids(1), ...decoderFeeds(model, [4, 16]), ...Object.fromEntries(inputs) });
    losses.push(outputs['loss']!.data[0] as number);
    await optimizer.update(weights, new Map([...weights.keys()].map((name) => [name, outputs[gradientName(name)]!.data as Float32Array])), state, step);
  }
  expect(losses.map((loss, step) => Math.abs(loss - wanted[step]!)).filter((error) => !(error < 1e-3))).toEqual([]);
  expect(losses.at(-1)!).toBeLessThan(0.6 * losses[0]!);
});

test('dropout passes back what it let through', async () => {
  const { model, b } = graph();
  const [dropped] = b.nodes('Dropout', [b.input('x', tensorType('float32', [64])), b.constant('float32', 0.25), b.initializer('training', denseOf('bool', [], [1]))], { seed: 3 }, { outputs: ['dropped'] });
  b.output(b.op('ReduceSum', [dropped], { keepdims: 0 }), 'loss');
  model.graph.outputs.push(dropped!);
  differentiate(model, { loss: 'loss', of: ['x'] });
  await using session = await TestSession.load(model);
  const outputs = await session.run({ x: DenseTensor.of('float32', [64], Float32Array.from({ length: 64 }, (_, i) => i + 1)) });
  const passed = (outputs['dropped']!.data as Float32Array).map((value, i) => value / (i + 1));
  expect(new Set([...passed].map((value) => value.toFixed(4)))).toEqual(new Set(['0.0000', '1.3333']));
  expect(compare(outputs[gradientName('x')]!, passed, (i) => i)).toBeLessThan(1e-6);
});
