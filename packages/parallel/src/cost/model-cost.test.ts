import { attribute, DenseTensor, GraphBuilder, Model, tensorType } from '@penjing/core';
import { expect, test } from 'vitest';
import { completeSizes } from './bind-sizes.js';
import { modelCost } from './model-cost.js';
import { interpolate, secondsOf, speedOf } from './roofline.js';

function builder(): { model: Model; b: GraphBuilder } {
  const model = new Model();
  model.opsetImports.set('', 21);
  return { model, b: new GraphBuilder(model.graph) };
}
const zeros = (...shape: number[]): DenseTensor => new DenseTensor('float32', shape, new Uint8Array(4 * shape.reduce((a, c) => a * c, 1)));

test('counts products, convolutions and the bytes they touch at the sizes given', () => {
  const { model, b } = builder();
  const x = b.input('x', tensorType('float32', ['batch', 3, 8, 8]));
  const conv = b.op('Conv', [x, b.initializer('k', zeros(5, 3, 3, 3))], { pads: [1, 1, 1, 1] });
  const flat = b.op('Reshape', [b.op('Relu', [conv]), b.constant('int64', [-1, 320])]);
  b.output(b.op('Gemm', [flat, b.initializer('w', zeros(7, 320))], { transB: 1 }), 'y', tensorType('float32', ['batch', 7]));
  const cost = modelCost(model, { sizes: { batch: 2 } });
  const by = Object.fromEntries([...cost.nodes.values()].map((node) => [node.node.opType, node]));
  expect(by['Conv']).toMatchObject({ kind: 'convolution', flops: 2 * (2 * 5 * 64) * 27, weightBytes: 4 * 135, activationBytes: 4 * (2 * 3 * 64 + 2 * 5 * 64) });
  expect(by['Relu']).toMatchObject({ activationBytes: 0 });
  expect(by['Reshape']).toMatchObject({ flops: 0, weightBytes: 0 });
  expect(by['Gemm']).toMatchObject({ kind: 'product', flops: 2 * 2 * 7 * 320, rows: 2, weightBytes: 4 * 7 * 320 });
  expect(cost.bytesOf(model.graph.outputs[0]!)).toBe(4 * 2 * 7);
});

test('four-bit weights count half a byte each, gathered rows only what is taken', () => {
  const { model, b } = builder();
  const ids = b.input('ids', tensorType('int64', ['batch', 'sequence']));
  const x = b.op('Gather', [b.initializer('table', zeros(100, 64)), ids]);
  const packed = b.initializer('q', new DenseTensor('uint8', [32, 2, 16], new Uint8Array(1024)));
  model.opsetImports.set('com.microsoft', 1);
  b.output(b.op('MatMulNBits', [x, packed, b.initializer('s', zeros(64))], { K: 64, N: 32, bits: 4, block_size: 32 }, { domain: 'com.microsoft' }), 'y', tensorType('float32', ['batch', 'sequence', 32]));
  const [gather, product] = [...modelCost(model, { sizes: { batch: 3, sequence: 5 } }).nodes.values()];
  expect(gather).toMatchObject({ weightBytes: 15 * 64 * 4 });
  expect(product).toMatchObject({ kind: 'packed', flops: 2 * 15 * 64 * 32, weightBytes: 1024 + 256, rows: 15 });
});

test('sizes go to the symbols they name, and the others follow', () => {
  const { model, b } = builder();
  b.input('ids', tensorType('int64', ['batch_size', 'sequence_length']));
  b.input('mask', tensorType('int64', ['batch_size', 'total_sequence_length']));
  b.input('past', tensorType('float32', ['batch_size', 2, 'past_sequence_length', 8]));
  expect(completeSizes(model, { batch: 4, sequence: 3, past: 10 })).toEqual({ batch_size: 4, sequence_length: 3, past_sequence_length: 10, total_sequence_length: 13 });
  expect(() => completeSizes(model, { heads: 4 })).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
  expect(() => completeSizes(model, { batch: -1 })).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
  expect(() => completeSizes(model, { batch: 2 ** 40 })).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
});

test('a branch counts the dearer of its two sides', () => {
  const { model, b } = builder();
  const x = b.input('x', tensorType('float32', [4, 16]));
  const side = (width: number) => b.subgraph(`w${width}`, () => [b.op('MatMul', [x, b.initializer(`m${width}`, zeros(16, width))])]);
  const then = side(8);
  const other = side(32);
  b.output(b.op('If', [b.input('c', tensorType('bool', []))], { then_branch: attribute.graph(then), else_branch: attribute.graph(other) }), 'y');
  expect(modelCost(model).flops).toBe(2 * 4 * 16 * 32);
});

test('a product of one row is bound by its weights, one of many by its arithmetic', () => {
  const { model, b } = builder();
  const x = b.input('x', tensorType('float32', ['batch', 1000]));
  b.output(b.op('MatMul', [x, b.initializer('w', zeros(1000, 1000))]), 'y');
  const { alone } = speedOf({ name: 'd', memoryBytes: 1e9, flops: 1e9, memoryBandwidth: 1e9, cores: 1 });
  const free = { ...alone, callSeconds: 0, nodeSeconds: 0 };
  const speed = { alone: free, crowded: { ...free, bandwidth: [[1, 0.5e9]] as const } };
  const at = (batch: number) => secondsOf(modelCost(model, { sizes: { batch } }).nodes.values(), speed);
  expect(at(1)).toEqual({ alone: 4e-3 + 8e-6, crowded: 8e-3 + 16e-6 });
  expect(at(1000)).toEqual({ alone: 2, crowded: 2 });
});

test('ladders are interpolated and end flat', () => {
  const ladder = [[1, 10], [100, 30]] as const;
  expect([0.1, 1, 10, 100, 1e9].map((size) => interpolate(ladder, size))).toEqual([10, 10, 20, 30, 30]);
});
