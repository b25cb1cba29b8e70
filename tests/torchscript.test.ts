/** TorchScript archives, traced and scripted, against what PyTorch computed with them, and what is beyond. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, denseOf, type DenseTensor, memorySource, toDense } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { modelFromPytorch, openSafetensors, openTorchScript } from '@penjing/graph-io';
import { testEngine } from './support/ort-session.js';
import { describe, expect, test } from 'vitest';
import { recordedOf, runModel } from './support/pt2-cases.js';
import { testData } from './tools/test-data.js';

const folder = fileURLToPath(new URL('./fixtures/torchscript', import.meta.url));
const source = (path: string) => memorySource(readFileSync(path), path);

test.each(['net', 'tagger', 'scripted', 'choice', 'mixed', 'frozen'])('%s gives the values of PyTorch', async (name) => {
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
    code: 'E_UNSUPPORTED', message: expect.stringMatching(/^a loop over a number computed in the graph does not convert from TorchScript \(code\/__torch__.*\.py:\d+\)$/) as string,
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

  test('silero-vad, scripted, gives its published probabilities', async () => {
    const root = join(testData ?? '', 'models/silero-vad');
    // The whole keeps its state in attributes; the network inside takes and gives it.
    const model = await modelFromPytorch(source(join(root, 'silero_vad.jit')), { key: '_model', inputs: ['x:f32[N,576]', 'state:f32[2,N,128]'] });
    expect(check(model)).toEqual([]);
    const { tensors } = await openSafetensors(memorySource(readFileSync(join(root, 'expected_probs_first20s.safetensors'))));
    const wanted = (await toDense(tensors.get('silero_vad.jit')!)).data as Float32Array;
    const wav = readFileSync(join(root, 'speech_first20s.wav'));
    const samples = Float32Array.from(new Int16Array(wav.buffer.slice(wav.byteOffset + 44, wav.byteOffset + wav.byteLength)), (value) => value / 32768);
    await using executor = await testEngine().load(model);
    let state: DenseTensor = denseOf('float32', [2, 1, 128], new Array<number>(256).fill(0));
    let largest = 0;
    for (let step = 0; step < 60; step++) {
      const x = Array.from({ length: 576 }, (_, i) => samples[512 * step - 64 + i] ?? 0);
      const result = await executor.run({ x: denseOf('float32', [1, 576], x), state });
      state = result['output_1'] as DenseTensor;
      largest = Math.max(largest, Math.abs(Number((result['output_0'] as DenseTensor).data[0]) - wanted[step]!));
    }
    expect(largest).toBeLessThan(1e-4);
  });

  test('and as a whole for a rate, with its state named', async () => {
    const model = await modelFromPytorch(source(join(testData ?? '', 'models/silero-vad/silero_vad.jit')), { inputs: ['x:f32[1,512]', 'sr=16000'] });
    expect(check(model)).toEqual([]);
    expect(model.metadata.get('penjing.dropped_state')).toBe('_context, _state, _last_sr, _last_batch_size');
    await expect(modelFromPytorch(source(join(testData ?? '', 'models/silero-vad/silero_vad.jit')), { inputs: ['x:f32[1,600]', 'sr=16000'] })).rejects.toMatchObject({
      code: 'E_INPUT', message: expect.stringMatching(/Provided number of samples is 600.*\.py:\d+/) as string,
    });
  });
});
