import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DenseTensor, denseOf, type Engine, GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import type { Layout } from '@penjing/parallel';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { layoutEngine, sharing } from './layout-engine.js';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-layout-engine-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

function unary(op: string): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  model.irVersion = 9;
  const b = new GraphBuilder(model.graph);
  b.output(b.op(op, [b.input('x', tensorType('float32', [1]))]), 'y', tensorType('float32', [1]));
  return model;
}

const leaf: Layout = { kind: 'device', device: 'a' };

/** Of 0. */
async function given(engine: Engine, part: Model): Promise<number> {
  await using executor = await engine.load(part, { threads: 1 });
  return ((await executor.run({ x: denseOf('float32', [1], [0]) })).y as DenseTensor).data[0] as number + 0;
}

test('a model that lies in a file is loaded from there, parts of it are not', async () => {
  // Another graph than that in memory: what runs says where it came from.
  const file = join(folder, 'model.onnx');
  await saveFile(file, serializeOnnx(unary('Neg'), { name: 'model.onnx' }));
  const model = unary('Exp');
  const engine = await layoutEngine(model, leaf, { file });
  expect([await given(engine, model), await given(engine, unary('Cos')), await given(await layoutEngine(model, leaf), model)]).toEqual([0, 1, 1]);
  expect(engine.loadChain).toBeDefined();
});

test('a file that is made when it is wanted is made for the whole model alone, and may be none', async () => {
  const file = join(folder, 'later.onnx');
  const model = unary('Exp');
  let asked = 0;
  const engine = await layoutEngine(model, leaf, { file: async () => {
    asked++;
    await saveFile(file, serializeOnnx(unary('Neg'), { name: 'later.onnx' }));
    return file;
  } });
  expect([await given(engine, unary('Cos')), asked]).toEqual([1, 0]);
  expect([await given(engine, model), asked]).toEqual([0, 1]);
  expect(await given(await layoutEngine(model, leaf, { file: () => Promise.resolve(undefined) }), model)).toBe(1);
});

test('idle threads spin where nobody else wants their cores', () => {
  expect(sharing(1)).toEqual({});
  expect(sharing(2)).toEqual({ sessionConfig: { 'session.intra_op.allow_spinning': '0' } });
});
