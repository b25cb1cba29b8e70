import { type ByteSource, denseOf, GraphBuilder, lazy, LazyTensor, Model, SparseTensor, tensorType } from '@penjing/core';
import { expect, test } from 'vitest';
import { shardModel } from './shard-model.js';
import { stepTraffic } from './step-traffic.js';

const WIDTH = 2 ** 18;

/** Half a terabyte of which only what is asked for exists. */
function hugeSource(reads: [number, number][]): ByteSource {
  return {
    uri: 'huge:',
    size: WIDTH * WIDTH * 4 * 2,
    async read(offset: number, length: number) {
      reads.push([offset, length]);
      return new Uint8Array(length).fill(1);
    },
  } as unknown as ByteSource;
}

test('weights of any size are cut without being read, and a part reads its own bytes', async () => {
  const reads: [number, number][] = [];
  const source = hugeSource(reads);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const up = b.initializer('up', lazy.source(source, 0, 'uint8', [WIDTH, WIDTH]));
  const down = b.initializer('down', lazy.source(source, WIDTH * WIDTH, 'uint8', [WIDTH, WIDTH]));
  const x = b.input('x', tensorType('uint8', ['n', WIDTH]));
  b.output(b.op('MatMulInteger', [b.op('Cast', [b.op('MatMulInteger', [x, up])], { to: 2 }), down]), 'y');
  const sharded = shardModel(model, { shards: 8 });
  expect(reads).toEqual([]);
  const [part] = [...sharded.segments[3]![0]!.graph.initializers.values()].map(({ tensor }) => tensor!).filter((tensor) => tensor.shape[0] === WIDTH / 8);
  expect(part!.shape).toEqual([WIDTH / 8, WIDTH]);
  expect(part).toBeInstanceOf(LazyTensor);
  expect((await part!.rows({ start: 0, end: 2 })).byteLength).toBe(2 * WIDTH);
  expect(reads.reduce((sum, [, length]) => sum + length, 0)).toBeLessThan(2 ** 24);
  expect(reads.every(([offset]) => offset >= WIDTH * WIDTH + 3 * (WIDTH / 8) * WIDTH)).toBe(true);
  // one sum of int32
  expect(stepTraffic(sharded, { n: 2 })).toEqual([{ step: 1, kind: 'reduce', bytes: 2 * WIDTH * 4, written: new Array(8).fill((2 * WIDTH * 4 * 9) / 8), read: new Array(8).fill(4 * WIDTH * 4), meetings: 2 }]);
  expect(() => stepTraffic(sharded, {})).toThrow(/not known at these sizes/);
});

test('a sparse weight stays as it is, on every shard', () => {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const sparse = new SparseTensor([4, 6], denseOf('float32', [2], [1, 2]), denseOf('int64', [2], [3, 9]));
  b.output(b.op('MatMul', [b.input('x', tensorType('float32', ['n', 4])), b.initializer('w', sparse)]), 'y');
  const sharded = shardModel(model, { shards: 2, threshold: 0 });
  expect(sharded.layers).toEqual([]);
  for (const [segment] of sharded.segments) expect(segment!.graph.initializers.get('w')!.tensor).toBe(sparse);
});
