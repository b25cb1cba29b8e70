import { describe, expect, it } from 'vitest';
import { denseOf, type GraphBuilder } from '../../builder.js';
import { tensorType } from '../../graph/value-type.js';
import type { Value } from '../../graph/value.js';
import { DenseTensor } from '../../tensor.js';
import type { Fusions } from '../rule.js';
import { floats, randomTensor, rewriteBoth } from '../testing.js';

const [batch, heads, size, queries, keys] = [2, 4, 3, 5, 6] as const;
const width = heads * size;
const f = (b: GraphBuilder, x: number): Value => b.constant('float32', x);
const turn = (b: GraphBuilder, x: Value, ...perm: number[]): Value => b.op('Transpose', [x], { perm });
const reshape = (b: GraphBuilder, x: Value, ...shape: number[]): Value => b.op('Reshape', [x, b.constant('int64', shape)]);
const split = (b: GraphBuilder, x: Value, count: number = heads): Value => turn(b, reshape(b, x, 0, 0, count, size), 0, 2, 1, 3);
const join = (b: GraphBuilder, x: Value): Value => reshape(b, turn(b, x, 0, 2, 1, 3), 0, 0, width);
const scores = (b: GraphBuilder, q: Value, k: Value): Value => b.op('MatMul', [q, turn(b, k, 0, 1, 3, 2)]);
const weigh = (b: GraphBuilder, x: Value, v: Value): Value => b.op('MatMul', [b.op('Softmax', [x], { axis: -1 }), v]);

type Input = (name: string, type: ReturnType<typeof floats>) => Value;
interface Inputs { readonly q: Value; readonly k: Value; readonly v: Value; readonly mask: Value; readonly full: Value; readonly heads: Value; readonly past: Value; readonly few: Value; readonly first: Value }

function inputs(input: Input): Inputs {
  return {
    q: input('q', floats('b', 's', width)), k: input('k', floats('b', 't', width)), v: input('v', floats('b', 't', width)),
    mask: input('mask', tensorType('int64', ['b', 't'])), full: input('full', floats('b', 1, 's', 't')), heads: input('heads', floats(1, heads, 's', 't')),
    past: input('past', floats('b', heads, 'p', size)), few: input('few', floats('b', 2, 't', size)), first: input('first', floats(keys, batch, width)),
  };
}
const feeds = {
  q: randomTensor([batch, queries, width], 1), k: randomTensor([batch, keys, width], 2), v: randomTensor([batch, keys, width], 3),
  // The second row sees nothing at all.
  mask: DenseTensor.of('int64', [batch, keys], BigInt64Array.from([1, 0, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0], BigInt)),
  full: randomTensor([batch, 1, queries, keys], 4), heads: randomTensor([1, heads, queries, keys], 5), past: randomTensor([batch, heads, 2, size], 6),
  few: randomTensor([batch, 2, keys, size], 7), first: randomTensor([keys, batch, width], 8),
};
const seen = (b: GraphBuilder, mask: Value): Value => b.op('Unsqueeze', [b.op('Cast', [mask], { to: 9 }), b.constant('int64', [1, 2])]);

/** `seen` of a mask as a bias. */
const padding = (b: GraphBuilder, mask: Value, fill: number): Value => b.op('Where', [seen(b, mask), f(b, 0), f(b, fill)]);
const plain = (b: GraphBuilder, i: Inputs, bias?: Value): Value => {
  const x = scores(b, b.op('Mul', [split(b, i.q), f(b, 0.5)]), split(b, i.k));
  return join(b, weigh(b, bias ? b.op('Add', [x, bias]) : x, split(b, i.v)));
};
const places = (b: GraphBuilder, x: Value, axis: number): Value =>
  b.op('Unsqueeze', [b.op('Range', [b.constant('int64', 0), b.op('Squeeze', [b.op('Shape', [x], { start: 1, end: 2 })]), b.constant('int64', 1)]), b.constant('int64', [axis])]);

const MHA = 'com.microsoft.MultiHeadAttention';
type Make = (b: GraphBuilder, i: Inputs) => Value;
const cases: [name: string, make: Make, contrib: string[], standard: string[]][] = [
  ['scaled queries', (b, i) => plain(b, i), [MHA], ['Attention']],
  ['scaled scores, divided', (b, i) => join(b, weigh(b, b.op('Div', [scores(b, split(b, i.q), split(b, i.k)), f(b, 1.7)]), split(b, i.v))), [MHA], ['Attention']],
  ['the root of the scale on both sides', (b, i) => {
    const [q, k] = [b.op('Mul', [split(b, i.q), f(b, 0.7)]), b.op('Mul', [turn(b, split(b, i.k), 0, 1, 3, 2), f(b, 0.7)])];
    return join(b, weigh(b, b.op('MatMul', [q, k]), split(b, i.v)));
  }, [MHA], ['Attention']],
  ['a bias of full size', (b, i) => plain(b, i, i.full), [MHA], ['Softmax']],
  ['a bias per head', (b, i) => plain(b, i, b.op('Tanh', [i.heads])), [MHA], ['Softmax']],
  ['two biases', (b, i) => plain(b, i, b.op('Add', [i.heads, i.full])), [MHA], ['Softmax']],
  ['padding', (b, i) => plain(b, i, padding(b, i.mask, -1e9)), [MHA], ['Attention']],
  ['padding by -Infinity, with a row that sees nothing', (b, i) => plain(b, i, padding(b, i.mask, -Infinity)), [MHA], ['Softmax']],
  ['scores replaced by the least number', (b, i) => {
    const x = b.op('Where', [seen(b, i.mask), scores(b, split(b, i.q), split(b, i.k)), f(b, -3.4028234663852886e38)]);
    return join(b, weigh(b, x, split(b, i.v)));
  }, [MHA], ['Attention']],
  ['causal by -Infinity', (b, i) => {
    const visible = b.op('LessOrEqual', [places(b, i.k, 0), places(b, i.q, 1)]);
    return join(b, weigh(b, b.op('Where', [visible, scores(b, split(b, i.q), split(b, i.k)), f(b, -Infinity)]), split(b, i.v)));
  }, [MHA], ['Attention']],
  ['keys and values of a cache', (b, i) => {
    const [k, v] = [b.op('Concat', [i.past, split(b, i.k)], { axis: 2 }), b.op('Concat', [i.past, split(b, i.v)], { axis: 2 })];
    return join(b, weigh(b, scores(b, split(b, i.q), k), v));
  }, [MHA], ['Attention']],
  ['fewer heads of keys, queries stacked', (b, i) => {
    const x = b.op('MatMul', [reshape(b, b.op('Mul', [split(b, i.q), f(b, 0.5)]), 0, 2, -1, size), turn(b, i.few, 0, 1, 3, 2)]);
    const weights = b.op('Softmax', [b.op('Add', [reshape(b, x, 0, heads, -1, 0), padding(b, i.mask, -1e9)])], { axis: -1 });
    return join(b, reshape(b, b.op('MatMul', [reshape(b, weights, 0, 2, -1, 0), i.few]), 0, heads, -1, size));
  }, ['Softmax'], ['Attention']],
  ['as nn.MultiheadAttention lays it out', (b, i) => {
    const apart = (x: Value): Value => reshape(b, turn(b, reshape(b, x, 0, batch * heads, size), 1, 0, 2), batch, heads, -1, size);
    return turn(b, weigh(b, scores(b, apart(i.first), apart(b.op('Tanh', [i.first]))), apart(b.op('Neg', [i.first]))), 2, 0, 1, 3);
  }, [MHA], ['Attention']],
];

describe('fuse-attention', () => {
  for (const [name, make, contrib, standard] of cases) {
    for (const [fusions, opset, expected] of [['onnxruntime', 17, contrib], ['standard', 23, standard], ['none', 23, ['Softmax']], ['standard', 22, ['Softmax']]] as [Fusions, number, string[]][]) {
      it(`${name}: ${expected.join()} by ${fusions} fusions at opset ${opset}`, async () => {
        const { ops, branch } = await rewriteBoth({ opset, options: { fusions }, feeds, build: (b, input) => [make(b, inputs(input)), input('q', floats('b', 's', width))].slice(0, 1) });
        const kinds = ops.filter((op) => op === 'Softmax' || op.endsWith('Attention'));
        expect(kinds).toEqual(expected);
        expect(branch).toEqual(ops);
      });
    }
  }

  it('weights that something else reads, and a factor outside the bias, stay', async () => {
    await rewriteBoth({
      opset: 17, options: { fusions: 'onnxruntime', only: ['fuse-attention', 'dead'] }, unchanged: true, feeds,
      build: (b, input) => {
        const i = inputs(input);
        const weights = b.op('Softmax', [scores(b, split(b, i.q), split(b, i.k))], { axis: -1 });
        const late = b.op('Mul', [b.op('Add', [scores(b, split(b, i.q), split(b, i.k)), i.full]), f(b, 0.5)]);
        const otherAxis = b.op('Softmax', [scores(b, split(b, i.q), split(b, i.k))], { axis: 2 });
        return [weights, join(b, b.op('MatMul', [weights, split(b, i.v)])), join(b, weigh(b, late, split(b, i.v))), join(b, b.op('MatMul', [otherAxis, split(b, i.v)]))];
      },
    });
  });

  it('what a bias is broadcast to is asked once for all layers', async () => {
    const { ops } = await rewriteBoth({
      opset: 17, options: { fusions: 'onnxruntime' }, feeds,
      build: (b, input) => {
        const i = inputs(input);
        const bias = b.op('Mul', [b.op('Sub', [b.op('Cast', [seen(b, i.mask)], { to: 1 }), f(b, 1)]), f(b, 1e4)]);
        return plain(b, { ...i, q: plain(b, i, bias) }, bias);
      },
    });
    expect(ops.filter((op) => op === 'Expand' || op === MHA)).toEqual(['Expand', MHA, MHA]);
  });

  it('a stored mask proves that every row sees a key', async () => {
    const square = (b: GraphBuilder, i: Inputs, hidden: number): Value => {
      const x = reshape(b, b.op('Slice', [i.q, b.constant('int64', [0]), b.constant('int64', [3]), b.constant('int64', [1])]), 0, 3, heads, size);
      const q = turn(b, x, 0, 2, 1, 3);
      const mask = b.initializer('m', denseOf('float32', [3, 3], [0, hidden, hidden, 0, 0, hidden, hidden, hidden, hidden === -Infinity ? 0 : hidden]));
      return weigh(b, b.op('Add', [scores(b, q, q), mask]), q);
    };
    for (const hidden of [-Infinity, -5]) {
      const { ops } = await rewriteBoth({ opset: 23, options: {}, feeds, build: (b, input) => square(b, inputs(input), hidden) });
      expect(ops).toContain('Attention');
    }
  });
});
