import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphBuilder, Model, tensorType } from '@penjing/core';
import { layoutToBytes, openTflite, serializeOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { expect, test } from 'vitest';
import { runRecipe } from '../index.js';

test('inputs become constants of a TensorFlow Lite file, and of no other', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-tflite-'));
  try {
    const model = new Model();
    model.opsetImports.set('', 17);
    const b = new GraphBuilder(model.graph);
    const x = b.input('x', tensorType('float32', [2, 3]));
    b.output(b.op('Mul', [x, b.input('factor', tensorType('float32', [1]))]), 'y', tensorType('float32', [2, 3]));
    const input = join(folder, 'model.onnx');
    await writeFile(input, await layoutToBytes(serializeOnnx(model)[0]!));
    const convert = { values: { factor: [2.5] } };
    await runRecipe({ input, output: join(folder, 'model.tflite'), steps: [{ convert }] });
    await using source = await fileSource(join(folder, 'model.tflite'));
    const { subgraphs: [main] } = await openTflite(source);
    expect(main!.inputs.map((index) => main!.tensors[index]!.name)).toEqual(['x']);
    await expect(runRecipe({ input, output: join(folder, 'other.onnx'), steps: [{ convert }] })).rejects.toMatchObject({ code: 'E_OPTION' });
    await expect(runRecipe({ input, output: join(folder, 'b.tflite'), steps: [{ convert: { values: { nothing: [1] } } }] })).rejects.toThrow(/nothing/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
