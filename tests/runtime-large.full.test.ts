/** Models above 2 GB: by path and from memory. The weights are zeros in a sparse file, so the disk holds next to nothing. */
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DenseTensor, GraphBuilder, LazyTensor, Model, denseOf, expr, tensorType } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { ortEngine } from '@penjing/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';

const LAYERS = 3;
const ROWS = 50_000;
const COLS = 4_096;
const LAYER_BYTES = ROWS * COLS * 4;
let folder = '';
let graph: Uint8Array;

beforeAll(async () => {
  expect(LAYERS * LAYER_BYTES).toBeGreaterThan(2 ** 31);
  folder = await mkdtemp(join(tmpdir(), 'penjing-test-'));
  const [file, data] = serializeOnnx(lookups(), { externalData: 'always', name: 'large.onnx' });
  graph = await layoutToBytes(file!);
  await writeFile(join(folder, 'large.onnx'), graph);
  await writeFile(join(folder, data!.name), '');
  await truncate(join(folder, data!.name), data!.size);
});
afterAll(() => rm(folder, { recursive: true }));

/** Row `at` of each of three embeddings, plus one. */
function lookups(): Model {
  const size = LAYERS * LAYER_BYTES;
  const zeros = { uri: 'zeros', size, descriptor: { kind: 'memory', size } as const, read: (_: number, length: number) => Promise.resolve(new Uint8Array(length)) };
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const at = b.input('at', tensorType('int64', ['n']));
  for (let layer = 0; layer < LAYERS; layer++) {
    const weight = new LazyTensor(expr.source('zeros', layer * LAYER_BYTES, 'float32', [ROWS, COLS]), new Map([['zeros', zeros]]));
    const row = b.op('Gather', [b.initializer(`w${layer}`, weight), at]);
    b.output(b.op('Add', [row, b.constant('float32', 1)]), `y${layer}`, tensorType('float32', ['n', COLS]));
  }
  return model;
}

async function check(load: Promise<Awaited<ReturnType<ReturnType<typeof ortEngine>['load']>>>): Promise<void> {
  await using executor = await load;
  const results = await executor.run({ at: denseOf('int64', [2], [0, ROWS - 1]) });
  for (let layer = 0; layer < LAYERS; layer++) {
    const y = results[`y${layer}`] as DenseTensor;
    expect(y.shape).toEqual([2, COLS]);
    expect((y.data as Float32Array).every((value) => value === 1)).toBe(true);
  }
}

test('by path', () => check(ortEngine({ threads: 1 }).loadFile(join(folder, 'large.onnx'))));

test('from memory', () => {
  const bytes = new Uint8Array(new ArrayBuffer(LAYERS * LAYER_BYTES));
  return check(ortEngine({ threads: 1 }).loadBytes(graph, { externalData: [{ path: 'large.onnx_data', bytes }], transfer: true }));
});
