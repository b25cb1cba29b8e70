/** Networks of others as TFLite: what LiteRT computes is what ONNX Runtime computes. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { createRng, DenseTensor, denseOf, type DType, elementCount, type Model, type Rng, type Value } from '@penjing/core';
import { convertHuggingFaceGraphs, openHuggingFaceFolder, openPt2, openSafetensors, readOnnx, readTflite } from '@penjing/graph-io';
import { fileSource, openFolder } from '@penjing/graph-io/node';
import { uniform } from './support/tflite-models.js';
import { convert, judged, onnxRuntime, sample, steps, worst } from './support/tflite-peer.js';
import { testData } from './tools/test-data.js';

const open = async (path: string): Promise<Model> => {
  const source = await fileSource(join(testData!, 'models', path));
  return path.endsWith('.tflite') ? readTflite(source, { arithmetic: 'fast' }) : path.endsWith('.pt2') ? openPt2(source) : readOnnx(source);
};

interface Network {
  readonly name: string;
  readonly path: string;
  /** Sizes of inputs that are open. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  readonly values?: Readonly<Record<string, readonly number[]>>;
}

const networks: readonly Network[] = [
  { name: 'ultraface', path: 'ultraface/version-RFB-320_without_postprocessing.onnx' },
  { name: 'ultraface-boxes', path: 'ultraface/version-RFB-320.onnx' },
  { name: 'ultraface-tflite', path: 'ultraface/version-RFB-320_without_postprocessing.tflite' },
  { name: 'super-resolution', path: 'super-resolution/pytorch_super_resolution.onnx' },
  { name: 'mnist-cntk', path: 'mnist/mnist-cntk.onnx' },
  { name: 'mnist-burn', path: 'mnist/burn-mnist.onnx' },
  { name: 'resnet8-tflite', path: 'tflite/pretrainedResnet.tflite' },
  { name: 'resnet20', path: 'resnet20-cifar10/resnet20.pt2' },
  { name: 'keywords-tflite', path: 'tflite/kws_ref_model_float32.tflite' },
  { name: 'dtln', path: 'dtln/model_1.onnx' },
  { name: 'dtln-tflite', path: 'dtln/model_1.tflite' },
  { name: 'dtln-weights', path: 'dtln/model_quant_1.tflite' },
  { name: 'magika', path: 'magika/model.onnx', shapes: { bytes: [1, 2048] } },
  { name: 'silero', path: 'silero-vad/silero_vad.onnx', shapes: { input: [1, 576], state: [2, 1, 128] }, values: { sr: [16000] } },
  { name: 'silero-8k', path: 'silero-vad/silero_vad.onnx', shapes: { input: [1, 288], state: [2, 1, 128] }, values: { sr: [8000] } },
];

interface Folder {
  readonly name: string;
  readonly path: string;
  /** Sizes that stand for the names of open dimensions. */
  readonly sizes: Readonly<Record<string, number>>;
}

/** A step of generation with a cache, and an encoder with its decoder. */
const folders: readonly Folder[] = [
  { name: 'sapling', path: fileURLToPath(new URL('../models/sapling', import.meta.url)), sizes: { sequence_length: 2, past_sequence_length: 4, total_sequence_length: 6 } },
  ...(testData
    ? [
        { name: 'stories', path: join(testData, 'models/stories260k/hf'), sizes: { sequence_length: 3, past_sequence_length: 5, total_sequence_length: 8 } },
        { name: 'tiny-t5', path: join(testData, 'models/tiny-t5'), sizes: { encoder_sequence_length: 7, past_encoder_sequence_length: 7, decoder_sequence_length: 2, past_decoder_sequence_length: 3, total_sequence_length: 5 } },
      ]
    : []),
];

describe.each(folders)('the folder $name', ({ name, path, sizes }) => {
  test('gives files that compute what ONNX Runtime computes', async () => {
    for (const [part, model] of await convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(path)), { attention: 'standard' })) {
      const rng = createRng(11);
      const shapes = Object.fromEntries(model.graph.inputs.map((value) => {
        const { shape } = value.type as { readonly shape: readonly (number | string)[] };
        return [value.name, shape.map((dim) => (typeof dim === 'number' ? dim : dim === 'batch_size' ? 1 : (sizes[dim] ?? expect.fail(`${part}: ${value.name} has the size ${dim}`))))];
      }));
      // A decoder of two branches: the first step. The other one passes on an empty cache of the encoder, which TFLite cannot hold.
      const values: Readonly<Record<string, readonly number[]>> = shapes['use_cache_branch'] ? { use_cache_branch: [0] } : {};
      const feeds = Object.fromEntries(model.graph.inputs.filter((value) => !values[value.name]).map((value) => [value.name, value.name.includes('mask')
        ? denseOf('int64', shapes[value.name]!, Array<number>(elementCount(shapes[value.name]!)).fill(1))
        : feed(rng, value, shapes[value.name])]));
      const actual = await judged(`${name}-${part}`, await convert(model, { inputShapes: Object.fromEntries(Object.entries(shapes).filter(([key]) => !values[key])), inputValues: values }), feeds);
      if (!actual) continue;
      const errors = Object.entries(await onnxRuntime(model, { ...feeds, ...(values['use_cache_branch'] && { use_cache_branch: denseOf('bool', [1], [0]) }) })).map(([output, tensor]) => worst(actual[output]!, sample(tensor)));
      process.stderr.write(`${name}-${part}: ${Math.max(...errors).toExponential(1)}\n`);
      expect(Math.max(...errors)).toBeLessThanOrEqual(1e-4);
    }
  }, 60_000);
});

/** Random numbers of the type and the sizes of an input. */
function feed(rng: Rng, value: Value, shape: readonly number[] | undefined): DenseTensor {
  const type = value.type as { readonly dtype: DType; readonly shape: readonly (number | string | null)[] };
  const sizes = shape ?? type.shape.map((dim) => (typeof dim === 'number' ? dim : 1));
  if (type.dtype === 'float32') return uniform(rng, sizes);
  return denseOf(type.dtype, sizes, Array.from({ length: elementCount(sizes) }, () => rng.below(256)));
}

describe.skipIf(!testData)('networks of others', () => {
  test.each(networks)('$name', async ({ name, path, shapes = {}, values = {} }) => {
    const model = await open(path);
    const rng = createRng(7);
    const inputs = model.graph.inputs.filter((value) => !value.tensor && !values[value.name]);
    const feeds = Object.fromEntries(inputs.map((value) => [value.name, feed(rng, value, shapes[value.name])]));
    const actual = await judged(name, await convert(model, { inputShapes: shapes, inputValues: values }), feeds);
    if (!actual) return;
    const constants = Object.entries(values).map(([key, numbers]) => {
      const { dtype } = model.graph.inputs.find((value) => value.name === key)!.type as { readonly dtype: DType };
      return [key, denseOf(dtype, numbers.length === 1 ? [] : [numbers.length], numbers)] as const;
    });
    const errors = Object.entries(await onnxRuntime(model, { ...feeds, ...Object.fromEntries(constants) })).map(([output, tensor]) => worst(actual[output]!, sample(tensor)));
    process.stderr.write(`${name}: ${Math.max(...errors).toExponential(1)}\n`);
    expect(Math.max(...errors)).toBeLessThanOrEqual(1e-4);
  }, 30_000);

  // Random pixels would only measure how kernels round: TensorFlow Lite's own two sets of them differ there.
  test.each([
    ['mobilenet-v2-tflite', 'mobilenet-v2/mobilenet_v2_quantized_1x3x224x224.tflite', 'mobilenet-v2/expected.safetensors', 'grace_hopper'],
    ['resnet8-quantized', 'tflite/pretrainedResnet_quant.tflite', 'tflite/mlperf_tiny_resnet8_cifar10_expected.safetensors', 'int8'],
    ['keywords-quantized', 'tflite/kws_ref_model.tflite', 'tflite/mlperf_tiny_kws_dscnn_expected.safetensors', 'int8'],
  ])('%s, on integers, gives what TensorFlow Lite gave for the original', async (name, path, recorded, suffix) => {
    const model = await open(path);
    const { tensors } = await openSafetensors(await fileSource(join(testData!, 'models', recorded)));
    const first = async (key: string): Promise<DenseTensor> => {
      const tensor = tensors.get(`${key}.${suffix}`)!;
      return new DenseTensor(tensor.dtype, [1, ...tensor.shape.slice(1)], await tensor.rows({ start: 0, end: 1 }));
    };
    const actual = await judged(name, await convert(model), { [model.graph.inputs[0]!.name]: await first('in') });
    if (!actual) return;
    const floats = (codes: DenseTensor): DenseTensor => DenseTensor.of('float32', codes.shape, Float32Array.from(codes.data as Int8Array));
    const [output] = Object.values(actual);
    expect(steps(floats(output!), floats(await first('out')), 1).beyondOne).toBeLessThanOrEqual(0.01);
  }, 30_000);
});
