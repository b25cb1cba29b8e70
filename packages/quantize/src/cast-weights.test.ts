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
