/** Losses against their formulas, and their gradients against central differences. */
import { type DenseTensor, denseOf, type Feeds, GraphBuilder, Model, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../gradient/differentiate.js';
import { crossEntropy } from './cross-entropy.js';
import { addLoss, type Loss, weightedSum } from './loss.js';
import { cosineDistance, meanSquare, relativeSquare } from './regression.js';
import { softTargets } from './soft-targets.js';

const STUDENT = [0.5, -1, 2, 0.1, 0.2, -0.3, 1.5, 0, -2, 0.4, 0.9, -0.7];
const TEACHER = [1, -0.5, 1, 0.3, 0.6, 0.1, 2, -1, -1, 0.2, 0.3, 0.1];

/** x (2, 2, 3) → logits = x, an output beside it. */
function network(loss: Loss): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float64', ['n', 'length', 3]));
  b.initializer('projection', denseOf('float64', [3, 2], [1, 0, 0, 1, 0.5, 0.5]));
  b.output(b.op('Identity', [x]), 'logits');
  b.output(b.op('Neg', [x]), 'other');
  addLoss(model, loss);
  return model;
}

async function lossOf(model: Model, feeds: Feeds): Promise<number> {
  await using executor = await referenceEngine().load(model);
  return ((await executor.run(feeds))['loss'] as DenseTensor).data[0] as number;
}

const logSoftmax = (row: readonly number[]): number[] => row.map((v) => v - Math.log(row.reduce((sum, w) => sum + Math.exp(w), 0)));
const rows = (list: readonly number[], width = 3): number[][] => Array.from({ length: list.length / width }, (_, i) => list.slice(i * width, (i + 1) * width));
const mean = (list: readonly number[]): number => list.reduce((sum, v) => sum + v, 0) / list.length;
const divergence = (t: number): number[] => rows(STUDENT).map((row, i) => {
  const [ours, theirs] = [row, rows(TEACHER)[i]!].map((scores) => logSoftmax(scores.map((v) => v / t))) as [number[], number[]];
  return t * t * theirs.reduce((sum, log, k) => sum + Math.exp(log) * (log - ours[k]!), 0);
});
const squares = rows(STUDENT).map((row, i) => mean(row.map((v, k) => (v - rows(TEACHER)[i]![k]!) ** 2)));
const relative = squares.map((square, i) => square / mean(rows(TEACHER)[i]!.map((v) => v * v)));
const cosines = rows(STUDENT).map((row, i) => {
  const other = rows(TEACHER)[i]!;
  const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, k) => sum + v * b[k]!, 0);
  return 1 - dot(row, other) / Math.sqrt(dot(row, row) * dot(other, other));
});

const teacher = { 'teacher/logits': denseOf('float64', [2, 2, 3], TEACHER) };
const mask = { mask: denseOf('int64', [2, 2], [1, 0, 1, 1]) };
const labels = { labels: denseOf('int64', [2, 2], [2, 0, -100, 1]) };
const kept = (list: readonly number[]): number[] => list.filter((_, i) => i !== 1);
const likelihood = mean(rows(STUDENT).flatMap((row, i) => (i === 2 ? [] : [-logSoftmax(row)[[2, 0, 0, 1][i]!]!])));
const projected = rows(STUDENT).map(([a, b, c], i) => mean([a! + 0.5 * c!, b! + 0.5 * c!].map((v, k) => (v - TEACHER[2 * i + k]!) ** 2)));

const cases: readonly (readonly [string, Loss, Feeds, number])[] = [
  ['cross-entropy, a label ignored', crossEntropy(), labels, likelihood],
  ['soft targets', softTargets(), teacher, mean(divergence(1))],
  ['soft targets at a temperature', softTargets({ temperature: 2 }), teacher, mean(divergence(2))],
  ['soft targets where a mask says', softTargets({ mask: 'mask' }), { ...teacher, ...mask }, mean(kept(divergence(1)))],
  ['squared differences', meanSquare({ value: 'logits' }), teacher, mean(squares)],
  ['squared differences, projected', meanSquare({ value: 'logits', projection: 'projection' }), { 'teacher/logits': denseOf('float64', [2, 2, 2], TEACHER.slice(0, 8)) }, mean(projected)],
  ['squared differences as a share', relativeSquare({ value: 'logits' }), teacher, mean(relative)],
  ['cosines where a mask says', cosineDistance({ value: 'logits', mask: 'mask' }), { ...teacher, ...mask }, mean(kept(cosines))],
  ['a weighted sum', weightedSum([[1, crossEntropy()], [0.5, softTargets()], [3, meanSquare({ value: 'logits' })]]), { ...labels, ...teacher }, likelihood + 0.5 * mean(divergence(1)) + 3 * mean(squares)],
];

describe.each(cases)('%s', (_, loss, feeds, wanted) => {
  test('has the value of its formula', async () => {
    expect(await lossOf(network(loss), { x: denseOf('float64', [2, 2, 3], STUDENT), ...feeds })).toBeCloseTo(wanted, 9);
  });

  test('has the gradient of central differences', async () => {
    const model = network(loss);
    differentiate(model, { loss: 'loss', of: ['x'] });
    await using executor = await referenceEngine().load(model);
    const at = (values: readonly number[]): Feeds => ({ x: denseOf('float64', [2, 2, 3], values), ...feeds });
    const gradient = (await executor.run(at(STUDENT)))['gradient/x'] as DenseTensor;
    const step = 1e-5;
    for (let i = 0; i < STUDENT.length; i++) {
      const moved = (by: number): number[] => STUDENT.map((v, k) => (k === i ? v + by : v));
      const [above, below] = [(await executor.run(at(moved(step))))['loss'], (await executor.run(at(moved(-step))))['loss']] as [DenseTensor, DenseTensor];
      expect(gradient.data[i]).toBeCloseTo(((above.data[0] as number) - (below.data[0] as number)) / (2 * step), 7);
    }
  });
});

test('the loss is the only output, and inputs that two terms name are one', () => {
  const model = network(weightedSum([[1, softTargets({ mask: 'mask' })], [1, meanSquare({ value: 'logits', mask: 'mask' })]]));
  expect(model.graph.outputs.map(({ name }) => name)).toEqual(['loss']);
  expect(model.graph.inputs.map(({ name }) => name)).toEqual(['x', 'teacher/logits', 'mask']);
});

test('a value that is not there, and a sum of nothing, are named', () => {
  expect(() => network(crossEntropy({ logits: 'scores' }))).toThrow(/no value scores/);
  expect(() => network(weightedSum([]))).toThrow(expect.objectContaining({ code: 'E_OPTION' }) as Error);
});
