/** Half precision on ONNX Runtime: models that calibration looked through load, and give what the float32 model gives. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { cloneModel, createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, inlineJobs, memorySource, Model, tensorType } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { wasmKernels } from '@penjing/kernels';
import { halfPrecision } from '@penjing/quantize';
import { describe, expect, test } from 'vitest';
import { testEngine } from './support/ort-session.js';
import { testData } from './tools/test-data.js';

const engine = testEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const rng = createRng(5);
const normal = (shape: readonly number[], scale = 1): DenseTensor => denseOf('float32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * rng.normal()));

async function outputsOf(model: Model, feeds: Feeds): Promise<number[]> {
  await using executor = await engine.load(model);
  return Object.values(await executor.run(feeds)).flatMap((tensor) => [...((tensor as DenseTensor).data as Float32Array)]);
}

async function snr(a: Model, b: Model, feeds: Feeds): Promise<number> {
  const [wanted, got] = [await outputsOf(a, feeds), await outputsOf(b, feeds)];
  return 10 * Math.log10(wanted.reduce((sum, x) => sum + x * x, 0) / wanted.reduce((sum, x, i) => sum + (x - got[i]!) ** 2, 0));
}

const halfNodes = (model: Model): string[] => [...model.graph.nodes()].filter(({ opType, outputs }) => opType !== 'Cast' && outputs[0]!.type?.kind === 'tensor' && outputs[0]!.type.dtype === 'float16').map(({ opType }) => opType);

describe('half precision', () => {
  test('the simulation finds what divides by a number that float16 makes 0: the runtime keeps its roundings', async () => {
    const model = new Model();
    model.opsetImports.set('', 17);
    const b = new GraphBuilder(model.graph);
    const x = b.input('x', tensorType('float32', ['n', 8]));
    const tiny = b.op('Exp', [b.op('Mul', [b.op('Abs', [x]), b.constant('float32', -12)])], {}, { outputs: ['tiny'] });
    const ratio = b.op('Div', [tiny, tiny], {}, { name: 'ratio' });
    b.output(b.op('MatMul', [ratio, b.initializer('w', normal([8, 4]))]), 'y');
    const feeds = { x: normal([6, 8]) };
    const { model: result, warnings } = await halfPrecision().run(cloneModel(model), { jobs, samples: [feeds] });
    expect(warnings.join('\n')).toMatch(/is not finite in float16: .*Div ratio/);
    expect(halfNodes(result)).toContain('MatMul');
    expect(await snr(model, result, feeds)).toBeGreaterThan(55);
  });
});

describe.skipIf(!testData)('half precision of real networks', () => {
  test('Magika: the cubes of its activations overflow, and stay float32', async () => {
    const model = await readOnnx(memorySource(await readFile(join(testData!, 'models/magika/model.onnx'))));
    const examples = JSON.parse(gunzipSync(await readFile(join(testData!, 'models/magika/inference_examples_by_content.json.gz'))).toString()) as { content_base64: string }[];
    const feeds = examples.slice(0, 3).map(({ content_base64: text }): Feeds => {
      const bytes = [...Buffer.from(text, 'base64').subarray(0, 1024)];
      return { [model.graph.inputs[0]!.name]: denseOf('int32', [1, 2048], [...bytes, ...new Array<number>(2048 - bytes.length).fill(256)]) };
    });
    const { model: result, warnings } = await halfPrecision().run(cloneModel(model), { jobs, samples: feeds.slice(0, 2) });
    expect(warnings.join('\n')).toMatch(/reaches \d\.\d+e\+5: Mul/);
    expect(halfNodes(result).length).toBeGreaterThan(20);
    expect(await snr(model, result, feeds[2]!)).toBeGreaterThan(45);
  });

  test('UltraFace computes in float16 as a whole', async () => {
    const model = await readOnnx(memorySource(await readFile(join(testData!, 'models/ultraface/version-RFB-320.onnx'))));
    const feeds = { [model.graph.inputs.find(({ tensor }) => !tensor)!.name]: normal([1, 3, 240, 320], 0.5) };
    const { model: result, records } = await halfPrecision().run(cloneModel(model), { jobs, samples: [feeds] });
    expect(records.every(({ method }) => method === 'float16')).toBe(true);
    expect(await snr(model, result, feeds)).toBeGreaterThan(55);
  });
});
