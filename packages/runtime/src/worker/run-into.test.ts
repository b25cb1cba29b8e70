/** Runs that write into tensors of the caller. */
import { GraphBuilder, Model, tensorType } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sessionSettings } from '../engine/settings.js';
import { END_OF_RUN, endOfRun, isEndOfRun } from '../generate/end-of-run.js';
import { SessionTable } from './session-table.js';

let sessions: SessionTable;
let handle: number;
const tensor = (values: number[]): ort.Tensor => new ort.Tensor('float32', Float32Array.from(values), [values.length]);

beforeAll(async () => {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const [x, y] = ['x', 'y'].map((name) => b.input(name, tensorType('float32', ['n'])));
  b.output(b.op('Mul', [x, b.constant('float32', 2)]), 'double', tensorType('float32', ['n']));
  b.output(b.op('Neg', [y]), 'negative', tensorType('float32', ['n']));
  endOfRun(b);
  sessions = new SessionTable(ort, { pass: (call) => call() });
  const bytes = await layoutToBytes(serializeOnnx(model, { externalData: 'never' })[0]!);
  ({ handle } = await sessions.open({ kind: 'memory', bytes: bytes.buffer as ArrayBuffer, externalData: [] }, sessionSettings({ threads: 1 }, { bytes: 0, quantized: false, byPath: false })));
});
afterAll(() => sessions.closeAll());

test('write each of them, in place where an output is an input too', async () => {
  const [double, y] = [tensor([0, 0, 0]), tensor([4, 5, 6])];
  await sessions.runInto(handle, { x: tensor([1, 2, 3]), y }, { double, negative: y });
  expect([[...double.data], [...y.data]]).toEqual([[2, 4, 6], [-4, -5, -6]]);
});

test('the binding computes everything before it meets the end, and copies nothing after it', async () => {
  const double = tensor([0, 0]);
  const error: unknown = await sessions.get(handle).run({ x: tensor([1, 2]), y: tensor([0, 0]) }, { [END_OF_RUN]: null, double }).catch((caught: unknown) => caught);
  expect(isEndOfRun(error)).toBe(true);
  expect([...double.data]).toEqual([2, 4]);
});

test('other errors are thrown', async () => {
  await expect(sessions.runInto(handle, { x: tensor([1, 2]), y: tensor([0, 0]) }, { double: tensor([0]) })).rejects.toMatchObject({ code: 'E_ENGINE' });
  await expect(sessions.runInto(handle, {}, { double: tensor([0]) })).rejects.toMatchObject({ code: 'E_ENGINE' });
});
