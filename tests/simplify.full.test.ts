/** Every ONNX model of the shared test material, simplified and with its operator set raised: the same outputs in ONNX Runtime. */
import type { Model } from '@penjing/core';
import { simplify } from '@penjing/core/rewrite';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { ortEngine } from '@penjing/runtime';
import { describe, expect, test } from 'vitest';
import { convertedModels } from './tools/converted-models.js';
import { expectSame, simplifyCorpus, slimRecords } from './tools/simplify-corpus.js';
import { testData } from './tools/test-data.js';

const TIMEOUT = 900_000;

/** Models of which OnnxSlim leaves fewer nodes, and why that many cannot go. */
const more: Readonly<Record<string, string>> = {
  'bias_dropout_fusion1.onnx': 'OnnxSlim removes Dropout in training mode, at a ratio above 0: the outputs are others',
  'bias_dropout_fusion2.onnx': 'OnnxSlim removes Dropout in training mode, at a ratio above 0: the outputs are others',
  'bias_dropout_fusion_dim_is_param.onnx': 'OnnxSlim removes Dropout in training mode, at a ratio above 0: the outputs are others',
  'bias_dropout_residual_fusion_multiple_consumers1.onnx': 'OnnxSlim removes Dropout in training mode, at a ratio above 0: the outputs are others',
  'bias_dropout_same_shape_fusion_dim_is_param.onnx': 'OnnxSlim removes Dropout in training mode, at a ratio above 0: the outputs are others',
  'fuse_fp16_initializers_with_graph_outputs.onnx': 'the folded Cast would make the file larger',
  'matmul_integer_to_float_large_tensor.onnx': 'it has no outputs, so nothing would be left, and that does not load',
};

describe.skipIf(!testData)('the whole test material', () => {
  test('onnxruntime: no more nodes than OnnxSlim, no more bytes', { timeout: TIMEOUT }, async () => {
    const rows = await simplifyCorpus(testData!, (id) => id.startsWith('onnxruntime-testdata/'), { engine: ortEngine({ threads: 1 }) });
    const slim = slimRecords();
    for (const row of rows) {
      expectSame(row);
      expect.soft(row.bytes[1], row.id).toBeLessThanOrEqual(row.bytes[0]);
      const peer = slim[row.id]?.after;
      if (peer && row.verdict !== 'refused' && !more[row.id.split('/').at(-1)!]) expect.soft(row.nodes[1], row.id).toBeLessThanOrEqual(peer.nodes);
    }
    expect(rows.filter(({ verdict }) => verdict === 'identical').length).toBeGreaterThan(230);
  });

  test('light: with growth allowed, as OnnxSlim allows it, no more nodes; without, no more bytes', { timeout: TIMEOUT }, async () => {
    const slim = slimRecords();
    for (const allowGrowth of [true, false]) {
      const rows = await simplifyCorpus(testData!, (id) => id.startsWith('light/'), { engine: ortEngine({ threads: 1 }), simplify: { allowGrowth } });
      expect(rows.length).toBe(4);
      for (const row of rows) {
        expect.soft(row.verdict, `${row.id}: ${row.detail}`).toBe('identical');
        if (allowGrowth) expect.soft(row.nodes[1], row.id).toBeLessThanOrEqual(slim[row.id]!.after!.nodes);
        else expect.soft(row.bytes[1], row.id).toBeLessThanOrEqual(row.bytes[0]);
      }
    }
  });

  test('the cases of ONNX and of other converters, with ONNX Runtime\'s own operators', { timeout: TIMEOUT }, async () => {
    const options = { engine: ortEngine({ threads: 1 }), simplify: { fusions: 'onnxruntime' } } as const;
    const rows = await simplifyCorpus(testData!, (id) => !/^(onnxruntime-testdata|light|models)\//.test(id), options);
    for (const row of rows) {
      expectSame(row);
      expect.soft(row.bytes[1], row.id).toBeLessThanOrEqual(row.bytes[0]);
    }
    expect(rows.filter(({ verdict }) => verdict === 'identical').length).toBeGreaterThan(820);
  });

  test('operator sets raised to 21', { timeout: TIMEOUT }, async () => {
    const options = { engine: ortEngine({ threads: 1 }), opset: 21, simplify: { only: ['dead'] } };
    const rows = await simplifyCorpus(testData!, (id) => !/^node\//.test(id), options);
    for (const row of rows) {
      // ONNX Runtime's own fusion of float16 and float32 makes a LayerNormalization that opset 17 does not allow.
      if (!row.detail.includes('LayerNormFusion')) expectSame(row);
      if (row.verdict === 'refused') expect.soft(row.detail, row.id).toMatch(/^E_/);
    }
    expect(rows.filter(({ verdict }) => verdict === 'identical').length).toBeGreaterThan(430);
  });
});

test('everything that converts: no more nodes than OnnxSlim, no more bytes', { timeout: TIMEOUT }, async () => {
  const slim = slimRecords('onnxslim-converted.json');
  const engine = ortEngine({ threads: 1 });
  let compared = 0;
  for await (const { id, make } of convertedModels(['pt2', 'sweep', 'hf'])) {
    const peer = slim[`${id}.onnx`]?.after?.nodes;
    if (peer === undefined) continue;
    const original = await make();
    const result = await simplify({ engine }).run(await make(), {});
    expect.soft(result.nodesAfter, id).toBeLessThanOrEqual(peer);
    expect.soft(await sizeOf(result.model), id).toBeLessThanOrEqual(await sizeOf(original));
    compared++;
  }
  expect(compared).toBeGreaterThan(700);
});

async function sizeOf(model: Model): Promise<number> {
  return (await layoutToBytes(serializeOnnx(model, { externalData: 'never' })[0]!)).byteLength;
}
