import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../builder.js';
import { attribute } from '../graph/attribute.js';
import { check } from '../graph/check.js';
import { cloneModel } from '../graph/clone.js';
import { Graph } from '../graph/graph.js';
import { Model } from '../graph/model.js';
import type { Value } from '../graph/value.js';
import { tensorType } from '../graph/value-type.js';
import { referenceEngine } from '../reference/engine.js';
import { denseOf } from '../builder.js';
import { floats, randomTensor } from './testing.js';
import { upgradeOpset } from './upgrade-opset.js';

type Make = (b: GraphBuilder, x: Value) => Value;

/** x is (2, 3, 4, 4). */
const cases: [name: string, from: number, make: Make, expected: string[]][] = [
  ['Slice by attributes', 9, (b, x) => b.op('Slice', [x], { starts: [1, 0], ends: [3, 9], axes: [1, -1] }), ['Slice']],
  ['TopK by attribute', 9, (b, x) => b.op('TopK', [x], { k: 2, axis: 3 }, { outputCount: 2 }), ['TopK']],
  ['Upsample', 9, (b, x) => b.op('Upsample', [x, b.constant('float32', [1, 1, 2, 3])], { mode: 'nearest' }), ['Resize']],
  ['Upsample by attribute, linear', 7, (b, x) => b.op('Upsample', [x], { mode: 'linear', scales: attribute.floats([1, 1, 2, 2]) }), ['Resize']],
  ['Clip by attributes', 9, (b, x) => b.op('Clip', [b.op('Clip', [x], { min: attribute.float(-0.5), max: attribute.float(0.5) })], { max: attribute.float(0.25) }), ['Clip', 'Clip']],
  ['Pad by attributes', 9, (b, x) => b.op('Pad', [x], { pads: [0, 0, 1, 0, 0, 0, 0, 2], value: attribute.float(1.5) }), ['Pad']],
  ['Dropout with a ratio', 10, (b, x) => b.op('Dropout', [x], { ratio: attribute.float(0.25) }), ['Dropout']],
  ['Softmax over everything from an axis on', 11, (b, x) => b.op('Softmax', [x], { axis: 2 }), ['Flatten', 'Shape', 'Softmax', 'Reshape']],
  ['Softmax without axis', 11, (b, x) => b.op('LogSoftmax', [x]), ['Flatten', 'Shape', 'LogSoftmax', 'Reshape']],
  ['Softmax over the last axis', 11, (b, x) => b.op('Softmax', [x], { axis: 3 }), ['Softmax']],
  ['Squeeze and Unsqueeze', 11, (b, x) => b.op('Squeeze', [b.op('Unsqueeze', [x], { axes: [0, 5] })], { axes: [5] }), ['Unsqueeze', 'Squeeze']],
  ['Split', 11, (b, x) => b.nodes('Split', [x], { axis: 3, split: [1, 3] }, { outputCount: 2 })[1]!, ['Split']],
  ['Split into equal parts', 13, (b, x) => b.nodes('Split', [x], { axis: 3 }, { outputCount: 2 })[1]!, ['Split']],
  ['reductions', 11, (b, x) => b.op('ReduceMax', [b.op('ReduceSum', [x], { axes: [-1] })], { axes: [2], keepdims: 0 }), ['ReduceSum', 'ReduceMax']],
  ['BatchNormalization', 8, (b, x) => b.op('BatchNormalization', [x, ...[1, 2, 3, 4].map((i) => b.constant('float32', [i, 2, 3]))], { spatial: 1 }), ['BatchNormalization']],
  ['GridSample', 16, (b, x) => b.op('GridSample', [x, b.constant('float32', [0, 0.5, -0.5, 0.25, 0, 0.5, -0.5, 0.25], [2, 2, 1, 2])], { mode: 'bilinear' }), ['GridSample']],
];

function modelOf(from: number, make: Make, inBranch: boolean): Model {
  const model = new Model();
  model.irVersion = 4;
  model.opsetImports.set('', from);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', floats(2, 3, 4, 4));
  if (!inBranch) {
    b.output(make(b, x), 'y');
    return model;
  }
  const branches = ['then', 'else'].map((name) => {
    const graph = new Graph(name);
    const inner = new GraphBuilder(graph);
    inner.output(make(inner, x), `${name}_y`);
    return graph;
  });
  const condition = b.input('condition', tensorType('bool', []));
  b.output(b.op('If', [condition], { then_branch: attribute.graph(branches[0]!), else_branch: attribute.graph(branches[1]!) }), 'y');
  return model;
}

describe('upgradeOpset', () => {
  for (const [name, from, make, expected] of cases) {
    it(`${name}, from opset ${from}`, async () => {
      for (const inBranch of [false, true]) {
        const original = modelOf(from, make, inBranch);
        const model = cloneModel(original);
        expect(upgradeOpset(model, 21)).toMatchObject({ from, to: 21 });
        expect(check(model)).toEqual([]);
        expect(model.opset()).toBe(21);
        expect(model.irVersion).toBe(10);
        const graph = inBranch ? [...model.graph.nodes()].find((node) => node.opType === 'If')!.subgraph('else_branch')! : model.graph;
        expect([...graph.nodes()].map((node) => node.opType)).toEqual(expected);
        const feeds = { x: randomTensor([2, 3, 4, 4]), ...(inBranch && { condition: denseOf('bool', [], [0]) }) };
        const [a, b] = [await (await referenceEngine().load(original)).run(feeds), await (await referenceEngine().load(model)).run(feeds)];
        expect(b).toEqual(a);
      }
    });
  }

  it('names what it cannot raise and changes nothing', () => {
    const model = modelOf(18, (b, x) => b.op('GroupNormalization', [x, b.constant('float32', [1]), b.constant('float32', [0])], { num_groups: 1 }), false);
    expect(() => upgradeOpset(model, 21)).toThrowError(expect.objectContaining({ code: 'E_OPSET', message: expect.stringMatching(/GroupNormalization.*per channel/) as string }) as Error);
    expect(model.opset()).toBe(18);
    expect(upgradeOpset(model, 20)).toMatchObject({ from: 18, to: 20, adapted: {} });
  });

  it('refuses to lower, and targets it does not know', () => {
    const model = modelOf(18, (b, x) => b.op('Relu', [x]), false);
    for (const target of [17, 5, 99, 18.5]) expect(() => upgradeOpset(model, target)).toThrowError(expect.objectContaining({ code: 'E_OPSET' }) as Error);
    expect(upgradeOpset(model, 18).adapted).toEqual({});
  });
});
