/**
 * A network of more than 2 GiB as TensorFlow Lite: peak memory and time of writing it. The weights of every layer come from one
 * file; `peers/bench/tflite_large.py` runs the file on LiteRT. `npx tsx --conditions=@penjing/source bench/tflite-large.ts FOLDER [GB]`.
 */
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { denseOf, GraphBuilder, lazy, Model, tensorType, type Value } from '@penjing/core';
import { tfliteLayout } from '@penjing/graph-io';
import { fileSource, saveLayouts } from '@penjing/graph-io/node';

const [, , folder = '', size = '2.4', weights = 'float32'] = process.argv;
/** Rows and columns of a layer. */
const WIDTH = 8192;
const layers = Math.ceil((Number(size) * 1e9) / (4 * WIDTH * WIDTH));

await mkdir(folder, { recursive: true });
const source = join(folder, 'weights.bin');
const row = Float32Array.from({ length: 2 * WIDTH }, (_, i) => Math.sin(i % WIDTH) / 100);
// One layer, written row by row: row r is the sines, shifted by r.
const file = await open(source, 'w');
for (let r = 0; r < WIDTH; r++) await file.write(row.subarray(r, r + WIDTH));
await file.close();
const bytes = await fileSource(source);

const model = new Model();
model.opsetImports.set('', 17);
const b = new GraphBuilder(model.graph);
let x: Value = b.input('x', tensorType('float32', [1, WIDTH]));
for (let i = 0; i < layers; i++) {
  // Each its own tensor: only what is the same object is stored once.
  const weight = b.initializer(`w${i}`, lazy.multiply(lazy.source(bytes, 0, 'float32', [WIDTH, WIDTH]), denseOf('float32', [], [1 + i / 10])));
  x = b.op('Tanh', [b.op('Gemm', [x, weight], { transB: 1 })]);
}
b.output(x, 'y');

const start = performance.now();
const [layout] = await tfliteLayout(model, { weights: weights as 'float32' | 'int8' });
const planned = performance.now();
const { seconds } = await saveLayouts(folder, [layout!]);
process.stdout.write(`${JSON.stringify({ layers, bytes: layout!.size, planMs: Math.round(planned - start), seconds, mbPerSecond: Math.round(layout!.size / 1e6 / seconds), peakMb: Math.round(process.resourceUsage().maxRSS / 1024) })}\n`);
