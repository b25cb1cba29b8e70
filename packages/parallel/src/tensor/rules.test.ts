import { attribute, denseOf, DenseTensor, type Graph, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { plainKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { compareShards, Net, normal, whole } from '../testing/sharded-network.js';

interface Case {
  readonly name: string;
  readonly build: (net: Net) => void;
  /** What crosses between two shards, in order. */
  readonly exchanges: readonly string[];
  /** Weights that are cut: all when absent. */
  readonly cut?: number;
  readonly opset?: number;
  readonly shards?: readonly number[];
}

const relu = (net: Net, x: Value): Value => net.op('Relu', [x]);
const scale = (net: Net, count: number): Value => net.stored(denseOf('float32', [count], Array.from({ length: count }, (_, i) => 0.01 + i / 300)));
const heads = (net: Net, x: Value, count: number): Value => net.op('Transpose', [net.op('Reshape', [x, net.ints(0, 0, count, 4)])], { perm: [0, 2, 1, 3] });

/** q, k, v (batch, heads, seq, 4) to (batch, seq, width). */
function attend(net: Net, [q, k, v]: readonly Value[], width: number): Value {
  const scores = net.op('MatMul', [q!, net.op('Transpose', [k!], { perm: [0, 1, 3, 2] })]);
  const mixed = net.op('MatMul', [net.op('Softmax', [net.op('Mul', [scores, net.b.constant('float32', 0.5)])], { axis: -1 }), v!]);
  return net.op('Reshape', [net.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }), net.ints(0, 0, width)]);
}

const sequence = (net: Net, width = 16, ...dims: (number | string)[]): Value => net.input(normal(2, 5, width), dims.length > 0 ? dims : ['batch', 'seq', width]);
const image = (net: Net, channels: number): Value => net.input(normal(1, channels, 6, 6), ['batch', channels, 6, 6]);

const cases: readonly Case[] = [
  { name: 'MatMul: columns, an activation, rows', exchanges: ['reduce 1'], build: (net) => net.output(net.op('MatMul', [relu(net, net.op('MatMul', [sequence(net), net.weight(16, 24)])), net.weight(24, 16)])) },
  { name: 'Gemm: turned, with biases that count once', exchanges: ['reduce 1'], cut: 3, build: (net) => net.output(net.op('Gemm', [relu(net, net.op('Gemm', [net.input(normal(3, 16), ['n', 16]), net.weight(24, 16), net.weight(24)], { transB: 1, alpha: attribute.float(0.5) })), net.weight(16, 24), net.weight(16)], { transB: 1, beta: attribute.float(2) })) },
  { name: 'FusedMatMul', exchanges: ['reduce 1'], build: (net) => net.output(net.contrib('FusedMatMul', [net.contrib('Gelu', net.contrib('FusedMatMul', [sequence(net), net.weight(24, 16)], { transB: 1, alpha: attribute.float(2) }))[0]!, net.weight(24, 16)])[0]!) },
  { name: 'Einsum', exchanges: ['reduce 1'], build: (net) => net.output(net.op('Einsum', [net.op('Tanh', [net.op('Einsum', [sequence(net), net.weight(16, 4, 6)], { equation: 'bsi,ihd->bshd' })]), net.weight(4, 6, 16)], { equation: 'bshd,hdo->bso' })) },
  {
    name: 'MatMulInteger: sums of whole numbers', exchanges: ['reduce 1'], build: (net) => {
      const [x, , zero] = net.b.nodes('DynamicQuantizeLinear', [sequence(net)], {}, { outputCount: 3 });
      net.output(net.op('MatMulInteger', [x!, net.stored(whole('int8', 99, 16, 1)), zero!]));
    },
  },
  {
    name: 'weights in int8 with scales per channel', exchanges: ['reduce 1'], cut: 4, build: (net) => {
      const weight = (rows: number, cols: number, axis: number): Value => net.op('DequantizeLinear', [net.stored(whole('int8', 127, rows, cols)), scale(net, axis === 0 ? rows : cols), net.stored(whole('int8', 5, axis === 0 ? rows : cols))], { axis });
      const rounded = net.op('DequantizeLinear', [net.op('QuantizeLinear', [net.op('MatMul', [sequence(net), weight(16, 24, 1)]), net.b.constant('float32', 0.5), net.b.constant('int8', 0)]), net.b.constant('float32', 0.5), net.b.constant('int8', 0)]);
      net.output(net.op('MatMul', [rounded, weight(24, 16, 1)]));
    },
  },
  {
    name: 'a gate and its value in one matrix', exchanges: ['reduce 1'], build: (net) => {
      const [gate, value] = net.b.nodes('Split', [net.op('MatMul', [sequence(net), net.weight(16, 48)])], { axis: -1, num_outputs: 2 }, { outputCount: 2 });
      net.output(net.op('MatMul', [net.op('Mul', [net.op('Sigmoid', [gate!]), value!]), net.weight(24, 16)]));
    },
  },
  {
    name: 'a gate and its value taken out by Slice', exchanges: ['reduce 1'], build: (net) => {
      const both = net.op('MatMul', [sequence(net), net.weight(16, 48)]);
      const part = (from: number, to: number): Value => net.op('Slice', [both, net.ints(from), net.ints(to), net.ints(-1)]);
      net.output(net.op('MatMul', [net.op('Mul', [part(0, 24), part(24, 2 ** 31)]), net.weight(24, 16)]));
    },
  },
  {
    name: 'heads by Reshape and Transpose', exchanges: ['reduce 1'], shards: [2, 3, 4], build: (net) => {
      const x = sequence(net);
      net.output(net.op('MatMul', [attend(net, [0, 1, 2].map(() => heads(net, net.op('Add', [net.op('MatMul', [x, net.weight(16, 16)]), net.weight(16)]), 4)), 16), net.weight(16, 16)]));
    },
  },
  {
    name: 'queries, keys and values in one, by Split', exchanges: ['reduce 1'], shards: [2, 3, 4], build: (net) => {
      const parts = net.b.nodes('Split', [net.op('Add', [net.op('MatMul', [sequence(net), net.weight(16, 48)]), net.weight(48)])], { axis: 2, num_outputs: 3 }, { outputCount: 3 });
      net.output(net.op('MatMul', [attend(net, parts.map((part) => heads(net, part, 4)), 16), net.weight(16, 16)]));
    },
  },
  {
    name: 'queries, keys and values in one, by a dimension of three', exchanges: ['reduce 1'], shards: [2, 4], build: (net) => {
      const packed = net.op('Transpose', [net.op('Reshape', [net.op('MatMul', [sequence(net), net.weight(16, 48)]), net.ints(0, 0, 3, 4, 4)])], { perm: [2, 0, 3, 1, 4] });
      const parts = [0, 1, 2].map((i) => net.op('Gather', [packed, net.b.constant('int64', i)], { axis: 0 }));
      net.output(net.op('MatMul', [attend(net, parts, 16), net.weight(16, 16)]));
    },
  },
  {
    name: 'a shape that is computed', exchanges: ['reduce 1'], build: (net) => {
      const x = net.op('MatMul', [sequence(net), net.weight(16, 24)]);
      const sizes = net.op('Concat', [net.op('Shape', [x], { start: 0, end: 2 }), net.ints(4, 6)], { axis: 0 });
      const apart = net.op('Reshape', [x, sizes]);
      net.output(net.op('MatMul', [relu(net, net.op('Reshape', [net.op('Tanh', [apart]), net.op('Shape', [x])])), net.weight(24, 16)]));
    },
  },
  {
    name: 'MultiHeadAttention with a bias and a past', exchanges: ['reduce 1'], shards: [2, 4], build: (net) => {
      const x = sequence(net);
      const past = (): Value => net.input(normal(2, 4, 3, 4), ['batch', 4, 'past', 4]);
      const [y, key, value] = net.contrib('MultiHeadAttention', [...[0, 1, 2].map(() => net.op('MatMul', [x, net.weight(16, 16)])), net.weight(48), null, net.input(normal(2, 1, 5, 8), ['batch', 1, 'seq', 'total']), past(), past()], { num_heads: 4 }, 3);
      for (const out of [net.op('MatMul', [y!, net.weight(16, 16)]), key!, value!]) net.output(out);
    },
  },
  {
    name: 'Attention of com.microsoft, with its own projections', exchanges: ['reduce 1'], shards: [2, 4], build: (net) => {
      const [y] = net.contrib('Attention', [sequence(net), net.weight(16, 48), net.weight(48)], { num_heads: 4 });
      net.output(net.op('MatMul', [y!, net.weight(16, 16)]));
    },
  },
  {
    name: 'Attention of ONNX, groups of heads', exchanges: ['reduce 1'], opset: 23, build: (net) => {
      const x = sequence(net);
      const project = (width: number): Value => net.op('MatMul', [x, net.weight(16, width)]);
      net.output(net.op('MatMul', [net.op('Attention', [project(16), project(8), project(8)], { q_num_heads: 4, kv_num_heads: 2, is_causal: 1 }), net.weight(16, 16)]));
    },
  },
  {
    name: 'GroupQueryAttention of packed queries, keys and values', exchanges: ['reduce 1'], build: (net) => {
      const x = sequence(net);
      const [y, key] = net.contrib('GroupQueryAttention', [net.op('MatMul', [x, net.weight(16, 32)]), null, null, null, null, net.b.constant('int32', [4, 4]), net.b.constant('int32', 5)], { num_heads: 4, kv_num_heads: 2 }, 3);
      net.output(net.op('MatMul', [y!, net.weight(16, 16)]));
      net.output(key!);
    },
  },
  { name: 'a table of tokens by rows', exchanges: ['reduce 1'], build: (net) => net.output(net.op('Exp', [net.op('Gather', [net.weight(20, 1), net.input(denseOf('int64', [2, 3], [0, -1, 7, 19, -20, 10]))])])) },
  { name: 'an output head is put together by the caller', exchanges: [], build: (net) => net.output(net.op('MatMul', [sequence(net), net.weight(16, 30)])) },
  { name: 'Softmax over what is cut needs it whole', exchanges: ['gather 1'], build: (net) => net.output(net.op('Softmax', [net.op('MatMul', [sequence(net), net.weight(16, 30)])], { axis: -1 })) },
  { name: 'terms that are added before are one sum', exchanges: ['reduce 1'], build: (net) => {
    const x = sequence(net);
    const branch = (): Value => net.op('MatMul', [relu(net, net.op('MatMul', [x, net.weight(16, 24)])), net.weight(24, 16)]);
    net.output(relu(net, net.op('Add', [net.op('Add', [branch(), branch()]), x])));
  } },
  {
    name: 'Conv, BatchNormalization, Conv', exchanges: ['reduce 1'], cut: 7, build: (net) => {
      const x = net.op('Conv', [image(net, 3), net.weight(8, 3, 3, 3), net.weight(8)], { pads: [1, 1, 1, 1] });
      const norm = net.op('BatchNormalization', [x, net.weight(8), net.weight(8), net.weight(8), scale(net, 8)]);
      net.output(net.op('Conv', [net.op('MaxPool', [relu(net, norm)], { kernel_shape: [2, 2] }), net.weight(4, 8, 3, 3), net.weight(4)]));
    },
  },
  {
    name: 'Conv by channels of their own and by groups', exchanges: ['reduce 1'], build: (net) => {
      const x = net.op('Conv', [image(net, 3), net.weight(8, 3, 1, 1)]);
      const own = net.op('Conv', [x, net.weight(8, 1, 3, 3), net.weight(8)], { group: 8 });
      const grouped = net.op('Conv', [relu(net, own), net.weight(16, 2, 1, 1)], { group: 4 });
      net.output(net.op('Conv', [net.op('GlobalAveragePool', [grouped]), net.weight(5, 16, 1, 1)]));
    },
  },
  { name: 'ConvTranspose', exchanges: ['reduce 1'], cut: 3, build: (net) => net.output(net.op('ConvTranspose', [relu(net, net.op('ConvTranspose', [image(net, 3), net.weight(3, 8, 2, 2), net.weight(8)])), net.weight(8, 2, 2, 2), net.weight(2)])) },
  {
    name: 'GroupNormalization between', exchanges: ['reduce 1'], build: (net) => {
      const x = net.op('GroupNormalization', [net.op('Conv', [image(net, 3), net.weight(8, 3, 1, 1)]), net.weight(8), net.weight(8)], { num_groups: 4 });
      net.output(net.op('Conv', [net.op('InstanceNormalization', [x, net.weight(8), net.weight(8)]), net.weight(2, 8, 1, 1)]));
    },
  },
  {
    name: 'MoE: a part of every expert', exchanges: ['reduce 1'], cut: 3, build: (net) => {
      const x = sequence(net);
      net.output(net.contrib('MoE', [x, net.op('Reshape', [net.op('MatMul', [x, net.weight(16, 4)]), net.ints(-1, 4)]), net.weight(4, 24, 16), net.weight(4, 24), net.weight(4, 16, 24), net.weight(4, 16)], { k: 2, activation_type: 'gelu', normalize_routing_weights: 1 })[0]!);
    },
  },
  { name: 'a table with numbers that are not finite', exchanges: ['reduce 1'], build: (net) => net.output(net.op('Gather', [net.stored(denseOf('float32', [4], [-Infinity, 1, -Infinity, 3])), net.input(denseOf('int64', [5], [0, 1, 2, 3, 1]))])) },
  {
    name: 'all outputs of LayerNormalization lie on shards', exchanges: ['reduce 1'], shards: [2, 4], build: (net) => {
      const x = net.op('Reshape', [net.op('MatMul', [sequence(net), net.weight(16, 16)]), net.ints(0, 0, 4, 4)]);
      const [y, mean, deviation] = net.b.nodes('LayerNormalization', [x, net.b.constant('float32', [1, 2, 3, 4])], { axis: -1 }, { outputCount: 3 });
      const back = net.op('Add', [net.op('Mul', [y!, mean!]), deviation!]);
      net.output(net.op('MatMul', [net.op('Reshape', [back, net.ints(0, 0, 16)]), net.weight(16, 16)]));
    },
  },
  {
    name: 'places that MaxPool names are those of the whole', exchanges: ['gather 1'], build: (net) => {
      const x = net.op('Conv', [image(net, 3), net.weight(8, 3, 1, 1)]);
      const [y, places] = net.b.nodes('MaxPool', [x], { kernel_shape: [2, 2] }, { outputCount: 2 });
      net.output(net.op('Add', [y!, net.op('Cast', [places!], { to: 1 })]));
    },
  },
  {
    name: 'CastLike: a sum goes on to what it is added to', exchanges: ['reduce 1'], build: (net) => {
      const x = sequence(net);
      const [one, other] = [24, 32].map((inner) => net.op('MatMul', [relu(net, net.op('MatMul', [x, net.weight(16, inner)])), net.weight(inner, 16)])) as [Value, Value];
      net.output(net.op('Add', [net.op('CastLike', [one, net.b.constant('float32', 0)]), other]));
    },
  },
  {
    name: 'one scale for all heads is found on the whole', exchanges: ['gather 1'], cut: 1, shards: [2, 4], build: (net) => {
      const apart = heads(net, net.op('MatMul', [sequence(net), net.weight(16, 16)]), 4);
      net.output(net.contrib('DynamicQuantizeMatMul', [apart, net.op('Reshape', [net.b.constant('int8', [3, -7, 5, 1, 9, 2, -4, 6]), net.ints(4, 2)]), net.b.constant('float32', 0.1)])[0]!);
    },
  },
  {
    name: 'an If in between runs whole', exchanges: ['gather 1'], build: (net) => {
      const wide = net.op('MatMul', [sequence(net), net.weight(16, 24)]);
      const branch = (name: string, make: () => Value): Graph => net.b.subgraph(name, () => [make()]);
      const chosen = net.op('If', [net.input(denseOf('bool', [], [1]))], {
        then_branch: attribute.graph(branch('then', () => net.op('Neg', [wide]))), else_branch: attribute.graph(branch('else', () => net.op('Abs', [wide]))),
      });
      net.output(net.op('Add', [chosen, wide]));
    },
  },
];

describe.each(cases)('$name', ({ build, exchanges, cut, opset = 21, shards = [2, 3, 4] }) => {
  test.each(shards)('on %i shards', async (count) => {
    const net = new Net(opset);
    build(net);
    const found = await compareShards(referenceEngine(), net.model, net.feeds, { shards: count });
    expect(found.difference).toBeLessThan(1e-6);
    if (count !== 2) return;
    expect(found.steps.filter((step) => step !== 'run')).toEqual(exchanges);
    const stored = [...net.model.graph.initializers.values()].filter(({ name }) => /^w\d/.test(name));
    expect(found.cut.filter((name) => /^w\d/.test(name))).toHaveLength(cut ?? stored.length);
  });
});

describe('tables', () => {
  test('an index outside of the whole table is refused by every shard', async () => {
    const net = new Net();
    net.output(net.op('Gather', [net.weight(20, 16), net.input(denseOf('int64', [1], [20]))]));
    await expect(compareShards(referenceEngine(), net.model, net.feeds, { shards: 2 })).rejects.toThrow();
    await expect(compareShards(referenceEngine(), net.model, { x0: denseOf('int64', [1], [-21]) }, { shards: 2 })).rejects.toThrow();
  });
});

describe('half floats', () => {
  test('are summed in float32', async () => {
    const net = new Net();
    const half = (tensor: DenseTensor): DenseTensor => {
      const bits = new Uint16Array(tensor.data.length);
      plainKernels().fromFloat32('float16', tensor.data as Float32Array, bits);
      return DenseTensor.of('float16', tensor.shape, bits);
    };
    const x = net.input(half(normal(3, 8)), ['n', 8]);
    net.output(net.op('Cast', [net.op('MatMul', [relu(net, net.op('MatMul', [x, net.stored(half(normal(8, 12)))])), net.stored(half(normal(12, 8)))])], { to: 1 }));
    const { sharded, difference } = await compareShards(referenceEngine(), net.model, net.feeds, { shards: 2 });
    expect(sharded.program.flatMap((step) => (step.kind === 'reduce' ? step.values.map(({ dtype }) => dtype) : []))).toEqual(['float32']);
    expect(difference).toBeLessThan(2e-3);
  });
});
