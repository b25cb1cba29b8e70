import { describe, expect, it } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { floats, rewriteBoth } from '../testing.js';

const only = ['merge-transpose', 'merge-cast', 'merge-slice', 'merge-concat', 'merge-pad', 'gather-unsqueeze', 'concat-gather', 'reduce-squeeze', 'dead', 'identity'];
const ints = (b: GraphBuilder, ...values: number[]): Value => b.constant('int64', values);
const slice = (b: GraphBuilder, x: Value, start: number, end: number, axis: number, step = 1): Value => b.op('Slice', [x, ints(b, start), ints(b, end), ints(b, axis), ints(b, step)]);

/** x is (2, 3, 4). */
const cases: [name: string, make: (b: GraphBuilder, x: Value) => Value, expected: string[]][] = [
  ['Transpose of Transpose', (b, x) => b.op('Transpose', [b.op('Transpose', [x], { perm: [1, 2, 0] })], { perm: [1, 0, 2] }), ['Transpose']],
  ['Transpose there and back', (b, x) => b.op('Transpose', [b.op('Transpose', [x], { perm: [1, 2, 0] })], { perm: [2, 0, 1] }), []],
  ['Transpose without perm, twice', (b, x) => b.op('Transpose', [b.op('Transpose', [x])]), []],
  ['Cast through a wider type', (b, x) => b.op('Cast', [b.op('Cast', [x], { to: 11 })], { to: 1 }), []],
  ['Cast through a narrower type stays', (b, x) => b.op('Cast', [b.op('Cast', [x], { to: 6 })], { to: 1 }), ['Cast', 'Cast']],
  ['Slices of different axes', (b, x) => slice(b, slice(b, x, 1, 3, 1), -1, -4, 2, -2), ['Slice']],
  ['Slices of the same axis stay', (b, x) => slice(b, slice(b, x, 1, 3, 1), 0, 1, 1), ['Slice', 'Slice']],
  ['Concat of Concat', (b, x) => b.op('Concat', [x, b.op('Concat', [x, x], { axis: -1 })], { axis: 2 }), ['Concat']],
  ['Concat along another axis stays', (b, x) => b.op('Concat', [b.op('Concat', [x, x], { axis: 1 }), b.op('Concat', [x, x], { axis: 1 })], { axis: 2 }), ['Concat', 'Concat', 'Concat']],
  ['Concat of a Split', (b, x) => b.op('Concat', b.nodes('Split', [x, ints(b, 1, 3)], { axis: 2 }, { outputCount: 2 }), { axis: 2 }), []],
  ['Concat of a Split the other way round stays', (b, x) => b.op('Concat', b.nodes('Split', [x, ints(b, 1, 3)], { axis: 2 }, { outputCount: 2 }).reverse(), { axis: 2 }), ['Split', 'Concat']],
  ['Pad of Pad', (b, x) => b.op('Pad', [b.op('Pad', [x, ints(b, 0, 1, 0, 0, 0, 2)]), ints(b, 1, 0, 1, 0, 0, 0)]), ['Pad']],
  ['Pad that cuts stays', (b, x) => b.op('Pad', [b.op('Pad', [x, ints(b, 0, -1, 0, 0, 0, 2)]), ints(b, 0, 1, 0, 0, 0, 0)]), ['Pad', 'Pad']],
  ['Unsqueeze of a Gather', (b, x) => b.op('Unsqueeze', [b.op('Gather', [x, b.constant('int64', 1)], { axis: -2 }), ints(b, 1)]), ['Gather']],
  ['Concat of Gathers', (b, x) => b.op('Concat', [b.op('Gather', [x, ints(b, 2)], { axis: 1 }), b.op('Gather', [x, ints(b, 0)], { axis: 1 })], { axis: 1 }), ['Gather']],
  ['Squeeze of a reduction', (b, x) => b.op('Squeeze', [b.op('ReduceMean', [x], { axes: [-1] }), ints(b, 2)]), ['ReduceMean']],
  ['Unsqueeze of a reduction', (b, x) => b.op('Unsqueeze', [b.op('ReduceSum', [x, ints(b, 1)], { keepdims: 0 }), ints(b, 1)]), ['ReduceSum']],
  ['Unsqueeze of a reduction elsewhere stays', (b, x) => b.op('Unsqueeze', [b.op('ReduceSum', [x, ints(b, 1)], { keepdims: 0 }), ints(b, 0)]), ['ReduceSum', 'Unsqueeze']],
];

describe('movements after one another', () => {
  for (const [name, make, expected] of cases) {
    it(name, async () => {
      const { ops, branch } = await rewriteBoth({ options: { only }, build: (b, input) => b.op('Neg', [make(b, b.op('Abs', [input('x', floats(2, 3, 4))]))]) });
      expect(ops).toEqual(['Abs', ...expected, 'Neg']);
      expect(branch).toEqual(ops);
    });
    it(`${name}, as an output`, async () => {
      const { ops } = await rewriteBoth({ options: { only }, build: (b, input) => make(b, b.op('Abs', [input('x', floats(2, 3, 4))])) });
      expect(ops).toEqual(['Abs', ...expected]);
    });
  }

  it('nothing merges when the middle is used', async () => {
    await rewriteBoth({
      options: { only }, unchanged: true,
      build: (b, input) => {
        const x = input('x', floats(2, 3, 4));
        const [turned, cut] = [b.op('Transpose', [x], { perm: [1, 2, 0] }), slice(b, x, 0, 1, 1)];
        return [turned, b.op('Transpose', [turned], { perm: [1, 0, 2] }), b.op('Neg', [cut]), slice(b, cut, 0, 1, 2)];
      },
    });
  });
});
