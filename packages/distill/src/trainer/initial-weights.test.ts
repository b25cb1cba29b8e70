/** What weights are for: which of them muon takes, and how random ones are drawn. */
import { denseOf, GraphBuilder, Model, type Tensor, tensorType, type Value } from '@penjing/core';
import { expect, test } from 'vitest';
import { hiddenMatrices } from '../optimizers/hidden-matrices.js';
import { initialWeights } from './initial-weights.js';

const stored = (model: Model): Map<string, Tensor> => new Map([...model.graph.initializers].flatMap(([name, { tensor }]) => (tensor && tensor.shape.length > 0 && !name.startsWith('constant_') ? [[name, tensor] as const] : [])));

class Layers {
  readonly model = new Model();
  readonly b: GraphBuilder;
  constructor() {
    this.model.opsetImports.set('', 21);
    this.b = new GraphBuilder(this.model.graph);
  }
  weight(name: string, ...shape: number[]): Value {
    return this.b.initializer(name, denseOf('float32', shape, new Array<number>(shape.reduce((a, c) => a * c, 1)).fill(0.5)));
  }
  op(opType: string, ...inputs: Value[]): Value {
    return this.b.op(opType, inputs);
  }
}

/** Two blocks of a decoder with a rotation, a mask that both read, a gated middle and one table for words and scores. */
function decoder(): Model {
  const l = new Layers();
  const table = l.weight('table', 20, 8);
  let x = l.op('Gather', table, l.b.input('tokens', tensorType('int64', ['n', 5])));
  const mask = l.op('Neg', l.b.input('mask', tensorType('float32', ['n', 5, 5])));
  const norm = (name: string, value: Value): Value => l.op('RMSNormalization', value, l.weight(`${name}.gain`, 8));
  for (const layer of [0, 1]) {
    const h = norm(`${layer}.in`, x);
    const [q, k, v] = ['q', 'k', 'v'].map((name) => l.op('MatMul', h, l.weight(`${layer}.${name}`, 8, 8))) as [Value, Value, Value];
    const turned = l.op('Add', l.op('Mul', q, l.op('Cos', q)), l.op('Mul', q, l.op('Sin', q)));
    const scores = l.op('Add', l.op('MatMul', turned, l.b.op('Transpose', [k], { perm: [0, 2, 1] })), mask);
    x = l.op('Add', x, l.op('Add', l.op('MatMul', l.op('MatMul', l.op('Softmax', scores), v), l.weight(`${layer}.o`, 8, 8)), l.weight(`${layer}.o.shift`, 8)));
    const m = norm(`${layer}.middle`, x);
    const gate = l.op('MatMul', m, l.weight(`${layer}.gate`, 8, 12));
    const up = l.op('MatMul', m, l.weight(`${layer}.up`, 8, 12));
    x = l.op('Add', l.op('MatMul', l.op('Mul', l.op('Mul', gate, l.op('Sigmoid', gate)), up), l.weight(`${layer}.down`, 12, 8)), x);
  }
  l.b.output(l.op('MatMul', norm('last', x), l.b.op('Transpose', [table], { perm: [1, 0] })), 'logits');
  return l.model;
}

/** A residual network: a stem, a block with a grouped kernel and norms, a classifier. */
function convolutions(): Model {
  const l = new Layers();
  const norm = (name: string, x: Value): Value => l.op('BatchNormalization', x, l.weight(`${name}.0`, 4), l.weight(`${name}.1`, 4), l.weight(`${name}.2`, 4), l.weight(`${name}.3`, 4));
  let x = l.op('Relu', l.op('Conv', l.b.input('x', tensorType('float32', ['n', 3, 8, 8])), l.weight('stem', 4, 3, 3, 3), l.weight('B', 4)));
  const grouped = l.b.op('Conv', [x, l.weight('depthwise', 4, 1, 3, 3)], { group: 4, pads: [1, 1, 1, 1] });
  x = l.op('Add', norm('norm', l.op('Conv', grouped, l.weight('pointwise', 4, 4, 1, 1))), x);
  const flat = l.b.op('Flatten', [x]);
  l.b.output(l.b.op('Gemm', [l.op('Relu', l.b.op('Gemm', [flat, l.weight('wide', 10, 144)], { transB: 1 })), l.weight('last', 10, 2), l.weight('C', 2)]), 'logits');
  return l.model;
}

test('muon takes what stands between the first layer and the last', () => {
  expect(hiddenMatrices(decoder())).toEqual([0, 1].flatMap((layer) => [
    ...['q', 'k', 'v', 'o'].map((name) => ({ name: `${layer}.${name}`, rows: 8, cols: 8, turned: true })),
    { name: `${layer}.gate`, rows: 8, cols: 12, turned: true }, { name: `${layer}.up`, rows: 8, cols: 12, turned: true }, { name: `${layer}.down`, rows: 12, cols: 8, turned: true },
  ]));
  expect(hiddenMatrices(convolutions())).toEqual([{ name: 'pointwise', rows: 4, cols: 4, turned: false }, { name: 'wide', rows: 10, cols: 144, turned: false }]);
});

test('what adds to the stream of a decoder is smaller by the root of how often that happens', () => {
  const model = decoder();
  const draws = initialWeights(model, stored(model), { std: 0.02 });
  const normal = (std: number): unknown => ({ mean: 0, std });
  for (const layer of [0, 1]) {
    for (const name of ['q', 'k', 'v', 'gate', 'up']) expect(draws[`${layer}.${name}`]).toEqual(normal(0.02));
    for (const name of ['o', 'down']) expect(draws[`${layer}.${name}`]).toEqual(normal(0.02 / 2));
    expect(draws[`${layer}.in.gain`]).toEqual({ mean: 1, std: 0 });
    expect(draws[`${layer}.o.shift`]).toEqual({ mean: 0, std: 0 });
  }
  expect(draws['table']).toEqual(normal(0.02));
});

test('kernels by their inputs, vectors by what reads them', () => {
  const model = convolutions();
  const draws = initialWeights(model, stored(model), { std: 0.02 });
  expect(Object.fromEntries(Object.entries(draws).map(([name, { mean, std }]) => [name, std === 0 ? mean : `±${std.toFixed(4)}`]))).toEqual({
    stem: `±${Math.sqrt(2 / 27).toFixed(4)}`, depthwise: `±${Math.sqrt(2 / 9).toFixed(4)}`, pointwise: `±${Math.sqrt(2 / 4).toFixed(4)}`, wide: '±0.0200', last: '±0.0200',
    B: 0, C: 0, 'norm.0': 1, 'norm.1': 0, 'norm.2': 0, 'norm.3': 1,
  });
});
