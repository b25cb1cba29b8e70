/** Models that another machine says it prepared: none is loaded with weights that nobody has looked at. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DenseTensor, GraphBuilder, isPenjingError, Model, tensorType } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { checkPrepared, preparedModels } from './check-stored.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-check-stored-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** One weight of 4 KiB, which lies beside the model. */
async function written(): Promise<{ bytes: ArrayBuffer; weights: ArrayBuffer }> {
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  b.output(b.op('Add', [b.input('x', tensorType('float32', [1024])), b.initializer('w', DenseTensor.of('float32', [1024], new Float32Array(1024)))], {}, { outputs: ['y'] }), 'y', tensorType('float32', [1024]));
  const [graph, data] = await Promise.all(serializeOnnx(model, { externalData: 'always', name: 'm.onnx' }).map((layout) => layoutToBytes(layout)));
  writeFileSync(join(folder, 'm.onnx'), graph!);
  writeFileSync(join(folder, 'm.onnx_data'), data!);
  return { bytes: new Uint8Array(graph!).buffer, weights: new Uint8Array(data!).buffer };
}

const { bytes, weights } = await written();
const check = (reference: unknown): Promise<void> => checkPrepared({ kind: 'model', reference });
const given = { path: 'm.onnx_data', data: weights };

it('takes models as hosts prepare them', async () => {
  await check({ source: { kind: 'file', path: join(folder, 'm.onnx') } });
  await check({ source: { kind: 'memory', bytes, externalData: [] }, folder });
  await check({ source: { kind: 'memory', bytes, externalData: [given] } });
});

it('takes no weights that would be loaded unseen', async () => {
  const refused: Record<string, unknown> = {
    // Those of the folder are sound, those in memory would be loaded.
    'folder and memory': { source: { kind: 'memory', bytes, externalData: [{ ...given, data: new ArrayBuffer(1) }] }, folder },
    'file and folder': { source: { kind: 'file', path: join(folder, 'm.onnx') }, folder: tmpdir() },
    'bytes by their number': { source: { kind: 'memory', bytes: 2 ** 33, externalData: [] } },
    'a kind of its own': { source: { kind: 'other', path: join(folder, 'm.onnx'), bytes, externalData: [given] } },
    'weights by their number': { source: { kind: 'memory', bytes, externalData: [{ ...given, data: 2 ** 33 }] } },
    'no list': { source: { kind: 'memory', bytes, externalData: { length: 1, 0: given } } },
  };
  for (const [what, reference] of Object.entries(refused)) await expect(check(reference), what).rejects.toMatchObject({ code: 'E_DATA' });
  await expect(check({ source: { kind: 'memory', bytes, externalData: [] } })).rejects.toMatchObject({ code: 'E_EXTERNAL_DATA' });
});

it('ends in a typed error for what is no model', async () => {
  const value = fc.constantFrom<unknown>('file', 'memory', undefined, null, 7, '', join(folder, 'none'), folder, new ArrayBuffer(4), new Uint8Array(4), [], [null], [{}], [given], {});
  const source = fc.record({ kind: value, path: value, bytes: value, externalData: value }, { requiredKeys: [] });
  await fc.assert(fc.asyncProperty(source, fc.record({ folder: value }, { requiredKeys: [] }), async (inner, rest) => {
    const error: unknown = await check({ source: inner, ...rest }).catch((cause: unknown) => cause);
    expect([isPenjingError(error), String(error)]).toEqual([true, String(error)]);
  }), { numRuns: 300 });
});

it('finds each model once, however often it stands there', () => {
  const reference = { source: { kind: 'memory', bytes } };
  let input: unknown = new Map([['deep', [{ reference }]]]);
  for (let i = 0; i < 60; i++) input = { a: input, b: input };
  expect(preparedModels(input)).toEqual([{ kind: 'model', reference }]);
});
