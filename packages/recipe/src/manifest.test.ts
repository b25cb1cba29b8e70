import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { WeightRecord } from '@penjing/core';
import { saveLayouts } from '@penjing/graph-io/node';
import { readManifestRecords, withGraphs } from './manifest.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-manifest-'));
  await mkdir(join(folder, 'onnx'));
  await writeFile(join(folder, 'onnx', 'model.onnx'), '');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const record: WeightRecord = { name: 'w', method: 'cast float16', elements: 2, bytesBefore: 8, bytesAfter: 4, snrDb: Infinity, maxError: 0 };

test('each graph keeps its records; an infinite ratio survives JSON', async () => {
  await saveLayouts(folder, [], { manifest: (_, earlier) => withGraphs(earlier, ['onnx/model.onnx'], { steps: [], records: [record] }) });
  await saveLayouts(folder, [], {
    add: true,
    manifest: (_, earlier) => withGraphs(earlier, ['onnx/model_q4.onnx'], { steps: [{ quantize: {} }], records: [{ ...record, name: 'q', snrDb: 20 }] }),
  });
  expect(await readManifestRecords(join(folder, 'onnx', 'model.onnx'))).toEqual([record]);
  expect((await readManifestRecords(join(folder, 'onnx', 'model_q4.onnx'))).map(({ name }) => name)).toEqual(['q']);
  expect(JSON.parse(await readFile(join(folder, 'penjing.json'), 'utf8'))).toHaveProperty(['graphs', 'onnx/model_q4.onnx', 'steps', 0, 'quantize']);
});

test.each(['', 'null', '[]', '{"graphs":null}', '{"graphs":{"onnx/model.onnx":7}}', '{"graphs":{"onnx/model.onnx":{"records":"all"}}}', '{"graphs":{"onnx/model.onnx":{"records":[null,7,{"name":5},{"name":"w","method":"m","elements":"2"}]}}}'])(
  'a manifest that is not ours remembers nothing: %s',
  async (text) => {
    await writeFile(join(folder, 'penjing.json'), text);
    expect(await readManifestRecords(join(folder, 'onnx', 'model.onnx'))).toEqual([]);
  },
);
