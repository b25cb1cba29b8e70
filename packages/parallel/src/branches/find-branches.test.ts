import { createRng, denseOf, type DenseTensor, GraphBuilder, Model, type Node, tensorType, type Value } from '@penjing/core';
import { expect, test } from 'vitest';
import { residualModel } from '../testing/residual-model.js';
import { transformerModel } from '../testing/transformer-model.js';
import { findBranches } from './find-branches.js';

const WIDTH = 4;
const weight = (seed: number): DenseTensor => {
  const rng = createRng(seed);
  return denseOf('float32', [WIDTH, WIDTH], Array.from({ length: WIDTH * WIDTH }, () => rng.uniform() - 0.5));
};

class Net {
  readonly model = new Model();
  readonly b = new GraphBuilder(this.model.graph);
  #count = 0;

  constructor() {
    this.model.opsetImports.set('', 17);
  }

  input(name: string): Value {
    return this.b.input(name, tensorType('float32', ['batch', WIDTH]));
  }

  layers(from: Value, count: number, name: string): Value {
    let x = from;
    for (let i = 0; i < count; i++) x = this.b.op('Relu', [this.b.op('MatMul', [x, this.b.initializer(`w${++this.#count}`, weight(this.#count))])], {}, { outputs: [i === count - 1 ? name : `${name}.${i}`] });
    return x;
  }

  output(value: Value, name: string): void {
    this.b.output(value, name, tensorType('float32', ['batch', WIDTH]));
  }
}

/** A product takes a second, anything else a hundredth. */
const costOf = (node: Node): number => (node.opType === 'MatMul' ? 1 : 0.01);
const found = (model: Model, devices: number, hop = 0.25) => findBranches(model, { devices, costOf, hop });

test('two towers and what joins them are three parts on two devices', () => {
  const net = new Net();
  const [left, right] = [net.layers(net.input('x'), 4, 'left'), net.layers(net.input('y'), 3, 'right')];
  net.output(net.layers(net.b.op('Mul', [left, right]), 2, 'join'), 'out');
  expect(found(net.model, 2)).toEqual([
    { inputs: ['x'], outputs: ['left'], device: 0 },
    { inputs: ['y'], outputs: ['right'], device: 1 },
    { inputs: ['left', 'right'], outputs: ['out'], device: 0 },
  ]);
  // a third device has nothing to do
  expect(new Set(found(net.model, 3).map(({ device }) => device)).size).toBe(2);
  expect(found(net.model, 1)).toEqual([]);
  expect(found(net.model, 2, 2)).toEqual([]);
});

test('branches are shared out evenly, heaviest first', () => {
  const net = new Net();
  const stem = net.layers(net.input('x'), 2, 'stem');
  const columns = [5, 4, 3, 2, 2].map((count, i) => net.layers(stem, count, `c${i}`));
  net.output(net.b.op('Sum', columns), 'out');
  const parts = found(net.model, 2);
  expect(parts.map(({ outputs }) => outputs)).toEqual([['stem'], ['c0', 'c3', 'c4'], ['c1', 'c2'], ['out']]);
  expect(parts.map(({ device }) => device)).toEqual([0, 0, 1, 0]);
});

test('forks inside of forks take the devices that are left', () => {
  const net = new Net();
  const stem = net.layers(net.input('x'), 1, 'stem');
  const upper = net.layers(stem, 1, 'upper');
  const [a, b] = [net.layers(upper, 6, 'a'), net.layers(upper, 6, 'b')];
  const joined = net.layers(net.b.op('Mul', [a, b]), 1, 'joined');
  const lower = net.layers(stem, 5, 'lower');
  net.output(net.b.op('Mul', [joined, lower]), 'out');
  const parts = found(net.model, 3);
  expect(parts.map(({ outputs, device }) => [outputs.join(), device])).toEqual([['stem', 0], ['upper', 0], ['a', 0], ['b', 1], ['joined', 0], ['lower', 2], ['out', 0]]);
});

test('a light value that all layers of both towers read ties nothing together', () => {
  const net = new Net();
  const mask = net.b.op('Abs', [net.input('mask')]);
  const tower = (name: string): Value => {
    let x = net.input(name);
    for (let i = 0; i < 3; i++) x = net.b.op('Mul', [net.layers(x, 2, `${name}${i}`), mask]);
    return x;
  };
  const [left, right] = [tower('x'), tower('y')];
  net.output(left, 'l');
  net.output(right, 'r');
  net.output(net.b.op('Add', [left, right]), 'out');
  const parts = found(net.model, 2);
  expect(parts.map(({ inputs }) => inputs)).toEqual([expect.arrayContaining(['x', 'mask']), expect.arrayContaining(['y', 'mask']), expect.any(Array)]);
  expect(parts.flatMap(({ outputs }) => outputs).sort()).toEqual(['l', 'out', 'r']);
});

test('branches that nobody reads are left out', () => {
  const net = new Net();
  const x = net.input('x');
  const [left, right] = [net.layers(x, 4, 'left'), net.layers(x, 3, 'right')];
  net.layers(x, 6, 'dead');
  net.layers(left, 5, 'deader');
  net.output(net.b.op('Mul', [left, right]), 'out');
  const parts = found(net.model, 2);
  expect(parts.map(({ outputs }) => outputs)).toEqual([['left'], ['right'], ['out']]);
});

test('graphs without branches that pay have none', () => {
  expect(found(residualModel({ hidden: [8, 8, 8] }), 4)).toEqual([]);
  // queries, keys and values are not taken apart
  const transformer = transformerModel({ hidden: 64, layers: 2, heads: 2, vocabulary: 64, dtype: 'float32' });
  expect(found(transformer, 2)).toEqual([]);
});

test.each<[string, (net: Net, step: (...from: Value[]) => Value) => Value]>([
  ['side by side', (net, step) => net.b.op('Sum', Array.from({ length: 200 }, () => Array.from({ length: 9 }).reduce<Value>((x) => step(x), net.input(`x${next++}`))))],
  ['one fork after the other', (net, step) => Array.from({ length: 660 }).reduce<Value>((x) => step(step(x), step(x)), net.input('x'))],
  ['forks inside of forks', (net, step) => {
    const nest = (x: Value, levels: number): Value => (levels === 0 ? step(x) : step(nest(step(x), levels - 1), nest(step(x), levels - 1)));
    return nest(net.input('x'), 9);
  }],
  ['a comb', (net, step) => {
    const teeth: Value[] = [];
    Array.from({ length: 1000 }).reduce<Value>((x) => (teeth.push(step(x)), step(x)), net.input('x'));
    return net.b.op('Sum', teeth);
  }],
  ['a braid', (net, step) => {
    const rng = createRng(3);
    const all = [net.input('x')];
    const any = (): Value => all[Math.max(0, all.length - 1 - Math.floor(rng.uniform() * 40))]!;
    while (all.length < 2000) all.push(step(any(), any()));
    return net.b.op('Sum', all.slice(-40));
  }],
])('two thousand nodes, %s', (_, build) => {
  const net = new Net();
  const shared = net.b.initializer('w', weight(0));
  net.output(build(net, (...from) => net.b.op('MatMul', [from.length > 1 ? net.b.op('Sum', from) : from[0]!, shared])), 'out');
  expect(net.model.graph.nodeCount).toBeGreaterThan(1200);
  const parts = found(net.model, 4);
  // every part reads what the graph is given or earlier parts gave
  const known = new Set(net.model.graph.inputs.map(({ name }) => name));
  for (const { inputs, outputs } of parts) {
    expect(inputs.filter((name) => !known.has(name))).toEqual([]);
    outputs.forEach((name) => known.add(name));
  }
});

let next = 0;
