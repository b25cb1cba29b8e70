/**
 * What LiteRT computed for files that this writer made, recorded by `peers/fixtures/tflite.py`. A record holds for the bytes it was made
 * from: a test makes the file again, and when its digest is the recorded one, the recorded outputs are what LiteRT gives for it.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DenseTensor, type Feeds, memorySource, type Model, type Tensor, toDense } from '@penjing/core';
import { layoutToBytes, openSafetensors, safetensorsLayout, type TfliteOptions, tfliteLayout } from '@penjing/graph-io';
import { testEngine } from './ort-session.js';
import { expect } from 'vitest';

const folder = fileURLToPath(new URL('../fixtures/tflite', import.meta.url));

/** Where files go to be judged: see peers/README.md. */
const recording = process.env['PENJING_RECORD_TFLITE'];

const digests: Readonly<Record<string, string>> = existsSync(join(folder, 'digests.json')) ? (JSON.parse(readFileSync(join(folder, 'digests.json'), 'utf8')) as Record<string, string>) : {};

/** Hands a file to be recorded when asked to; otherwise gives the outputs that LiteRT computed for exactly these bytes. */
export async function judged(name: string, bytes: Uint8Array, feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, DenseTensor>> | undefined> {
  if (recording) {
    mkdirSync(recording, { recursive: true });
    writeFileSync(join(recording, `${name}.tflite`), bytes);
    const [inputs] = safetensorsLayout({ format: 'safetensors', tensors: new Map(Object.entries(feeds)), metadata: new Map() } as unknown as Parameters<typeof safetensorsLayout>[0]);
    writeFileSync(join(recording, `${name}.safetensors`), await layoutToBytes(inputs!));
    return undefined;
  }
  const digest = createHash('sha256').update(bytes).digest('hex');
  if (digests[name] !== digest) throw new Error(`the bytes of ${name}.tflite are not those that LiteRT judged; record them again (peers/README.md)`);
  const { tensors } = await openSafetensors(memorySource(readFileSync(join(folder, `${name}.safetensors`))));
  return Object.fromEntries(await Promise.all([...tensors].map(async ([key, tensor]) => [key, await toDense(tensor)] as const)));
}

export async function convert(model: Model, options: TfliteOptions = {}): Promise<Uint8Array> {
  const [file] = await tfliteLayout(model, options);
  return layoutToBytes(file!);
}

export async function onnxRuntime(model: Model, feeds: Feeds): Promise<Record<string, DenseTensor>> {
  await using executor = await testEngine().load(model);
  const fetched = await executor.run(feeds);
  return Object.fromEntries(await Promise.all(Object.entries(fetched).map(async ([name, value]) => [name, await toDense(value)] as const)));
}

export function worst(a: DenseTensor, b: DenseTensor): number {
  expect([a.dtype, a.shape]).toEqual([b.dtype, b.shape]);
  const [x, y] = [a.data, b.data];
  let error = 0;
  for (let i = 0; i < x.length; i++) error = Math.max(error, Math.abs(Number(x[i]) - Number(y[i])));
  return error;
}

/** Share of the values that are more than one step of the output grid apart, and the worst distance in steps. */
export function steps(a: DenseTensor, b: DenseTensor, step: number): { readonly beyondOne: number; readonly worst: number } {
  expect(a.shape).toEqual(b.shape);
  const distances = Array.from(a.data as Float32Array, (x, i) => Math.abs(x - (b.data as Float32Array)[i]!) / step);
  return { beyondOne: distances.filter((distance) => distance > 1.01).length / distances.length, worst: Math.max(...distances) };
}


/** Every k-th value of a large tensor: what `peers/fixtures/tflite.py` keeps of it. */
export function sample(tensor: DenseTensor): DenseTensor {
  const count = tensor.data.length;
  const step = Math.ceil(count / 8192);
  if (step <= 1) return tensor;
  const data = (tensor.data as Float32Array).filter((_, i) => i % step === 0);
  return DenseTensor.of(tensor.dtype, [data.length], data);
}
