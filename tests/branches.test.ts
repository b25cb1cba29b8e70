/** Branches of one graph run at the same time, and give the bits of the whole: `findBranches`, a plan, and `penjing split --tasks`. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DenseTensor, type Feeds, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { readOnnx, serializeOnnx } from '@penjing/graph-io';
import { fileSource, saveLayouts } from '@penjing/graph-io/node';
import { costBook, type Device, findBranches, type Layout, planInDetail, readSplitFolder } from '@penjing/parallel';
import { openLayout } from '@penjing/parallel/node';
import { openAsPlanned, splitIntoBranches } from '@penjing/recipe';
import { ortEngine, randomFeeds } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testData } from './tools/test-data.js';

const engine = ortEngine({ threads: 1, thread: 'calling' });

let scratch = '';
beforeAll(async () => void (scratch = await mkdtemp(join(tmpdir(), 'penjing-branches-'))));
afterAll(() => rm(scratch, { recursive: true, force: true }));

class Net {
  readonly model = new Model();
  readonly b = new GraphBuilder(this.model.graph);
  #count = 0;

  constructor() {
    this.model.opsetImports.set('', 17);
  }

  weight(...shape: number[]): Value {
    const step = 0.31 + this.#count++;
    const size = shape.reduce((a, b) => a * b, 1);
    return this.b.initializer(`w${this.#count}`, DenseTensor.of('float32', shape, Float32Array.from({ length: size }, (_, i) => Math.sin(i * step) / Math.sqrt(size / shape[0]!))));
  }

  dense(x: Value, from: number, to: number): Value {
    return this.b.op('Relu', [this.b.op('Add', [this.b.op('MatMul', [x, this.weight(from, to)]), this.weight(to)])]);
  }

  conv(x: Value, from: number, to: number, kernel: number): Value {
    return this.b.op('Relu', [this.b.op('Conv', [x, this.weight(to, from, kernel, kernel), this.weight(to)], { kernel_shape: [kernel, kernel], pads: Array<number>(4).fill((kernel - 1) / 2) })]);
  }
}

/** A tower of convolutions over a picture and one of products over words, compared by cosine as CLIP does. */
function twoTowers(): Model {
  const net = new Net();
  const { b } = net;
  const picture = b.input('picture', tensorType('float32', ['batch', 8, 12, 12]));
  const words = b.input('words', tensorType('float32', ['texts', 64]));
  let image = picture;
  for (let i = 0; i < 3; i++) image = net.conv(image, i === 0 ? 8 : 16, 16, 3);
  image = net.dense(b.op('Flatten', [image]), 16 * 144, 32);
  let text = words;
  for (let i = 0; i < 5; i++) text = net.dense(text, i === 0 ? 64 : 256, 256);
  text = net.dense(text, 256, 32);
  const unit = (x: Value): Value => b.op('Div', [x, b.op('Sqrt', [b.op('ReduceSum', [b.op('Mul', [x, x]), b.constant('int64', [1])])])]);
  const [left, right] = [unit(image), unit(text)];
  b.output(b.op('MatMul', [left, b.op('Transpose', [right])]), 'similarity', tensorType('float32', ['batch', 'texts']));
  b.output(left, 'embedding', tensorType('float32', ['batch', 32]));
  return net.model;
}

/** Inception blocks of four columns, one of which forks again, in a row. */
function nestedForks(): Model {
  const net = new Net();
  const { b } = net;
  let x: Value = net.conv(b.input('x', tensorType('float32', ['batch', 8, 10, 10])), 8, 16, 3);
  for (let block = 0; block < 2; block++) {
    const column = net.conv(x, 16, 16, 3);
    const inner = [net.conv(net.conv(column, 16, 16, 3), 16, 16, 3), net.conv(net.conv(column, 16, 16, 5), 16, 16, 1)];
    const pooled = b.op('MaxPool', [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
    const joined = b.op('Concat', [net.conv(x, 16, 16, 1), net.conv(net.conv(x, 16, 16, 1), 16, 16, 5), net.conv(pooled, 16, 16, 3), ...inner], { axis: 1 });
    x = net.conv(joined, 80, 16, 1);
  }
  b.output(b.op('GlobalAveragePool', [x]), 'y', tensorType('float32', ['batch', 16, 1, 1]));
  return net.model;
}

/** Weights that old files list among the inputs too are none to ONNX Runtime: the whole model is computed without the fusions that its parts get. */
function withoutDefaults(model: Model): Model {
  model.graph.inputs.splice(0, Infinity, ...model.graph.inputs.filter((value) => !value.tensor));
  return model;
}

const ultraface = join(testData ?? '', 'models', 'ultraface', 'version-RFB-320_without_postprocessing.onnx');
const cases: readonly (readonly [string, () => Model | Promise<Model>])[] = [
  ['two towers', twoTowers],
  ['forks inside of forks', nestedForks],
  ...(testData !== undefined && existsSync(ultraface) ? [['ultraface', async () => withoutDefaults(await readOnnx(await fileSource(ultraface)))] as const] : []),
];

function feedsOf({ graph }: Model): Feeds {
  const inputs = graph.inputs.filter((value) => !value.tensor).map(({ name, type }) => ({ name, type: type! }));
  return randomFeeds(inputs, { shapes: Object.fromEntries(inputs.map(({ name, type }) => [name, (type.kind === 'tensor' ? (type.shape ?? []) : []).map((dim) => (typeof dim === 'number' ? dim : 3))])), seed: 5 });
}

/** On a device so slow that every hop is worth it. */
function branchesOf(model: Model, devices: number): Layout & { kind: 'tasks' } {
  const { nodes } = costBook(model).at(1);
  const parts = findBranches(model, { devices, hop: 5e-6, costOf: (node) => nodes.get(node)!.flops / 1e9 });
  return { kind: 'tasks', parts: parts.map(({ device, ...part }) => ({ ...part, layout: { kind: 'device', device: `d${device}`, threads: 1 } })) };
}

describe.each(cases)('%s', (_, make) => {
  test.each([2, 3, 4])('on %d devices, bit for bit', async (devices) => {
    const model = await make();
    const layout = branchesOf(model, devices);
    expect(layout.parts.length).toBeGreaterThan(2);
    await using whole = await engine.load(model);
    await using parts = await openLayout(model, layout, { engine });
    const feeds = feedsOf(model);
    const [expected, found] = [await whole.run(feeds), await parts.run(feeds)];
    expect(Object.keys(found)).toEqual(Object.keys(expected));
    for (const [name, tensor] of Object.entries(expected)) expect(Buffer.compare((found[name] as DenseTensor).bytes, (tensor as DenseTensor).bytes), name).toBe(0);
  });
});

const cores = (flops: number): Device[] => ['a', 'b'].map((name) => ({ name, host: 'h', cores: 1, memoryBytes: 2 ** 32, flops, memoryBandwidth: 1e10 }));

test('a plan takes branches where they pay, and says what they are', async () => {
  // memory is shared, so an engine on both cores is a rival: boards have none
  const boards = cores(1e9).map(({ cores: _cores, ...device }) => device);
  const { plan } = await planInDetail({ model: nestedForks(), devices: boards, goal: 'latency' });
  expect(plan.layout).toMatchObject({ kind: 'tasks' });
  expect(plan.reasons.join(' ')).toMatch(/tasks: branches on 2 devices.*in 7 parts, 4 of which are branches/);
  const fast = await planInDetail({ model: nestedForks(), devices: cores(1e13), goal: 'latency' });
  expect(fast.plan.considered!.map(({ name }) => name).filter((name) => name.startsWith('tasks'))).toEqual([]);
});

test('split into branches, and run', async () => {
  const model = twoTowers();
  await saveLayouts(join(scratch, 'model'), serializeOnnx(model, { name: 'model.onnx' }));
  const { parts } = await splitIntoBranches(join(scratch, 'model'), { tasks: 2, output: join(scratch, 'branches') });
  expect(parts.map(({ file }) => file)).toEqual(['part-1.onnx', 'part-2.onnx', 'part-3.onnx']);
  await using whole = await engine.load(model);
  await using split = await openAsPlanned(join(scratch, 'branches'));
  const feeds = feedsOf(model);
  const [expected, found] = [await whole.run(feeds), await split.run(feeds)];
  for (const [name, tensor] of Object.entries(expected)) expect(Buffer.compare((found[name] as DenseTensor).bytes, (tensor as DenseTensor).bytes), name).toBe(0);

  const chain = new Net();
  chain.b.output(chain.dense(chain.b.input('x', tensorType('float32', ['batch', 8])), 8, 8), 'y', tensorType('float32', ['batch', 8]));
  await saveLayouts(join(scratch, 'chain'), serializeOnnx(chain.model, { name: 'model.onnx' }));
  await expect(splitIntoBranches(join(scratch, 'chain'), { tasks: 2, output: join(scratch, 'none') })).rejects.toMatchObject({ code: 'E_PLAN', message: expect.stringMatching(/no branches/) as string });
  expect(() => readSplitFolder({ version: 1, kind: 'tasks', inputs: [], outputs: [], parts: [{ file: '../x.onnx', inputs: [], outputs: ['y'] }] })).toThrow(/parts\[0\].file/);
  expect(() => readSplitFolder({ version: 1, kind: 'tasks', inputs: [], outputs: [], parts: [], stages: [] })).toThrow(/unknown field/);
});
