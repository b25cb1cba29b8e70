/** Every TFLite file of others among the test data: it opens, it converts or says by name what does not, and it gives what the interpreter gave. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertSound, byteSize, type ByteSource, DenseTensor, dtypes, elementCount, isPenjingError, memorySource, type Model, toDense, type ValueType } from '@penjing/core';
import { openSafetensors, openTflite, readTflite } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { TestSession } from './support/ort-session.js';
import { readTarGz } from './tools/tar.js';
import { testData } from './tools/test-data.js';

const fixture = fileURLToPath(new URL('./fixtures/tflite-read/others.safetensors', import.meta.url));
const { tensors } = await openSafetensors(memorySource(new Uint8Array(readFileSync(fixture))));
const root = join(testData ?? '', 'models');
const archive = testData ? readTarGz(join(root, 'tflite', 'litert-testdata.tar.gz')) : new Map<string, Buffer>();
const small = [...archive.keys()].filter((name) => /\.(tflite|bin)$/.test(name)).sort();

async function recorded(name: string, side: 'in' | 'out'): Promise<DenseTensor[]> {
  const found = [...Array(8).keys()].flatMap((i) => tensors.get(`${name}/${side}.${i}`) ?? []);
  return Promise.all(found.map((tensor) => toDense(tensor)));
}

function zeros(type: ValueType | undefined): DenseTensor {
  const { dtype, shape } = type as unknown as { dtype: DenseTensor['dtype']; shape: number[] };
  return new DenseTensor(dtype, shape, new Uint8Array(byteSize(dtype, elementCount(shape))));
}

/** Outputs over 4096 numbers were recorded at equal distances. */
function sampled(tensor: DenseTensor): number[] {
  const numbers = Array.from(tensor.data as ArrayLike<number | bigint>, Number);
  const step = Math.ceil(numbers.length / 4096);
  return step <= 1 ? numbers : numbers.filter((_, i) => i % step === 0);
}

async function worst(model: Model, name: string, inputs: readonly DenseTensor[]): Promise<{ floats: number; quanta: number }> {
  await using session = await TestSession.load(model);
  const states = model.graph.inputs.slice(inputs.length).map(({ name: state, type }) => [state, zeros(type)] as const);
  const fetched = await session.run(Object.fromEntries([...inputs.map((input, i) => [session.inputs[i]!, input] as const), ...states]));
  const all = { floats: 0, quanta: 0 };
  for (const [i, expected] of (await recorded(name, 'out')).entries()) {
    const actual = fetched[session.outputs[i]!]!;
    expect(actual.dtype).toBe(expected.dtype);
    const wanted = Array.from(expected.data as ArrayLike<number | bigint>, Number);
    const largest = sampled(actual).reduce((most, value, at) => Math.max(most, value === wanted[at]! || Number.isNaN(value) && Number.isNaN(wanted[at]!) ? 0 : Math.abs(value - wanted[at]!)), 0);
    const kind = dtypes[expected.dtype].kind === 'float' ? 'floats' : 'quanta';
    all[kind] = Math.max(all[kind], largest);
  }
  return all;
}

/** What cannot be read, and what the message names. */
const refused: Readonly<Record<string, RegExp>> = {
  'litert/js/packages/core/testdata/complexExtWeight/per_channel/weights.bin': /no valid TFLite file/,
  'litert/test/testdata/custom_sinh.bin': /custom operator Sinh/,
  'litert/test/testdata/dynamic_string_custom_ops.tflite': /custom operator Normalize/,
  'litert/test/testdata/max_unpooling_2d.tflite': /custom operator LiteRtMaxUnpooling2D/,
  'litert/test/testdata/max_unpooling_2d_valid.tflite': /custom operator LiteRtMaxUnpooling2D/,
  'tflite/converter/quantization/lite/testdata/custom_op.bin': /custom operator CustomTestOp/,
  'litert/test/testdata/blockwise_quantized.tflite': /used before anything computes it/,
  'tflite/converter/quantization/lite/testdata/lstm_quantized.bin': /normalizes layers on integers/,
  'tflite/converter/quantization/lite/testdata/transpose.bin': /version 2, not 3/,
  'tflite/testdata/2_subgraphs.bin': /holds no graph/,
  'tflite/testdata/empty_model.bin': /holds no graph/,
  'tflite/testdata/multi_add_flex.bin': /custom operator FlexAddV2/,
  'tflite/testdata/softplus_flex.bin': /custom operator FlexSoftplus/,
  'tflite/testdata/test_model_versioned_ops.bin': /custom operator testing_op/,
  'tflite/testdata/two_subgraphs.bin': /holds no graph/,
};

/** Floats that are integers times a scale: what one of them is. */
const oneQuantum: Readonly<Record<string, number>> = { 'tflite/python/testdata/pc_conv.bin': 0.00476 };

describe.skipIf(!testData)('files of others (needs PENJING_TESTDATA)', () => {
  test.each(small)('%s', async (name) => {
    const source = memorySource(new Uint8Array(archive.get(name)!));
    const wrong = refused[name];
    if (wrong) {
      const error = await readTflite(source).then(() => undefined, (reason: unknown) => reason);
      expect(isPenjingError(error) && error.message).toMatch(wrong);
      return;
    }
    const model = await readTflite(source, { arithmetic: 'exact' });
    assertSound(model);
    assertSound(await readTflite(source));
    if (!tensors.has(`${name}/out.0`)) return;
    const { floats, quanta } = await worst(model, name, await recorded(name, 'in'));
    expect(floats).toBeLessThanOrEqual(oneQuantum[name] ?? 1e-4);
    expect(quanta).toBeLessThanOrEqual(1);
  });

  test('every file of the folder opens and converts, in every arithmetic', async () => {
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.tflite'));
    expect(files.length).toBeGreaterThanOrEqual(8);
    for (const file of files) {
      const source: ByteSource = await fileSource(join(root, file));
      expect((await openTflite(source)).subgraphs.length).toBeGreaterThan(0);
      for (const arithmetic of ['fast', 'exact', 'float'] as const) assertSound(await readTflite(source, { arithmetic }));
    }
  });

  test('UltraFace gives what the interpreter gives', async () => {
    const { tensors: own } = await openSafetensors(await fileSource(join(root, 'ultraface', 'version-RFB-320_expected.safetensors')));
    const picture = await toDense(own.get('in.input')!);
    const [, channels, height, width] = picture.shape as [number, number, number, number];
    const last = Float32Array.from({ length: picture.data.length }, (_, i) => Number(picture.data[(i % channels) * height * width + Math.floor(i / channels)]));
    const model = await readTflite(await fileSource(join(root, 'ultraface', 'version-RFB-320_without_postprocessing.tflite')));
    const { floats } = await worst(model, 'ultraface', [DenseTensor.of('float32', [1, height, width, channels], last)]);
    expect(floats).toBeLessThanOrEqual(1e-4);
  });

  test.each([['model_1', 'fast'], ['model_quant_1', 'exact']] as const)('DTLN gives what the interpreter gives: %s', async (name, arithmetic) => {
    const { tensors: own } = await openSafetensors(await fileSource(join(root, 'dtln', 'model_1_expected.safetensors')));
    const model = await readTflite(await fileSource(join(root, 'dtln', `${name}.tflite`)), { arithmetic });
    const { floats } = await worst(model, name, [await toDense(own.get('step0.in')!), await toDense(own.get('step0.state_in')!)]);
    expect(floats).toBeLessThanOrEqual(1e-4);
  });
});
