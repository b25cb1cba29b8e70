/** Running means and variances of a training step, before and after differentiation. */
import { assertSound, denseOf, type DenseTensor, GraphBuilder, Model, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { expect, test } from 'vitest';
import { differentiate, gradientName } from '../gradient/differentiate.js';
import { addLoss } from '../losses/loss.js';
import { trainableInputs } from '../trainable-inputs.js';
import { batchStatistics } from './batch-statistics.js';

function network(): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const vector = (name: string, values: readonly number[]) => b.initializer(name, denseOf('float32', [2], values));
  const y = b.op('BatchNormalization', [b.input('x', tensorType('float32', ['n', 2, 3])), vector('scale', [1, 2]), vector('bias', [0, 1]), vector('mean', [5, 6]), vector('variance', [7, 8])], { momentum: 0.75 });
  b.output(b.op('Relu', [y]), 'y');
  return model;
}

// channel 0: 1 … 3 and 4 … 6, channel 1 twice the squares of that
const x = denseOf('float32', [2, 2, 3], [1, 2, 3, 2, 8, 18, 4, 5, 6, 32, 50, 72]);
const moments = (values: readonly number[]): readonly [number, number] => {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return [mean, values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length];
};
const [[mean0, variance0], [mean1, variance1]] = [moments([1, 2, 3, 4, 5, 6]), moments([2, 8, 18, 32, 50, 72])];

test.each([false, true])('the batch normalizes, and its statistics move the running ones (differentiated: %s)', async (differentiated) => {
  const model = network();
  const statistics = batchStatistics(model);
  expect(statistics).toEqual([{ name: 'mean', output: 'updated/mean' }, { name: 'variance', output: 'updated/variance' }]);
  assertSound(model);
  addLoss(model, ({ b, value }) => b.op('ReduceMean', [value('y')], { keepdims: 0 }), { keep: ['y', ...statistics.map(({ output }) => output)] });
  const weights = await trainableInputs(model);
  expect([...weights.keys()]).toEqual(['scale', 'bias']);
  if (differentiated) differentiate(model, { loss: 'loss', of: [...weights.keys()] });
  assertSound(model);
  await using executor = await referenceEngine().load(model);
  const outputs = (await executor.run({ x, mean: denseOf('float32', [2], [5, 6]), variance: denseOf('float32', [2], [7, 8]), ...Object.fromEntries(weights) })) as Record<string, DenseTensor>;
  const close = (name: string, wanted: readonly number[]): void => [...(outputs[name]!.data as Float32Array)].forEach((value, i) => expect(value).toBeCloseTo(wanted[i]!, 4));
  close('updated/mean', [0.75 * 5 + 0.25 * mean0, 0.75 * 6 + 0.25 * mean1]);
  close('updated/variance', [0.75 * 7 + 0.25 * variance0, 0.75 * 8 + 0.25 * variance1]);
  const unit = (value: number, mean: number, variance: number): number => (value - mean) / Math.sqrt(variance + 1e-5);
  close('y', [...[1, 2, 3].map((value) => unit(value, mean0, variance0)), ...[2, 8, 18].map((value) => 2 * unit(value, mean1, variance1) + 1),
    ...[4, 5, 6].map((value) => unit(value, mean0, variance0)), ...[32, 50, 72].map((value) => 2 * unit(value, mean1, variance1) + 1)].map((value) => Math.max(0, value)));
  if (differentiated) expect((outputs[gradientName('bias')]!.data as Float32Array)[1]).toBeCloseTo(3 / 12, 5);
});

test('statistics that are not stored, or are read twice, stay as they are', () => {
  const model = network();
  const b = new GraphBuilder(model.graph);
  b.output(b.op('Identity', [model.graph.initializers.get('mean')]), 'seen');
  expect(batchStatistics(model)).toEqual([]);
  expect([...model.graph.initializers.keys()]).toContain('mean');
});
