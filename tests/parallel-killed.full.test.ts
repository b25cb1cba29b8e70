/** Worker threads of ONNX Runtime that really end between two runs are replaced, and what was on its way to them is done again. (One that is ended inside of ONNX Runtime takes the process with it: RunGate.) */
import type { Worker } from 'node:worker_threads';
import { DenseTensor, GraphBuilder, Model, tensorType } from '@penjing/core';
import type { Layout } from '@penjing/parallel';
import { openLayout } from '@penjing/parallel/node';
import { ortEngine } from '@penjing/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';

const WIDTH = 64;
const device: Layout = { kind: 'device', device: 'cpu', threads: 1 };
const workers: Worker[] = [];
const note = (worker: Worker): void => void workers.push(worker);
beforeAll(() => void process.on('worker', note));
afterAll(() => void process.off('worker', note));

function chain(): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const w = b.initializer('w', DenseTensor.of('float32', [WIDTH, WIDTH], Float32Array.from({ length: WIDTH * WIDTH }, (_, i) => Math.sin(i) / 8)));
  const h = b.op('MatMul', [b.input('x', tensorType('float32', ['batch', WIDTH])), w], {}, { outputs: ['h'] });
  b.output(b.op('MatMul', [h, w]), 'y', tensorType('float32', ['batch', WIDTH]));
  return model;
}

test.each<[string, Layout]>([
  ['replicas', { kind: 'data', reduction: 'concat', replicas: [device, device] }],
  ['stages', { kind: 'pipeline', microBatches: 4, stages: [{ inputs: ['x'], outputs: ['h'], layout: device }, { inputs: ['h'], outputs: ['y'], layout: device }] }],
])('%s', async (_, layout) => {
  workers.splice(0);
  await using executor = await openLayout(chain(), layout, { engine: ortEngine({ threads: 1 }) });
  const feeds = { x: DenseTensor.of('float32', [8, WIDTH], Float32Array.from({ length: 8 * WIDTH }, (_, i) => Math.cos(i))) };
  const before = await executor.run(feeds);
  expect(workers).toHaveLength(2);
  // the second stage: what it is sent was given away by the first
  const ended = workers[1]!.terminate();
  const [after, again] = await Promise.all([executor.run(feeds), executor.run(feeds)]);
  await ended;
  expect(after).toEqual(before);
  expect(again).toEqual(before);
  expect(workers).toHaveLength(3);
});
