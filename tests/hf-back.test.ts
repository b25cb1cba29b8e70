/** Weights of converted models, written back as the checkpoint that they came from. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Checkpoint, storedTensors, type Tensor } from '@penjing/core';
import { checkpointLike, convertHuggingFaceGraphs, type HuggingFaceFolder, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { expect, test } from 'vitest';

const fixtures = join(import.meta.dirname, 'fixtures');
const folders = ['decoders', 'encoders', 'seq2seq'].flatMap((family) =>
  readdirSync(join(fixtures, family)).filter((name) => existsSync(join(fixtures, family, name, 'model.safetensors'))).map((name) => `${family}/${name}`),
);

const open = (name: string): Promise<HuggingFaceFolder> => openHuggingFaceFolder(openFolder(join(fixtures, name)));

async function weightsOf(folder: HuggingFaceFolder): Promise<Checkpoint> {
  const tensors = new Map<string, Tensor>();
  for (const model of (await convertHuggingFaceGraphs(folder)).values()) for (const { name, tensor } of storedTensors(model)) tensors.set(name, tensor);
  return { tensors, metadata: new Map() };
}

test.each(folders)('%s comes back as it was', async (name) => {
  const folder = await open(name);
  const back = await checkpointLike(folder, await weightsOf(folder));
  expect([...back.tensors.keys()]).toEqual([...folder.checkpoint.tensors.keys()]);
  for (const [key, tensor] of folder.checkpoint.tensors) {
    const other = back.tensors.get(key)!;
    expect([key, other.dtype, other.shape]).toEqual([key, tensor.dtype, tensor.shape]);
    const [there, again] = [await tensor.load(), await other.load()];
    // 1 + weight is rounded, and so is what is left of it
    if (/gemma/.test(name) && /norm/.test(key)) expect(largestDifference(there, again), key).toBeLessThan(1e-6);
    else expect(Buffer.from(again).equals(Buffer.from(there)), key).toBe(true);
  }
});

function largestDifference(a: Uint8Array, b: Uint8Array): number {
  const floats = ({ buffer, byteOffset, byteLength }: Uint8Array): Float32Array => new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  const other = floats(b);
  return floats(a).reduce((most, x, i) => Math.max(most, Math.abs(x - other[i]!)), 0);
}

test('weights of another size, or gone, are named', async () => {
  const folder = await open('decoders/mistral');
  const { tensors, metadata } = await weightsOf(folder);
  const name = [...tensors.keys()].find((key) => key.endsWith('q_proj.weight'))!;
  const without = new Map(tensors);
  without.delete(name);
  await expect(checkpointLike(folder, { tensors: without, metadata })).rejects.toThrow(`${name} is not there`);
  await expect(checkpointLike(await open('decoders/qwen2'), { tensors, metadata })).rejects.toMatchObject({ code: 'E_WEIGHTS' });
});
