import { describe, expect, it } from 'vitest';
import type { GraphBuilder } from '../../builder.js';
import type { Value } from '../../graph/value.js';
import { tensorType } from '../../graph/value-type.js';
import { floats, randomTensor, rewriteBoth } from '../testing.js';

const options = { only: ['identity', 'dead', 'known'] };

type Middle = (b: GraphBuilder, x: Value) => Value;
const middles: Record<string, Middle> = {
  Identity: (b, x) => b.op('Identity', [x]),
  Dropout: (b, x) => b.nodes('Dropout', [x], {}, { outputCount: 2 })[0]!,
  'Dropout of nothing in training': (b, x) => b.op('Dropout', [x, b.constant('float32', 0), b.constant('bool', 1)]),
  'Gather of everything': (b, x) => b.op('Gather', [x, b.constant('int64', [0, 1, 2])], { axis: -2 }),
  'Cast to its own type': (b, x) => b.op('Cast', [x], { to: 1 }),
  'Transpose in order': (b, x) => b.op('Transpose', [x], { perm: [0, 1, 2] }),
  'Reshape to its own shape': (b, x) => b.op('Reshape', [x, b.constant('int64', [0, -1, 4])]),
  'Expand to its own shape': (b, x) => b.op('Expand', [x, b.constant('int64', [3, 1])]),
  'Slice of everything': (b, x) => b.op('Slice', [x, b.constant('int64', [0, 0]), b.constant('int64', [3, 99]), b.constant('int64', [1, 2])]),
  'Concat of one': (b, x) => b.op('Concat', [x], { axis: 1 }),
  'Pad by nothing': (b, x) => b.op('Pad', [x, b.constant('int64', [0, 0, 0, 0, 0, 0])]),
  'Tile once': (b, x) => b.op('Tile', [x, b.constant('int64', [1, 1, 1])]),
  'Add 0': (b, x) => b.op('Add', [b.constant('float32', 0), x]),
  'Sub 0': (b, x) => b.op('Sub', [x, b.constant('float32', [0, 0, 0, 0])]),
  'Mul 1': (b, x) => b.op('Mul', [x, b.constant('float32', 1)]),
  'Div 1': (b, x) => b.op('Div', [x, b.constant('float32', 1)]),
  'Pow 1': (b, x) => b.op('Pow', [x, b.constant('float32', 1)]),
  'ReduceSum over axes of one': (b, x) => b.op('ReduceSum', [x, b.constant('int64', [0])]),
  'Clip without bounds': (b, x) => b.op('Clip', [x]),
  'Max of one': (b, x) => b.op('Max', [x]),
};

describe('identity', () => {
  for (const [name, middle] of Object.entries(middles)) {
    it(name, async () => {
      const { ops, branch } = await rewriteBoth({ options, build: (b, input) => b.op('Neg', [middle(b, b.op('Abs', [input('x', floats(1, 3, 4))]))]) });
      expect(ops).toEqual(['Abs', 'Neg']);
      expect(branch).toEqual(['Abs', 'Neg']);
    });
    it(`${name}, as an output`, async () => {
      const { ops, branch } = await rewriteBoth({ options, build: (b, input) => middle(b, b.op('Abs', [input('x', floats(1, 3, 4))])) });
      expect(ops).toEqual(['Abs']);
      expect(branch).toEqual(['Abs']);
    });
  }

  it('keeps an Identity between an input and an output, and between two outputs', async () => {
    const both = await rewriteBoth({
      options, unchanged: true,
      build: (b, input) => { const x = b.op('Abs', [input('x', floats(3))]); return [x, b.op('Identity', [x]), b.op('Identity', [input('x', floats(3))])]; },
    });
    expect(both.ops).toEqual(['Abs', 'Identity', 'Identity']);
  });

  it('leaves what has an effect', async () => {
    await rewriteBoth({
      options, unchanged: true,
      build: (b, input) => {
        const x = input('x', floats(1, 3, 4));
        return [
          // A constant of higher rank adds an axis; 2 is no 1; this slice may cut.
          b.op('Add', [x, b.constant('float32', [0], [1, 1, 1, 1])]), b.op('Mul', [x, b.constant('float32', 2)]),
          b.op('Slice', [x, b.constant('int64', [0]), b.constant('int64', [2]), b.constant('int64', [1])]),
          b.op('Gather', [x, b.constant('int64', [0, 2, 1])], { axis: 1 }), b.op('Gather', [x, b.constant('int64', [0, 1])], { axis: 1 }), b.op('Gather', [x, b.constant('int64', [[0, 1, 2]].flat(), [1, 3])], { axis: 1 }),
          b.op('Transpose', [x]), b.op('Reshape', [x, b.constant('int64', [3, 4])]),
        ];
      },
    });
  });

  it('does not take a slice of a symbolic axis for the whole', async () => {
    await rewriteBoth({
      options, unchanged: true,
      feeds: { x: randomTensor([5, 2]) },
      build: (b, input) => b.op('Neg', [b.op('Slice', [input('x', tensorType('float32', ['n', 2])), b.constant('int64', [0]), b.constant('int64', [3]), b.constant('int64', [0])])]),
    });
  });
});
