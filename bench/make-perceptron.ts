/** Writes an ONNX file of wide layers of a given size, for formats that take no language model. */
import { open, rm } from 'node:fs/promises';
import { GraphBuilder, lazy, Model, tensorType, type Value } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { fileSource, saveFile } from '@penjing/graph-io/node';

/** Rows and columns of a layer: 268 MB of float32. */
const WIDTH = 8192;

/** As many whole layers as `bytes` have room for, at least one; their weights repeat. */
export async function makePerceptron(path: string, bytes: number): Promise<void> {
  const weights = `${path}.weights`;
  const row = Float32Array.from({ length: 2 * WIDTH }, (_, i) => Math.sin(i % WIDTH) / 100);
  // row r is the sines, shifted by r
  const file = await open(weights, 'w');
  for (let r = 0; r < WIDTH; r++) await file.write(row.subarray(r, r + WIDTH));
  await file.close();
  try {
    const source = await fileSource(weights);
    const model = new Model();
    model.irVersion = 9;
    model.opsetImports.set('', 17);
    const b = new GraphBuilder(model.graph);
    let x: Value = b.input('x', tensorType('float32', [1, WIDTH]));
    for (let i = 0; i < Math.max(1, Math.floor(bytes / (4 * WIDTH * WIDTH))); i++) {
      const weight = b.initializer(`w${i}`, lazy.source(source, 0, 'float32', [WIDTH, WIDTH]));
      x = b.op('Tanh', [b.op('Gemm', [x, weight], { transB: 1 })]);
    }
    b.output(x, 'y', tensorType('float32', [1, WIDTH]));
    await saveFile(path, serializeOnnx(model, { name: 'model.onnx' }), { force: true });
  } finally {
    await rm(weights);
  }
}
