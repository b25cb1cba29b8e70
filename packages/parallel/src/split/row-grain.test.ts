import { denseOf, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { expect, test } from 'vitest';
import { rowGrain } from './row-grain.js';

function modelOf(build: (b: GraphBuilder, x: Value) => Value): Model {
  const model = new Model();
  const b = new GraphBuilder(model.graph);
  b.output(build(b, b.input('x', tensorType('float32', ['batch', 2]))), 'y');
  return model;
}
const weight = denseOf('float32', [2, 2], [1, 2, 3, 4]);

test.each<[string, number, (b: GraphBuilder, x: Value) => Value]>([
  ['a product with a weight', 1, (b, x) => b.op('MatMul', [x, b.initializer('w', weight)])],
  ['a product with a matrix that is computed', 2, (b, x) => b.op('MatMul', [x, b.op('Neg', [b.initializer('w', weight)])])],
  ['a product with a batch of matrices', 1, (b, x) => b.op('MatMul', [x, b.input('w', tensorType('float32', ['batch', 2, 2]))])],
  ['what is computed four at a time', 4, (b, x) => b.op('Softplus', [b.op('MatMul', [x, b.op('Neg', [b.initializer('w', weight)])])])],
])('%s: pieces begin at multiples of %d', (_, grain, build) => expect(rowGrain(modelOf(build))).toBe(grain));
