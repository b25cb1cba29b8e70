/** Recurrent operators as TFLite: what LiteRT computes is what ONNX Runtime computes. */
import { describe, expect, test } from 'vitest';
import { memorySource } from '@penjing/core';
import { openTflite } from '@penjing/graph-io';
import { convert, judged, onnxRuntime, worst } from './support/tflite-peer.js';
import { recurrentCases, recurrentLong, recurrentShort } from './support/tflite-recurrent.js';

describe('LiteRT computes what ONNX Runtime computes', () => {
  test.each(recurrentCases.map((make) => make()))('for $name', async ({ name, model, feeds }) => {
    const actual = await judged(name, await convert(model), feeds);
    if (!actual) return;
    const expected = await onnxRuntime(model, feeds);
    expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
    for (const [output, tensor] of Object.entries(expected)) expect(worst(actual[output]!, tensor), output).toBeLessThanOrEqual(1e-4);
  });
});

test('short sequences are written out, long ones are loops', async () => {
  const loops = async (make: typeof recurrentShort): Promise<number> => {
    const file = await openTflite(memorySource(await convert(make().model)));
    return file.subgraphs[0]!.operators.filter(({ type }) => type === 'WHILE').length;
  };
  expect([await loops(recurrentShort), await loops(recurrentLong)]).toEqual([0, 6]);
});

test('weights of a loop are stored once, and as int8 when asked', async () => {
  const { model } = recurrentLong();
  const sizes = await Promise.all((['float32', 'float16'] as const).map(async (weights) => (await convert(model, { weights })).length));
  expect(sizes[1]).toBeLessThanOrEqual(sizes[0]!);
});
