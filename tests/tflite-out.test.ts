/** ONNX to TFLite: what LiteRT computes for the written files is what ONNX Runtime computes for the models. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type DenseTensor, memorySource, type Model } from '@penjing/core';
import { runReference } from '@penjing/core/reference';
import { openTflite, readTflite, type TfliteOptions } from '@penjing/graph-io';
import { quantizeModel } from './support/qdq-model.js';
import { floatCases, NetworkBuilder, quantizedCases, wide } from './support/tflite-models.js';
import { convert, judged, onnxRuntime, sample, steps, worst } from './support/tflite-peer.js';

describe('LiteRT computes what ONNX Runtime computes', () => {
  test.each(floatCases.map((make) => make()))('for $name', async ({ name, model, feeds }) => {
    const bytes = await convert(model);
    const actual = await judged(name, bytes, feeds);
    if (!actual) return;
    const expected = await onnxRuntime(model, feeds);
    expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
    for (const [output, tensor] of Object.entries(expected)) expect(worst(actual[output]!, sample(tensor)), output).toBeLessThanOrEqual(1e-4);
  });
});

/** Root of the mean square of the difference, relative to that of the expected values. */
function relativeError(a: DenseTensor, b: DenseTensor): number {
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  const square = (sum: number, value: number): number => sum + value * value;
  return Math.sqrt(x.map((value, i) => value - y[i]!).reduce(square, 0) / y.reduce(square, 0));
}

describe('weights of fewer bits', () => {
  // Half precision: 11 bits. int8 weights and activations quantized on the fly: about 8 bits, through some layers.
  test.each([
    ['unet', 'float16', 1e-3], ['bert', 'float16', 1e-3], ['resnet', 'float16', 1e-3],
    ['unet', 'int8', 0.03], ['bert', 'int8', 0.03], ['resnet', 'int8', 0.03], ['wide', 'int8', 0.03],
  ] as const)('%s with %s weights stays within %d', async (name, weights, tolerance) => {
    const { model, feeds } = [...floatCases, wide].map((make) => make()).find((each) => each.name === name)!;
    const bytes = await convert(model, { weights });
    expect(bytes.length).toBeLessThan((await convert(model)).length);
    const actual = await judged(`${name}-${weights}`, bytes, feeds);
    if (!actual) return;
    for (const [output, tensor] of Object.entries(await onnxRuntime(model, feeds))) expect(relativeError(actual[output]!, tensor), output).toBeLessThanOrEqual(tolerance);
  });

  test('int8 has a positive scale for each channel, and codes from -127 to 127', async () => {
    const file = await openTflite(memorySource(await convert(floatCases.find((make) => make().name === 'unet')!().model, { weights: 'int8' })));
    const codes = file.subgraphs[0]!.tensors.filter(({ dtype }) => dtype === 'int8');
    expect(codes.length).toBeGreaterThan(2);
    for (const { data, quantization, shape } of codes) {
      expect(quantization!.scale!.length).toBe(shape[quantization!.quantizedDimension]);
      expect(Math.min(...quantization!.scale!)).toBeGreaterThan(0);
      const values = new Int8Array(await file.source.read(data!.offset, data!.length));
      expect([Math.max(...values.map(Math.abs)), Math.min(...values) >= -127]).toEqual([127, true]);
    }
  });
});

describe('a quantized model gives the same codes within one, on 99 % of the values', () => {
  test.each(quantizedCases)('$name', async ({ name, make, activations, perChannel }) => {
    const { model, feeds } = make();
    const quantized = await quantizeModel(model, feeds, { activations, perChannel });
    const bytes = await convert(quantized);
    const file = await openTflite(memorySource(bytes));
    // Computed on integers, but for what turns numbers into codes at the borders.
    const computing = file.subgraphs[0]!.operators.filter(({ type }) => type !== 'QUANTIZE' && type !== 'DEQUANTIZE' && type !== 'TRANSPOSE' && type !== 'RESHAPE');
    for (const { type, outputs } of computing) expect([type, file.subgraphs[0]!.tensors[outputs[0]!]!.dtype]).toEqual([type, 'int8']);
    const actual = await judged(name, bytes, feeds);
    if (!actual) return;
    for (const [output, tensor] of Object.entries(await onnxRuntime(quantized, feeds))) {
      const scale = quantized.graph.initializers.get(`${output}/raw/scale`)!.tensor as DenseTensor;
      expect(steps(actual[output]!, tensor, (scale.data as Float32Array)[0]!).beyondOne).toBeLessThanOrEqual(0.01);
    }
  });
});

test('weights behind the FlatBuffer, as in files beyond 2 GiB, are the same weights', async () => {
  const { model, feeds } = floatCases[1]!();
  const bytes = await convert(model, { appendAbove: 0 });
  const file = await openTflite(memorySource(bytes));
  const inside = await openTflite(memorySource(await convert(model)));
  const end = Math.max(...file.subgraphs[0]!.tensors.flatMap(({ data }) => (data ? [data.offset + data.length] : [])));
  expect(end).toBe(bytes.length);
  for (const [i, { name, data }] of file.subgraphs[0]!.tensors.entries()) {
    const other = inside.subgraphs[0]!.tensors[i]!;
    expect(other.name).toBe(name);
    if (data) expect(await file.source.read(data.offset, data.length)).toEqual(await inside.source.read(other.data!.offset, other.data!.length));
    if (data) expect(data.offset % 16).toBe(0);
  }
  const actual = await judged('mobilenet-v2-appended', bytes, feeds);
  if (actual) expect(worst(actual['output']!, (await onnxRuntime(model, feeds))['output']!)).toBeLessThanOrEqual(1e-4);
});

test('the same model gives the same bytes', async () => {
  const digest = async (): Promise<string> => createHash('sha256').update(await convert(floatCases[1]!().model)).digest('hex');
  expect(await digest()).toBe(await digest());
});

describe('layouts', () => {
  const transposes = async (model: Model, options: TfliteOptions = {}): Promise<number> => {
    const file = await openTflite(memorySource(await convert(model, options)));
    return file.subgraphs[0]!.operators.filter(({ type }) => type === 'TRANSPOSE').length;
  };

  // One for each image that comes in, one for each that goes out, and nothing between.
  test.each([
    ['mobilenet-v2', 1], ['mobilenet-v3', 1], ['resnet', 1], ['squeezenet', 1], ['efficientnet', 1], ['unet', 2],
  ])('%s is transposed %i times, at its borders', async (name, count) => {
    const { model } = floatCases.map((make) => make()).find((each) => each.name === name)!;
    expect(await transposes(model)).toBe(count);
    expect(await transposes(model, { images: 'channels-last' })).toBe(0);
  });

  test.each(['float32', 'int8'] as const)('an image that is flattened into a product with %s weights is not transposed: the columns of the weight are', async (weights) => {
    const n = new NetworkBuilder(25);
    const x = n.b.op('Relu', [n.conv(n.input('x', [2, 3, 6, 5], ['batch', 3, 6, 5]), [3, 8], 3)]);
    const { model, feeds } = n.done('flattened', n.gemm(n.b.op('Flatten', [x]), 240, 10));
    expect(await transposes(model, { weights })).toBe(1);
    expect(await transposes(model, { weights, images: 'channels-last' })).toBe(0);
    const own = await runReference(await readTflite(memorySource(await convert(model, { weights }))), feeds);
    const [expected] = Object.values(await onnxRuntime(model, feeds));
    expect(relativeError(own[0] as DenseTensor, expected!)).toBeLessThan(weights === 'int8' ? 0.02 : 1e-5);
  });

  test('transposes of the model itself cancel', async () => {
    const n = new NetworkBuilder(21);
    const x = n.b.op('Transpose', [n.input('x', [1, 8, 8, 3])], { perm: [0, 3, 1, 2] });
    const y = n.b.op('Transpose', [n.b.op('Relu', [n.conv(x, [3, 4], 3)])], { perm: [0, 2, 3, 1] });
    expect(await transposes(n.done('nhwc', y).model)).toBe(0);
  });

  test('a value that many read in the other order is transposed once', async () => {
    const n = new NetworkBuilder(22);
    const x = n.input('x', [1, 4, 8, 8]);
    const sum = n.b.op('Add', [n.b.op('Add', [n.conv(x, [4, 4], 3), n.conv(x, [4, 4], 1)]), n.conv(x, [4, 4], 5)]);
    const rows = n.b.op('MatMul', [sum, n.weight([8, 8])]);
    const columns = n.b.op('MatMul', [sum, n.weight([8, 5])]);
    expect(await transposes(n.done('shared', n.b.op('Concat', [rows, columns], { axis: 3 })).model)).toBe(2);
  });
});

describe('what TFLite cannot express', () => {
  test('is refused with the operator, the node and a way out', async () => {
    const n = new NetworkBuilder(23);
    const { model } = n.done('strange', n.b.op('Det', [n.input('x', [2, 3, 3])], {}, { name: 'strange/det' }));
    await expect(convert(model)).rejects.toMatchObject({ code: 'E_TFLITE_OPERATOR', message: expect.stringContaining("Det 'strange/det'") as string, hint: expect.stringContaining('docs/tflite-operators.md') as string });
  });

  test('of open sizes only the batch converts; others ask for sizes', async () => {
    const open = (): Model => {
      const n = new NetworkBuilder(24);
      return n.done('open', n.conv(n.input('image', [1, 3, 8, 8], ['n', 3, 'h', 'w']), [3, 4], 3)).model;
    };
    await expect(convert(open())).rejects.toMatchObject({ code: 'E_TFLITE_SHAPE', message: expect.stringContaining('image [n, 3, h, w]') as string, hint: expect.stringContaining('inputShapes') as string });
    const file = await openTflite(memorySource(await convert(open(), { inputShapes: { image: [1, 3, 8, 8] } })));
    expect(file.subgraphs[0]!.tensors[0]!.shape).toEqual([1, 3, 8, 8]);
    await expect(convert(open(), { inputShapes: { picture: [1, 3, 8, 8] } })).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(convert(open(), { inputShapes: { image: [1, 4, 8, 8] } })).rejects.toMatchObject({ code: 'E_TFLITE_SHAPE' });
  });

  test('an open batch is written as -1', async () => {
    const file = await openTflite(memorySource(await convert(floatCases[0]!().model)));
    expect(file.subgraphs[0]!.tensors[0]).toMatchObject({ name: 'x', shape: [1, 20], shapeSignature: [-1, 20] });
    expect(file.signatures).toEqual([{ key: 'serving_default', subgraph: 0, inputs: new Map([['x', 0]]), outputs: new Map([['output', expect.any(Number)]]) }]);
  });
});
