/**
 * Digits that models get right, of a part of MNIST, and McNemar's exact test of each model against the first:
 * `npx tsx --conditions=@penjing/source bench/digits.ts IMAGES.gz LABELS.gz SCALE[,MEAN,STD] MODEL.onnx…`; pixels become (pixel · SCALE − MEAN) / STD.
 */
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
const [factor = 1, mean = 0, std = 1] = scale.split(',').map(Number);
let first: Uint8Array | undefined;
const PARTS = [[5000, 6000], [512, 6000]] as const;

for (const path of paths) {
  const model: Model = await readOnnx(await fileSource(path));
  await using executor = await engine.load(model);
  const { name, type } = executor.inputs[0]!;
  const shape = type.kind === 'tensor' ? (type.shape ?? []).map((size) => (typeof size === 'number' ? size : 1)) : [];
  const right = new Uint8Array(wanted.length);
  for (let i = 512; i < wanted.length; i++) {
    const digit = Float32Array.from(pixels.subarray(i * 784, (i + 1) * 784), (value) => (value * factor - mean) / std);
    const [output] = Object.values(await executor.run({ [name]: DenseTensor.of('float32', shape, digit) }));
    const scores = [...((output as DenseTensor).data as Float32Array)];
    right[i] = Number(scores.indexOf(Math.max(...scores)) === wanted[i]);
  }
  first ??= right;
  const reference = first;
  const counts = PARTS.map(([from, to]) => {
    const sum = right.subarray(from, to).reduce((all, value) => all + value, 0);
    let [lost, won] = [0, 0];
    for (let i = from; i < to; i++) {
      if (reference[i]! > right[i]!) lost++;
      if (reference[i]! < right[i]!) won++;
    }
    return `${sum} of ${to - from} (${from}–${to - 1}${reference === right ? '' : `; ${lost} lost, ${won} won, p = ${mcNemar(lost, won).toPrecision(2)}`})`;
  });
  console.log(`${basename(path)}: ${counts.join(', ')}`);
}

/** Two-sided: how likely a split at least as uneven is when losing and winning are alike. */
function mcNemar(lost: number, won: number): number {
  const all = lost + won;
  let [term, tail] = [2 ** -all, 0];
  for (let k = 0; k <= Math.min(lost, won); k++) {
    tail += term;
    term *= (all - k) / (k + 1);
  }
  return Math.min(1, 2 * tail);
}
