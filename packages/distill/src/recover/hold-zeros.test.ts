/** Zeros that training leaves alone. */
import { createRng, denseOf, GraphBuilder, inlineJobs, Model, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { plainKernels } from '@penjing/kernels';
import { expect, test } from 'vitest';
import { adamW } from '../optimizers/adam-w.js';
import { chain } from '../optimizers/chain.js';
import { clipByNorm } from '../optimizers/clip.js';
import { lion } from '../optimizers/lion.js';
import type { Optimizer } from '../optimizers/optimizer.js';
import { sgd } from '../optimizers/sgd.js';
import { holdZeros, prunedWeights } from './hold-zeros.js';

test.each<[string, Optimizer]>([
  ['AdamW', adamW({ rate: 0.1, weightDecay: 0.1 })],
  ['momentum', sgd({ rate: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.1 })],
  ['Lion', lion({ rate: 0.01, weightDecay: 0.1 })],
])('under %s zeros stay and the others move', async (_, optimizer) => {
  const rng = createRng(1);
  const w = Float32Array.from({ length: 64 }, (_, i) => (i % 3 === 0 ? 0 : rng.normal()));
  const before = w.slice();
  const weights = new Map([['w', w], ['bias', new Float32Array(4)]]);
  const held = chain(holdZeros({ select: (name) => name === 'w' }), clipByNorm(1), optimizer);
  const state = held.init(weights);
  for (let step = 0; step < 30; step++) await held.update(weights, new Map([['w', w.map(() => rng.normal())], ['bias', Float32Array.of(1, 1, 1, 1)]]), state, step);
  expect(w.every((value, i) => (value === 0) === (before[i] === 0))).toBe(true);
  expect(w.every((value, i) => value === 0 || value !== before[i])).toBe(true);
  expect(weights.get('bias')!.every((value) => value < 0)).toBe(true);
});

test('gradients of zeros do not count in the norm', async () => {
  const gradients = new Map([['w', Float32Array.of(3, 100)]]);
  const weights = new Map([['w', Float32Array.of(1, 0)]]);
  await chain(holdZeros(), clipByNorm(3)).update(weights, gradients, new Map(), 0);
  expect([...gradients.get('w')!]).toEqual([3, 0]);
});

test('pruned weights are found: not biases, not what is all zeros', async () => {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, zeros: number): ReturnType<GraphBuilder['initializer']> => b.initializer(name, denseOf('float32', [4, 4], Array.from({ length: 16 }, (_, i) => (i < zeros ? 0 : 1))));
  let x = b.input('x', tensorType('float32', ['n', 4]));
  for (const [name, zeros] of [['half', 8], ['dense', 0], ['begins', 16]] as const) x = b.op('MatMul', [x, weight(name, zeros)]);
  b.output(b.op('Add', [x, b.initializer('bias', denseOf('float32', [4], [0, 0, 0, 0]))]), 'y');
  const jobs = inlineJobs({ engine: referenceEngine(), kernels: plainKernels() });
  expect([...(await prunedWeights(model, { jobs }))]).toEqual([['half', 0.5]]);
});
