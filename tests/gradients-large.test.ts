/** Gradients of networks large enough for the forms that only large ones take, against those of the same network with sizes unknown. */
import { createRng, DenseTensor, GraphBuilder, Model, type Shape, tensorType, type Value } from '@penjing/core';
import { differentiate, gradientName } from '@penjing/distill';
import { describe, expect, test } from 'vitest';
import { TestSession } from './support/ort-session.js';

const SHAPES: Readonly<Record<string, Shape>> = { x: [64, 8, 24, 24], first: [8, 8, 3, 3], scale: [8], shift: [8], second: [4, 8, 3, 3] };

/** Convolution, normalization by the batch, convolution. Without `known`, images of any number and size. */
async function gradients(known: boolean, threads: number): Promise<ReadonlyMap<string, Float32Array>> {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const rng = createRng(5);
  const feeds: Record<string, DenseTensor> = {};
  const input = (name: string): Value => {
    const shape = SHAPES[name]!;
    feeds[name] = DenseTensor.of('float32', shape, Float32Array.from({ length: shape.reduce((x, y) => x * y, 1) }, () => rng.normal()));
    return b.input(name, tensorType('float32', known || name !== 'x' ? shape : ['n', 8, 'h', 'w']));
  };
  const statistics = [0, 1].map((value) => b.constant('float32', new Array<number>(8).fill(value)));
  const y = b.op('Conv', [input('x'), input('first')], { pads: [1, 1, 1, 1] });
  const normed = b.nodes('BatchNormalization', [y, input('scale'), input('shift'), ...statistics], { training_mode: 1 }, { outputCount: 3 })[0]!;
  const z = b.op('Conv', [b.op('Relu', [normed]), input('second')], { pads: [1, 1, 1, 1] });
  b.output(b.op('ReduceMean', [b.op('Mul', [z, b.op('Sin', [z])])], { keepdims: 0 }), 'loss', tensorType('float32', []));
  differentiate(model, { loss: 'loss', of: Object.keys(SHAPES) });
  const chunks = [...model.graph.nodes()].filter(({ opType }) => opType === 'Split').length;
  expect(chunks).toBe(known ? 4 : 0);
  await using session = await TestSession.load(model, { threads });
  const outputs = await session.run(feeds);
  return new Map(Object.keys(SHAPES).map((name) => [name, outputs[gradientName(name)]!.data as Float32Array]));
}

describe.each([1, 2])('on %i threads', (threads) => {
  test('large images and batches', async () => {
    const [wanted, found] = [await gradients(false, threads), await gradients(true, threads)];
    for (const [name, values] of wanted) {
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const error = values.reduce((most, value, i) => Math.max(most, Math.abs(value - found.get(name)![i]!)), 0);
      expect([name, largest > 0, error / largest < 1e-4]).toEqual([name, true, true]);
    }
  });
});
