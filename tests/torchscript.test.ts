/** Traced TorchScript archives against what PyTorch computed with them, and what is beyond tracing. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, memorySource, toDense } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { openSafetensors, openTorchScript } from '@penjing/graph-io';
import { describe, expect, test } from 'vitest';
import { recordedOf, runModel } from './support/pt2-cases.js';
import { testData } from './tools/test-data.js';

const folder = fileURLToPath(new URL('./fixtures/torchscript', import.meta.url));
const source = (path: string) => memorySource(readFileSync(path), path);

test.each(['net', 'tagger'])('%s gives the values of PyTorch', async (name) => {
  const recorded = await recordedOf(readFileSync(join(folder, `${name}.safetensors`)));
  const inputs = recorded.inputs.map(({ dtype, shape }) => ({ dtype, shape }));
  const model = await openTorchScript(source(join(folder, `${name}.pt`)), { inputs });
  expect(check(model)).toEqual([]);
  expect(await runModel(referenceEngine(), model, recorded)).toBeLessThan(1e-4);
});

test('inputs without shapes are asked for', async () => {
  await expect(openTorchScript(source(join(folder, 'net.pt')), { inputs: [] })).rejects.toMatchObject({ code: 'E_INPUT', message: expect.stringContaining('takes x') as string });
});

test('control flow is named with file and line', async () => {
  const inputs = [{ dtype: 'float32', shape: [2] }] as const;
  await expect(openTorchScript(source(join(folder, 'loop.pt')), { inputs })).rejects.toMatchObject({
    code: 'E_UNSUPPORTED', message: expect.stringMatching(/^code\/__torch__.*\.py:\d+: for is control flow/) as string,
  });
});

test('a file cut anywhere ends with a typed error', async () => {
  const bytes = readFileSync(join(folder, 'tagger.pt'));
  for (let size = 0; size < bytes.length; size += 331) {
    await expect(openTorchScript(memorySource(bytes.subarray(0, size)))).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
  }
});

describe.skipIf(!testData)('real archives (need PENJING_TESTDATA)', () => {
  test('resnet20 matches its recorded outputs', async () => {
    const root = join(testData ?? '', 'models/resnet20-cifar10');
    const { tensors } = await openSafetensors(memorySource(readFileSync(join(root, 'resnet20_expected.safetensors'))));
    const recorded = { inputs: [await toDense(tensors.get('input')!)], outputs: [await toDense(tensors.get('output')!)] };
    const inputs = [{ dtype: 'float32', shape: ['batch', 3, 32, 32] }] as const;
    const model = await openTorchScript(source(join(root, 'resnet20_traced.torchscript.pt')), { inputs });
    expect(await runModel(referenceEngine(), model, recorded)).toBeLessThan(1e-4);
  });

  test('silero-vad is named: it is scripted', async () => {
    const inputs = [{ dtype: 'float32', shape: [1, 512] }, { dtype: 'int64', shape: [] }] as const;
    await expect(openTorchScript(source(join(testData ?? '', 'models/silero-vad/silero_vad.jit')), { inputs })).rejects.toMatchObject({
      code: 'E_UNSUPPORTED', message: expect.stringMatching(/\.py:\d+/) as string,
    });
  });
});
