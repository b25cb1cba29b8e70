/** Dynamic int8 on ONNX Runtime: what is written fuses, and real models stay near their float forms. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cloneModel, createRng, DenseTensor, denseOf, type Feeds, GraphBuilder, memorySource, Model, tensorType, toDense } from '@penjing/core';
import { openSafetensors, readOnnx } from '@penjing/graph-io';
import { quantizeDynamic } from '@penjing/quantize';
import { describe, expect, test } from 'vitest';
import { fusedOperators, testEngine } from './support/ort-session.js';
import { testData } from './tools/test-data.js';

const engine = testEngine();
const rng = createRng(41);
const normal = (shape: readonly number[]): DenseTensor => denseOf('float32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal()));

async function outputsOf(model: Model, feeds: Feeds): Promise<number[]> {
  await using executor = await engine.load(model);
  return Object.values(await executor.run(feeds)).flatMap((tensor) => [...((tensor as DenseTensor).data as Float32Array)]);
}

function snr(wanted: readonly number[], got: readonly number[]): number {
  return 10 * Math.log10(wanted.reduce((sum, x) => sum + x * x, 0) / wanted.reduce((sum, x, i) => sum + (x - got[i]!) ** 2, 0));
}

test('every operator becomes an integer kernel', async () => {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['n', 4, 6]));
  const h = b.op('Transpose', [b.op('Conv', [x, b.initializer('c', normal([8, 4, 3])), b.initializer('cb', normal([8]))], { pads: [1, 1] })], { perm: [2, 0, 1] });
  const [sequence] = b.nodes('LSTM', [h, b.initializer('W', normal([1, 20, 8])), b.initializer('R', normal([1, 20, 5])), b.initializer('B', normal([1, 40]))], { hidden_size: 5 }, { outputCount: 1 });
  const flat = b.op('Squeeze', [sequence!, b.constant('int64', [1])]);
  const first = b.op('MatMul', [flat, b.initializer('w', normal([5, 7]))]);
  const second = b.op('Add', [b.op('MatMul', [b.op('Tanh', [flat]), b.initializer('v', normal([5, 7]))]), b.initializer('vb', normal([7]))]);
  b.output(b.op('Add', [first, second]), 'y');
  const feeds = { x: normal([2, 4, 6]) };
  const { model: result } = await quantizeDynamic().run(cloneModel(model), {});
  const operators = await fusedOperators(result);
  expect(operators).toMatchObject({ ConvInteger: 1, DynamicQuantizeLSTM: 1, DynamicQuantizeMatMul: 2 });
  for (const left of ['Conv', 'LSTM', 'MatMul', 'MatMulInteger']) expect(operators[left], left).toBeUndefined();
  expect(snr(await outputsOf(model, feeds), await outputsOf(result, feeds))).toBeGreaterThan(25);
});

describe.skipIf(!testData)('real models', () => {
  test('Silero VAD, whose layers stand in branches', async () => {
    const model = await readOnnx(memorySource(await readFile(join(testData!, 'models/silero-vad/silero_vad.onnx'))));
    const { model: result, records } = await quantizeDynamic().run(cloneModel(model), {});
    expect(records.filter(({ method }) => method !== 'none').length).toBeGreaterThan(10);
    const wave = new Int16Array((await readFile(join(testData!, 'models/silero-vad/speech_first20s.wav'))).buffer.slice(44));
    const recorded = await openSafetensors(memorySource(await readFile(join(testData!, 'models/silero-vad/expected_probs_first20s.safetensors'))));
    const wanted = [...((await toDense(recorded.tensors.get('silero_vad.onnx')!)).data as Float32Array)];
    await using executor = await engine.load(result);
    let state = denseOf('float32', [2, 1, 128], new Array<number>(256).fill(0));
    let context = new Float32Array(64);
    let largest = 0;
    let agreed = 0;
    for (const [step, probability] of wanted.entries()) {
      const samples = Float32Array.from(wave.subarray(step * 512, (step + 1) * 512), (x) => x / 32768);
      const input = DenseTensor.of('float32', [1, 576], Float32Array.from([...context, ...samples]));
      context = samples.slice(-64);
      const { output, stateN } = await executor.run({ input, state, sr: denseOf('int64', [], [16000]) });
      state = stateN as DenseTensor;
      const [found] = (output as DenseTensor).data as Float32Array;
      largest = Math.max(largest, Math.abs(found! - probability));
      if (found! > 0.5 === probability > 0.5) agreed++;
    }
    // What is spoken and what is not is decided as before in all but a few of the 625 steps.
    expect(agreed / wanted.length).toBeGreaterThan(0.98);
  });
});
