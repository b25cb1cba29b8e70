import { denseOf, type Feeds, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import type { Layout } from '../plan/plan.js';
import { openLayout } from '../node/open-layout.js';
import { relativeDifference } from '../testing/relative-difference.js';
import { provenBatch } from './follow-rows.js';

type Build = (b: GraphBuilder, x: Value) => Value;

function modelOf(build: Build): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  model.opsetImports.set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  b.output(build(b, b.input('x', tensorType('float32', ['batch', 4]))), 'y');
  return model;
}

const feeds: Feeds = { x: denseOf('float32', [4, 4], Array.from({ length: 16 }, (_, i) => 3 * Math.sin(i * i))) };
const replicas: Layout = { kind: 'data', reduction: 'concat', replicas: [{ kind: 'device', device: 'cpu' }, { kind: 'device', device: 'cpu' }] };
const ints = (b: GraphBuilder, ...values: number[]): Value => b.constant('int64', values);
const weight = (b: GraphBuilder, ...shape: number[]): Value => b.initializer(`w${shape.join('x')}`, denseOf('float32', shape, Array.from({ length: shape.reduce((a, c) => a * c, 1) }, (_, i) => Math.cos(i))));
const shapeOf = (b: GraphBuilder, x: Value, axis: number): Value => b.op('Gather', [b.op('Shape', [x]), ints(b, axis)], { axis: 0 });

const mixing: [string, Build][] = [
  ['Softmax over the batch', (b, x) => b.op('Softmax', [x], { axis: 0 })],
  ['a product over the batch', (b, x) => b.op('MatMul', [x, b.op('Transpose', [x])])],
  ['a sum over the batch, added to rows', (b, x) => b.op('Add', [x, b.op('ReduceSum', [x, ints(b, 0)])])],
  ['a mean of all', (b, x) => b.op('Sub', [x, b.op('ReduceMean', [x], { keepdims: 0 })])],
  ['CumSum', (b, x) => b.op('CumSum', [x, b.constant('int64', 0)])],
  ['TopK', (b, x) => b.nodes('TopK', [x, ints(b, 4)], { axis: 0 }, { outputCount: 2 })[0]!],
  ['ArgMax', (b, x) => b.op('Add', [x, b.op('Cast', [b.op('ArgMax', [x], { axis: 0 })], { to: 1 })])],
  ['Concat', (b, x) => b.op('Concat', [x, x], { axis: 0 })],
  ['the first row for all', (b, x) => b.op('Sub', [x, b.op('Slice', [x, ints(b, 0), ints(b, 1), ints(b, 0)])])],
  ['rows picked', (b, x) => b.op('Gather', [x, ints(b, 0)], { axis: 0 })],
  ['rows in another order', (b, x) => b.op('Slice', [x, ints(b, -1), ints(b, -5), ints(b, 0), ints(b, -1)])],
  ['rows one after the other', (b, x) => b.op('Reshape', [b.op('Transpose', [x]), ints(b, -1, 4)])],
  ['the number of rows', (b, x) => b.op('Mul', [x, b.op('Cast', [shapeOf(b, x, 0)], { to: 1 })])],
  ['numbers of rows', (b, x) => b.op('Add', [x, b.op('Unsqueeze', [b.op('Cast', [b.op('Range', [b.constant('int64', 0), b.op('Squeeze', [shapeOf(b, x, 0)]), b.constant('int64', 1)])], { to: 1 }), ints(b, 1)])])],
  ['one scale for all rows', (b, x) => b.op('Cast', [b.nodes('DynamicQuantizeLinear', [x], {}, { outputCount: 3 })[0]!], { to: 1 })],
  ['LayerNormalization from the batch on', (b, x) => b.op('MeanVarianceNormalization', [x], { axes: [0, 1] })],
];

const apart: [string, Build][] = [
  ['Softmax in a row', (b, x) => b.op('Softmax', [x], { axis: 1 })],
  ['layers', (b, x) => b.op('Relu', [b.op('Gemm', [b.op('MatMul', [x, weight(b, 4, 4)]), weight(b, 4, 3), weight(b, 3)])])],
  ['Gemm of a turned batch', (b, x) => b.op('Gemm', [b.op('Transpose', [x]), weight(b, 4, 3)], { transA: 1 })],
  ['a row of one more, as wide as the batch', (b, x) => b.op('Concat', [b.op('Expand', [weight(b, 1, 1), b.op('Concat', [shapeOf(b, x, 0), ints(b, 1)], { axis: 0 })]), x], { axis: 1 })],
  ['several things in a row', (b, x) => b.op('Reshape', [b.op('MatMul', [b.op('Reshape', [x, ints(b, -1, 2)]), weight(b, 2, 3)]), b.op('Concat', [shapeOf(b, x, 0), ints(b, -1)], { axis: 0 })])],
  ['a table', (b, x) => b.op('Gather', [weight(b, 5, 3), b.op('ArgMax', [x], { axis: 1, keepdims: 0 })])],
  ['a convolution', (b, x) => b.op('GlobalAveragePool', [b.op('Conv', [b.op('Reshape', [x, ints(b, 0, 1, 2, 2)]), weight(b, 2, 1, 1, 1)])])],
  ['numbers of rows, looked up in rows', (b, x) => b.op('Gather', [x, b.op('Range', [b.constant('int64', 0), b.op('Squeeze', [shapeOf(b, x, 0)]), b.constant('int64', 1)])])],
  ['the largest in a row', (b, x) => b.nodes('TopK', [x, ints(b, 2)], { axis: 1 }, { outputCount: 2 })[0]!],
];

describe('a batch', () => {
  test.each(mixing)('stays whole: %s', (_, build) => expect(provenBatch(modelOf(build))).toBeUndefined());
  test.each(apart)('is cut: %s', (_, build) => expect(provenBatch(modelOf(build))).toEqual({ symbol: 'batch', inputs: { x: 0 }, outputs: { y: 0 } }));

  test.each([...mixing, ...apart])('on two replicas gives what it gives on one: %s', async (_, build) => {
    const engine = referenceEngine();
    await using whole = await engine.load(modelOf(build));
    await using parts = await openLayout(modelOf(build), replicas, { engine });
    expect(relativeDifference(await parts.run(feeds), await whole.run(feeds))).toBe(0);
  });

  test('is found where it is not the first axis', () => {
    expect(provenBatch(modelOf((b, x) => b.op('Transpose', [x])))).toEqual({ symbol: 'batch', inputs: { x: 0 }, outputs: { y: 1 } });
  });

  test('stays whole where chance decides, and where a subgraph sees rows', () => {
    expect(provenBatch(modelOf((b, x) => b.op('Add', [x, b.op('RandomNormalLike', [x])])))).toBeUndefined();
    expect(provenBatch(modelOf((b, x) => b.op('Relu', [x])))).toBeDefined();
  });
});
