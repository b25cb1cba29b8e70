/** Every recorded PyTorch module on ONNX Runtime: what is saved is what runs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { memorySource } from '@penjing/core';
import { modelFromPytorch, openSafetensors } from '@penjing/graph-io';
import { ortEngine } from '@penjing/runtime';
import { difference } from './support/model-difference.js';

const folder = fileURLToPath(new URL('./fixtures/torch-modules', import.meta.url));
const cases = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as Readonly<Record<string, { inputs: string[]; forward?: string }>>;
const file = (name: string): ReturnType<typeof memorySource> => memorySource(readFileSync(join(folder, name)));

test.each(Object.entries(cases))('%s', async (name, { inputs, forward }) => {
  for (const opset of [18, 21, 23]) {
    const model = await modelFromPytorch(file(`${name}.pt`), { inputs, opset, ...(forward !== undefined && { forward }) });
    expect(await difference(model, await openSafetensors(file(`${name}.safetensors`)), ortEngine({ threads: 1 }))).toBeLessThan(1e-5);
  }
});
