import { describe, expect, it } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { DenseTensor } from '../../tensor.js';
import { floats, randomTensor, rewriteBoth } from '../testing.js';

const options = { only: ['known', 'merge-unsqueeze', 'merge-reshape', 'reshape-target', 'expand-target', 'transpose-reshape', 'dead'] };
interface Axes { more: Value[]; attributes: Record<string, number[]> }
type Make = (b: GraphBuilder, x: Value, axes: (list: number[]) => Axes) => Value;

/** x is (2, 3, 4); what is left between Abs and Neg. */
const cases: [name: string, make: Make, expected: string[]][] = [
  ['Unsqueeze of Unsqueeze', (b, x, a) => un(b, 'Unsqueeze', un(b, 'Unsqueeze', x, a([1, 3])), a([0, 2])), ['Unsqueeze']],
  ['Unsqueeze of Unsqueeze from the end', (b, x, a) => un(b, 'Unsqueeze', un(b, 'Unsqueeze', x, a([-1])), a([-2])), ['Unsqueeze']],
  ['Squeeze of Unsqueeze', (b, x, a) => un(b, 'Squeeze', un(b, 'Unsqueeze', x, a([1])), a([1])), []],
  ['Squeeze of Squeeze', (b, x, a) => un(b, 'Squeeze', un(b, 'Squeeze', b.op('Reshape', [b.op('Exp', [x]), b.constant('int64', [1, 24, 1, 1])]), a([0])), a([2])), ['Exp', 'Reshape']],
  ['Reshape of Reshape', (b, x) => b.op('Reshape', [b.op('Reshape', [x, b.constant('int64', [6, 4])]), b.constant('int64', [4, -1])]), ['Reshape']],
  ['Flatten of Unsqueeze', (b, x, a) => b.op('Flatten', [un(b, 'Unsqueeze', x, a([0]))], { axis: 2 }), ['Reshape']],
  ['Reshape there and back', (b, x) => b.op('Reshape', [b.op('Reshape', [x, b.constant('int64', [24])]), b.constant('int64', [2, 3, 4])]), []],
  ['Transpose of axes of one beside a Reshape', (b, x) => b.op('Transpose', [b.op('Reshape', [x, b.constant('int64', [6, 1, 4])])], { perm: [1, 0, 2] }), ['Reshape']],
];

function un(b: GraphBuilder, opType: string, x: Value, { more, attributes }: Axes): Value {
  return b.op(opType, [x, ...more], attributes);
}

describe('chains of reshapes', () => {
  for (const opset of [11, 17]) {
    for (const [name, make, expected] of cases) {
      it(`${name}, opset ${opset}`, async () => {
        const { ops, branch } = await rewriteBoth({
          options, opset,
          build: (b, input) => b.op('Neg', [make(b, b.op('Abs', [input('x', floats(2, 3, 4))]), (list): Axes => (opset < 13 ? { more: [], attributes: { axes: list } } : { more: [b.constant('int64', list)], attributes: {} }))]),
        });
        expect(ops).toEqual(['Abs', ...expected, 'Neg']);
        expect(branch).toEqual(ops);
      });
    }
  }

  it('keeps a reshape that something else reads', async () => {
    await rewriteBoth({
      options, unchanged: true,
      build: (b, input) => {
        const flat = b.op('Reshape', [b.op('Abs', [input('x', floats(2, 3))]), b.constant('int64', [6])]);
        return [b.op('Neg', [flat]), b.op('Neg', [b.op('Reshape', [flat, b.constant('int64', [3, 2])])])];
      },
    });
  });
});

describe('targets', () => {
  const feeds = { x: randomTensor([5, 4, 6]) };
  it('of a Reshape: sizes that stay are 0, the unknown one is -1', async () => {
    for (const heads of [2, 3]) {
      const { ops, branch, model } = await rewriteBoth({
        options, feeds,
        build: (b, input) => {
          const x = input('x', floats('batch', 'seq', 6));
          const size = (i: number): Value => b.op('Gather', [b.op('Shape', [x]), b.constant('int64', [i])]);
          return b.op('Reshape', [x, b.op('Concat', [size(0), size(1), b.constant('int64', [heads, 6 / heads])], { axis: 0 })]);
        },
      });
      expect(ops).toEqual(['Reshape']);
      expect(branch).toEqual(['Reshape']);
      const [target] = [...model.graph.initializers.values()].filter((value) => value.useCount > 0);
      expect(target!.tensor!.shape).toEqual([4]);
    }
  });

  it('with two unknown sizes stay computed', async () => {
    const { ops } = await rewriteBoth({
      options, feeds,
      build: (b, input) => {
        const x = input('x', floats('batch', 'seq', 6));
        const size = (i: number): Value => b.op('Gather', [b.op('Shape', [x]), b.constant('int64', [i])]);
        return b.op('Reshape', [x, b.op('Concat', [size(1), size(0), b.constant('int64', [6])], { axis: 0 })]);
      },
    });
    expect(ops).toContain('Concat');
  });

  it('does not believe the declared shape of a computed target', async () => {
    const { ops } = await rewriteBoth({
      options,
      feeds: { x: randomTensor([4, 2]), shape: int64([2, 4]) },
      build: (b, input) => b.op('Reshape', [input('x', floats('n', 2)), input('shape', { kind: 'tensor', dtype: 'int64', shape: [2] })]),
    });
    expect(ops).toEqual(['Reshape']);
  });

  it('of an Expand', async () => {
    const { ops } = await rewriteBoth({
      options, feeds: { x: randomTensor([5, 1, 6]) },
      build: (b, input) => {
        const x = input('x', floats('batch', 1, 6));
        const batch = b.op('Gather', [b.op('Shape', [x]), b.constant('int64', [0])]);
        return b.op('Expand', [x, b.op('Concat', [batch, b.constant('int64', [3, 6])], { axis: 0 })]);
      },
    });
    expect(ops).toEqual(['Expand']);
  });
});

function int64(values: number[]) {
  return DenseTensor.of('int64', [values.length], BigInt64Array.from(values, BigInt));
}
