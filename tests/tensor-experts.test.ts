/** Whole experts of MoE and QMoE on shards of their own, against the operators of ONNX Runtime. */
import { type AttributeInput, attribute, createRng, denseOf, type DenseTensor, DenseTensor as Dense, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { plainKernels } from '@penjing/kernels';
import { shardModel } from '@penjing/parallel';
import { expect, test } from 'vitest';
import { exchanges, shardedCases } from './support/sharded-case.js';

const [EXPERTS, HIDDEN, INNER, TOKENS] = [8, 32, 64, 11];
let rng = createRng(5);
const normal = (...shape: number[]): DenseTensor => denseOf('float32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal() / 4));
const bytes = (...shape: number[]): DenseTensor => Dense.of('uint8', shape, Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.below(256)));
const [FLOAT, HALF] = [1, 10];

function halved({ shape, data }: DenseTensor): DenseTensor {
  const bits = new Uint16Array(data.length);
  plainKernels().fromFloat32('float16', data as Float32Array, bits);
  return Dense.of('float16', shape, bits);
}

interface Case {
  readonly attributes: Readonly<Record<string, AttributeInput>>;
  readonly gated?: boolean;
  readonly bias?: boolean;
  readonly bits?: 4 | 8;
  readonly zeros?: boolean;
  readonly half?: boolean;
  /** How far outputs may be from those of the operator. */
  readonly within?: number;
}

function mixture({ attributes, gated = false, bias = false, bits, zeros = false, half = false }: Case): { model: Model; feeds: Record<string, DenseTensor> } {
  rng = createRng(5);
  const model = new Model();
  model.opsetImports.set('', 17);
  model.opsetImports.set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['tokens', HIDDEN]));
  const routed = b.op('MatMul', [x, b.initializer('router', normal(HIDDEN, EXPERTS))]);
  const [tokens, router] = half ? [x, routed].map((value) => b.op('Cast', [value], { to: HALF })) as [Value, Value] : [x, routed];
  const outs = gated ? 2 * INNER : INNER;
  const given = (name: string, tensor: DenseTensor, isThere = true): Value | null => (isThere ? b.initializer(name, half && tensor.dtype === 'float32' ? halved(tensor) : tensor) : null);
  const block = Number(attributes['block_size'] ?? 32);
  const packed = (name: string, rows: number, columns: number): [Value | null, Value | null, Value | null] => [
    given(name, bytes(EXPERTS, rows, (columns * bits!) / 8)),
    given(`${name}.scales`, denseOf('float32', [EXPERTS, rows, columns / block], Array.from({ length: (EXPERTS * rows * columns) / block }, () => 0.01 + 0.01 * rng.uniform()))),
    given(`${name}.zeros`, bytes(EXPERTS, rows, Math.ceil((columns / block) * bits! / 8)), zeros),
  ];
  const inputs = ((): (Value | null)[] => {
    const [first, second] = [given('b1', normal(EXPERTS, outs), bias), given('b2', normal(EXPERTS, HIDDEN), bias)];
    if (!bits) return [given('w1', normal(EXPERTS, outs, HIDDEN)), first, given('w2', normal(EXPERTS, HIDDEN, INNER)), second];
    const [[w1, s1, z1], [w2, s2, z2]] = [packed('w1', outs, HIDDEN), packed('w2', HIDDEN, INNER)];
    return [w1, s1, first, w2, s2, second, null, null, null, z1, z2];
  })();
  while (inputs.at(-1) === null) inputs.pop();
  const [y] = b.nodes(bits ? 'QMoE' : 'MoE', [tokens, router, ...inputs], attributes, { domain: 'com.microsoft' });
  b.output(half ? b.op('Cast', [y!], { to: FLOAT }) : y!, 'y', tensorType('float32', ['tokens', HIDDEN]));
  return { model, feeds: { x: normal(TOKENS, HIDDEN) } };
}

test.each<[string, Case]>([
  ['MoE, shares of all', { attributes: { k: 2, activation_type: 'silu' } }],
  ['MoE, shares of the chosen, biases, gelu', { attributes: { k: 3, activation_type: 'gelu', normalize_routing_weights: 1 }, bias: true }],
  ['MoE, swiglu with a limit', { attributes: { k: 2, activation_type: 'swiglu', swiglu_fusion: 1, swiglu_limit: attribute.float(0.5), activation_alpha: attribute.float(1.702), activation_beta: attribute.float(1), normalize_routing_weights: 1 }, gated: true, bias: true }],
  ['QMoE, 4 bits in blocks', { attributes: { k: 2, activation_type: 'swiglu', swiglu_fusion: 1, expert_weight_bits: 4, block_size: 16 }, gated: true, bits: 4 }],
  ['QMoE, 8 bits, swiglu', { attributes: { k: 2, activation_type: 'swiglu', swiglu_fusion: 1, expert_weight_bits: 8, block_size: 16 }, gated: true, bits: 8 }],
  ['QMoE, 4 bits with zero points and biases', { attributes: { k: 2, activation_type: 'swiglu', swiglu_fusion: 1, expert_weight_bits: 4, block_size: 16 }, gated: true, bias: true, bits: 4, zeros: true }],
  ['QMoE, 8 bits with zero points', { attributes: { k: 2, activation_type: 'swiglu', swiglu_fusion: 1, expert_weight_bits: 8, block_size: 16 }, gated: true, bits: 8, zeros: true }],
  ['MoE in float16', { attributes: { k: 3, activation_type: 'silu' }, bias: true, half: true, within: 2e-3 }],
  ['QMoE in float16', { attributes: { k: 2, activation_type: 'swiglu', swiglu_fusion: 1, expert_weight_bits: 4, block_size: 16 }, gated: true, bias: true, bits: 4, half: true, within: 2e-3 }],
])('%s: 2, 3, 4 and 8 shards', async (_, item) => {
  const { model, feeds } = mixture(item);
  const cases = [2, 3, 4, 8].map((shards) => ({ shards, experts: 'only' as const }));
  for (const { sharded, difference } of await shardedCases(model, feeds, cases)) {
    expect(difference, `${sharded.shards} shards`).toBeLessThan(item.within ?? 1e-5);
    expect(exchanges(sharded, 'reduce')).toHaveLength(1);
    expect(exchanges(sharded, 'gather')).toEqual([]);
    // each expert lies on one shard
    const held = sharded.segments.map((segments) => new Set(segments.flatMap(({ graph }) => [...graph.initializers.keys()]).flatMap((name) => /^w[12]\.(\d+)$/.exec(name)?.[1] ?? [])));
    expect([Math.min, Math.max].map((least) => least(...held.map((own) => own.size)))).toEqual([Math.floor, Math.ceil].map((round) => round(EXPERTS / sharded.shards)));
    expect(held.reduce((sum, own) => sum + own.size, 0)).toBe(EXPERTS);
    expect(new Set(held.flatMap((own) => [...own])).size).toBe(EXPERTS);
  }
});

test.each<[string, Case, RegExp]>([
  ['sparse mixer', { attributes: { k: 2, use_sparse_mixer: 1 } }, /use_sparse_mixer/],
  ['swiglu in halves', { attributes: { k: 2, activation_type: 'swiglu', swiglu_fusion: 2 }, gated: true }, /not interleaved/],
  ['one scale for a row', { attributes: { k: 2, expert_weight_bits: 4, block_size: 8 }, bits: 4 }, /block_size of 8/],
])('refused by name: %s', (_, item, reason) => {
  const { model } = mixture(item);
  expect(() => shardModel(model, { shards: 2, experts: 'whole' })).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED', message: expect.stringMatching(reason) as string }));
});

test.each<[string, Case, number]>([
  ['biases', { attributes: { k: 2 }, bias: true }, 3],
  ['zero points', { attributes: { k: 2, activation_type: 'swiglu', swiglu_fusion: 1, expert_weight_bits: 4, block_size: 16 }, gated: true, bits: 4, zeros: true }, 11],
])('refused by name: %s that are computed', (_, item, index) => {
  const { model } = mixture(item);
  const node = [...model.graph.nodes()].at(-1)!;
  const stored = node.input(index)!;
  const b = new GraphBuilder(model.graph);
  node.setInput(index, b.before(node, () => b.op('Identity', [stored])));
  expect(() => shardModel(model, { shards: 2, experts: 'whole' })).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED', message: expect.stringMatching(/computed/) as string }));
});
