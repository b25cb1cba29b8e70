/** Random graphs, cut wherever they can be: always what the whole graph gives. */
import { attribute, createRng, denseOf, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { expect, test } from 'vitest';
import { compareShards, Net, seedNumbers } from '../testing/sharded-network.js';

interface Wide {
  readonly value: Value;
  /** Of the last axis of (batch, seq, width). */
  readonly width: number;
}

type Grow = (net: Net, x: Wide, pick: (width?: number) => Wide, below: (n: number) => number) => Wide | undefined;

const widths = [6, 8, 12, 16];

const same = (x: Wide, value: Value): Wide => ({ value, width: x.width });

const growths: readonly Grow[] = [
  (net, x, _, below) => {
    const width = widths[below(widths.length)]!;
    return { value: net.op('MatMul', [x.value, net.weight(x.width, width)]), width };
  },
  (net, x, _, below) => {
    const width = widths[below(widths.length)]!;
    return { value: net.op('Add', [net.op('MatMul', [x.value, net.op('Transpose', [net.weight(width, x.width)])]), net.weight(width)]), width };
  },
  (net, x) => same(x, net.op('Relu', [x.value])),
  (net, x) => same(x, net.op('Tanh', [net.op('Mul', [x.value, net.weight(x.width)])])),
  (net, x, pick) => same(x, net.op('Add', [x.value, pick(x.width).value])),
  (net, x, pick) => same(x, net.op('Sub', [pick(x.width).value, x.value])),
  (net, x, pick) => same(x, net.op('Mul', [x.value, net.op('Sigmoid', [pick(x.width).value])])),
  (net, x) => same(x, net.op('Softmax', [x.value], { axis: -1 })),
  (net, x) => same(x, net.op('LayerNormalization', [x.value, net.weight(x.width), net.weight(x.width)], { axis: -1 })),
  (net, x) => same(x, net.op('Add', [x.value, net.op('ReduceSum', [net.op('Mul', [x.value, net.b.constant('float64', 0.1)]), net.ints(-1)], { keepdims: 1 })])),
  (net, x) => same(x, net.op('Sub', [x.value, net.op('ReduceMean', [x.value, net.ints(1)], { keepdims: 1 })])),
  (net, x) => {
    if (x.width % 2 !== 0) return undefined;
    const half = x.width / 2;
    const [a, b] = net.b.nodes('Split', [x.value], { axis: -1, num_outputs: 2 }, { outputCount: 2 });
    return { value: net.op('Mul', [a!, b!]), width: half };
  },
  (net, x, pick) => {
    const other = pick();
    return x.width + other.width > 16 ? undefined : { value: net.op('Concat', [x.value, other.value], { axis: 2 }), width: x.width + other.width };
  },
  (net, x) => (x.width < 8 ? undefined : { value: net.op('Slice', [x.value, net.ints(2), net.ints(8), net.ints(2)]), width: 6 }),
  (net, x) => same(x, net.op('Gather', [x.value, net.ints(...Array.from({ length: x.width }, (_, i) => (i * 5 + 1) % x.width))], { axis: 2 })),
  (net, x) => {
    if (x.width % 2 !== 0) return undefined;
    const heads = net.op('Transpose', [net.op('Reshape', [x.value, net.ints(0, 0, 2, x.width / 2)])], { perm: [0, 2, 1, 3] });
    const scores = net.op('Softmax', [net.op('MatMul', [heads, net.op('Transpose', [heads], { perm: [0, 1, 3, 2] })])], { axis: -1 });
    return same(x, net.op('Reshape', [net.op('Transpose', [net.op('MatMul', [scores, heads])], { perm: [0, 2, 1, 3] }), net.op('Shape', [x.value])]));
  },
  (net, x) => same(x, net.op('Reshape', [net.op('Abs', [net.op('Reshape', [x.value, net.ints(-1, x.width)])]), net.op('Shape', [x.value])])),
  (net, x) => same(x, net.op('Squeeze', [net.op('Neg', [net.op('Unsqueeze', [x.value, net.ints(2)])]), net.ints(2)])),
  (net, x) => same(x, net.op('Where', [net.op('Greater', [x.value, net.b.constant('float64', 0.0371)]), x.value, net.op('Expand', [net.b.constant('float64', 0.25), net.op('Shape', [x.value])])])),
  (net, x) => {
    const graph = (name: string, opType: string) => attribute.graph(net.b.subgraph(name, () => [net.op(opType, [x.value])]));
    return same(x, net.op('If', [net.b.constant('bool', 1), ...[]], { then_branch: graph('then', 'Neg'), else_branch: graph('else', 'Abs') }));
  },
  (net, x) => {
    const tokens = net.op('Reshape', [x.value, net.ints(-1, x.width)]);
    const rows = net.op('Transpose', [net.op('NonZero', [net.op('Relu', [net.op('Sub', [net.op('ReduceSum', [tokens, net.ints(1)], { keepdims: 0 }), net.b.constant('float64', 0.0371)])])])], { perm: [1, 0] });
    const expert = net.op('MatMul', [net.op('Relu', [net.op('MatMul', [net.op('GatherND', [tokens, rows]), net.weight(x.width, 12)])]), net.weight(12, x.width)]);
    return same(x, net.op('Reshape', [net.op('ScatterND', [tokens, rows, expert], { reduction: attribute.string('add') }), net.op('Shape', [x.value])]));
  },
];

function randomNetwork(seed: number): Net {
  seedNumbers(seed);
  const rng = createRng(seed);
  const below = (n: number): number => rng.below(n);
  const net = new Net(21, 'float64');
  const values: Wide[] = [{ value: net.input(net.normal(2, 3, 8), ['batch', 'seq', 8]), width: 8 }, { value: net.op('Gather', [net.weight(20, 12), net.input(denseOf('int64', [2, 3], [0, 19, 5, 5, 7, 12]), ['batch', 'seq'])]), width: 12 }];
  const pick = (width?: number): Wide => {
    const fitting = width === undefined ? values : values.filter((value) => value.width === width);
    return fitting[fitting.length - 1 - below(Math.min(3, fitting.length))]!;
  };
  while (values.length < 14) {
    // what came last goes on most often
    const grown = growths[below(growths.length)]!(net, pick(), pick, below);
    if (grown) values.push(grown);
  }
  const unread = values.filter(({ value }) => value.useCount === 0 && value.producer);
  for (const { value } of unread) net.output(net.op('Identity', [value]));
  return net;
}

test.each([2, 3, 4, 8])('on %i shards', async (shards) => {
  let cut = 0;
  // in float64: some of these graphs make a million times more of a difference in the last bit
  for (let seed = 0; seed < 24; seed++) {
    const net = randomNetwork(seed);
    for (const experts of ['sliced', 'whole'] as const) {
      const found = await compareShards(referenceEngine(), net.model, net.feeds, { shards, experts }, 1e-6);
      expect([seed, experts, found.difference]).toEqual([seed, experts, found.difference < 1e-5 ? found.difference : 0]);
      cut += found.cut.length;
    }
  }
  expect(cut).toBeGreaterThan(80);
});
