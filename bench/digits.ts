/** Digits that models get right, of a part of MNIST. `npx tsx --conditions=@penjing/source bench/digits.ts IMAGES.gz LABELS.gz SCALE MODEL.onnx…` */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DenseTensor, type Engine, type Model } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { ortEngine } from '@penjing/runtime';

const [images = '', labels = '', scale = '1', ...paths] = process.argv.slice(2);
const pixels = gunzipSync(await readFile(images)).subarray(16);
const wanted = gunzipSync(await readFile(labels)).subarray(8);
const engine: Engine = ortEngine();
const PARTS = [[5000, 6000], [512, 6000]] as const;

for (const path of paths) {
  const model: Model = await readOnnx(await fileSource(path));
  await using executor = await engine.load(model);
  const { name, type } = executor.inputs[0]!;
  const shape = type.kind === 'tensor' ? (type.shape ?? []).map((size) => (typeof size === 'number' ? size : 1)) : [];
  const right = new Uint8Array(wanted.length);
  for (let i = 512; i < wanted.length; i++) {
    const digit = Float32Array.from(pixels.subarray(i * 784, (i + 1) * 784), (value) => value * Number(scale));
    const [output] = Object.values(await executor.run({ [name]: DenseTensor.of('float32', shape, digit) }));
    const scores = [...((output as DenseTensor).data as Float32Array)];
    right[i] = Number(scores.indexOf(Math.max(...scores)) === wanted[i]);
  }
  const counts = PARTS.map(([from, to]) => `${right.subarray(from, to).reduce((sum, value) => sum + value, 0)} of ${to - from} (${from}–${to - 1})`);
  console.log(`${basename(path)}: ${counts.join(', ')}`);
}
