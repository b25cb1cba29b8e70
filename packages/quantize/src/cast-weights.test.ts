import { check, DenseTensor, GraphBuilder, Model, print, tensorType } from '@penjing/core';
import { expect, test } from 'vitest';
import { castWeights } from './cast-weights.js';

test('stores large weights in half precision behind a Cast', async () => {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', [1, 16]));
  const w = b.initializer('w', DenseTensor.of('float32', [16, 16], new Float32Array(256)));
  const bias = b.initializer('bias', DenseTensor.of('float32', [16], new Float32Array(16)));
  b.output(b.op('Add', [b.op('MatMul', [x, w]), bias]), 'y');
  const { model: result, records } = await castWeights({ dtype: 'float16' }).run(model, {});
  expect(check(result)).toEqual([]);
  expect(records).toMatchObject([{ name: 'w', bytesBefore: 1024, bytesAfter: 512, measuredBy: 'w.float16' }]);
  expect(print(result)).toContain('w = Cast(w.float16) {to=1}');
  await expect(castWeights({ dtype: 'float16', minElements: 1e6 }).run(result, {})).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
});

/** MatMul with a weight of 256 elements. */
function product(): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const w = b.initializer('w', DenseTensor.of('float32', [16, 16], new Float32Array(256)));
  w.doc = 'kept';
  b.output(b.op('MatMul', [b.input('x', tensorType('float32', [1, 16])), w]), 'y');
  return model;
}

test('the widened value is the one it was, under names that are free', async () => {
  const model = product();
  const w = model.graph.initializers.get('w')!;
  const b = new GraphBuilder(model.graph);
  b.output(b.op('Identity', [w], {}, { outputs: ['w.float16'] }), 'w.float16');
  const { model: result, records } = await castWeights({ dtype: 'float16' }).run(model, {});
  expect(check(result)).toEqual([]);
  expect(records[0]!.measuredBy).toBe('w.float16_1');
  expect([w.doc, w.producer?.opType, w.tensor]).toEqual(['kept', 'Cast', undefined]);
});

test('before IR version 4 initializers are inputs too; they are stored all the same', async () => {
  const model = product();
  model.irVersion = 3;
  model.graph.inputs.push(...model.graph.initializers.values());
  const { model: result } = await castWeights({ dtype: 'bfloat16' }).run(model, {});
  expect([result.irVersion, result.graph.inputs.length]).toEqual([4, 1]);
  expect(check(result)).toEqual([]);
});

test('bfloat16 needs a Cast that knows it', async () => {
  const model = product();
  model.opsetImports.set('', 12);
  await expect(castWeights({ dtype: 'bfloat16' }).run(model, {})).rejects.toMatchObject({ code: 'E_OPTION' });
});
