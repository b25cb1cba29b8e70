/** Networks of others as TFLite: what LiteRT computes is what ONNX Runtime computes. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createRng, DenseTensor, type Model } from '@penjing/core';
import { openSafetensors, readOnnx, readTflite } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { uniform } from './support/tflite-models.js';
import { convert, judged, onnxRuntime, sample, steps, worst } from './support/tflite-peer.js';
import { testData } from './tools/test-data.js';

const open = async (path: string): Promise<Model> => {
  const source = await fileSource(join(testData!, 'models', path));
  return path.endsWith('.tflite') ? readTflite(source) : readOnnx(source);
};

describe.skipIf(!testData)('networks of others', () => {
  test.each([
    ['ultraface', 'ultraface/version-RFB-320_without_postprocessing.onnx', 'input', [1, 3, 240, 320], 1e-4],
    ['ultraface-boxes', 'ultraface/version-RFB-320.onnx', 'input', [1, 3, 240, 320], 1e-4],
    ['super-resolution', 'super-resolution/pytorch_super_resolution.onnx', 'input', [1, 1, 224, 224], 1e-4],
    ['mnist-cntk', 'mnist/mnist-cntk.onnx', 'Input3', [1, 1, 28, 28], 1e-4],
    ['mnist-burn', 'mnist/burn-mnist.onnx', '0', [1, 1, 28, 28], 1e-4],
    ['resnet8-tflite', 'tflite/pretrainedResnet.tflite', 'input_1', [1, 32, 32, 3], 1e-4],
    ['dtln-tflite', 'dtln/model_1.tflite', '', [], 1e-4],
  ] as const)('%s', async (name, path, input, shape, tolerance) => {
    const model = await open(path);
    const rng = createRng(7);
    const feeds = Object.fromEntries(model.graph.inputs.filter((value) => !value.tensor).map((value) => {
      const sizes = value.name === input ? shape : (value.type as unknown as { shape: (number | string)[] }).shape.map((dim) => (typeof dim === 'number' ? dim : 1));
      return [value.name, uniform(rng, sizes)];
    }));
    const actual = await judged(name, await convert(model), feeds);
    if (!actual) return;
    for (const [output, tensor] of Object.entries(await onnxRuntime(model, feeds))) expect(worst(actual[output]!, sample(tensor)), output).toBeLessThanOrEqual(tolerance);
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
