/** The FlatBuffer codec: what is written is read back, aligned as the format asks, and damaged bytes end in typed errors. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { denseOf, isPenjingError, lazy, memorySource } from '@penjing/core';
import { layoutToBytes } from '../onnx/layout-bytes.js';
import { FlatBufferReader } from './flatbuffer-reader.js';
import { encodeFlatBuffer } from './flatbuffer-writer.js';
import { openTflite, tfliteMetadataText } from './open-tflite.js';
import { FILE_IDENTIFIER, type ModelInit, modelTable } from './schema.js';

const encode = (model: ModelInit): Promise<Uint8Array> => {
  const { size, pieces } = encodeFlatBuffer(modelTable, model, FILE_IDENTIFIER);
  return layoutToBytes({ name: 'model.tflite', size, pieces });
};

const weights = Float32Array.from([1, -2, 3.5, 4]);

const small: ModelInit = {
  version: 3,
  description: 'grüße',
  operatorCodes: [{ deprecatedBuiltinCode: 9, builtinCode: 9, version: 4 }, { deprecatedBuiltinCode: 127, builtinCode: 150 }],
  buffers: [{}, { data: new Uint8Array(weights.buffer) }, { data: new TextEncoder().encode('2.3.0\0\0\0') }],
  subgraphs: [{
    name: 'main',
    tensors: [
      { name: 'x', shape: [1, 2], shapeSignature: [-1, 2], hasRank: true },
      { name: 'w', shape: [2, 2], buffer: 1, quantization: { scale: [0.5, 0.25], zeroPoint: [0, -3], quantizedDimension: 1 } },
      { name: 'y', shape: [1, 2] },
    ],
    inputs: [0],
    outputs: [2],
    operators: [
      { opcodeIndex: 0, inputs: [0, 1, -1], outputs: [2], options: { type: 'FullyConnectedOptions', value: { fusedActivationFunction: 1, keepNumDims: true } } },
      { opcodeIndex: 1, inputs: [2], outputs: [2], options: { type: 'GeluOptions', value: { approximate: true } } },
    ],
  }],
  metadata: [{ name: 'min_runtime_version', buffer: 2 }],
  signatureDefs: [{ signatureKey: 'serving_default', inputs: [{ name: 'in', tensorIndex: 0 }], outputs: [{ name: 'out', tensorIndex: 2 }] }],
};

describe('a FlatBuffer', () => {
  test('reads as it was written', async () => {
    const source = memorySource(await encode(small));
    const file = await openTflite(source);
    const [main] = file.subgraphs;
    expect(file.description).toBe('grüße');
    expect(main!.tensors.map(({ name, dtype, shape, shapeSignature }) => [name, dtype, shape, shapeSignature])).toEqual([
      ['x', 'float32', [1, 2], [-1, 2]], ['w', 'float32', [2, 2], undefined], ['y', 'float32', [1, 2], undefined],
    ]);
    const { data, quantization } = main!.tensors[1]!;
    expect(new Float32Array((await source.read(data!.offset, data!.length)).slice().buffer)).toEqual(weights);
    expect(quantization).toMatchObject({ scale: [0.5, 0.25], zeroPoint: [0, -3], quantizedDimension: 1, min: undefined });
    expect(main!.operators.map(({ type, version, inputs }) => [type, version, inputs])).toEqual([['FULLY_CONNECTED', 4, [0, 1, -1]], ['GELU', 1, [2]]]);
    expect(main!.operators[0]!.options).toEqual({
      type: 'FullyConnectedOptions',
      value: { fusedActivationFunction: 1, weightsFormat: 0, keepNumDims: true, asymmetricQuantizeInputs: false, quantizedBiasType: 0, quantSpec: undefined },
    });
    expect(file.signatures).toEqual([{ key: 'serving_default', subgraph: 0, inputs: new Map([['in', 0]]), outputs: new Map([['out', 2]]) }]);
    expect(await tfliteMetadataText(file, 'min_runtime_version')).toBe('2.3.0');
  });

  test('takes lazy weights as holes, and gives the same bytes as for dense ones', async () => {
    const hole = lazy.cast(denseOf('float64', [2, 2], [...weights]), 'float32');
    const holed: ModelInit = { ...small, buffers: [{}, { data: hole }, small.buffers![2]!] };
    expect(encodeFlatBuffer(modelTable, holed, FILE_IDENTIFIER).pieces.some((piece) => piece.kind === 'tensor' && piece.tensor === hole)).toBe(true);
    expect(await encode(holed)).toEqual(await encode(small));
  });

  test('aligns every weight to 16 bytes', async () => {
    const lengths = [1, 2, 3, 15, 16, 17, 64, 5];
    const bytes = await encode({ ...small, buffers: [...small.buffers!, ...lengths.map((length) => ({ data: new Uint8Array(length).fill(7) }))] });
    const reader = new FlatBufferReader(memorySource(bytes));
    const buffers = await reader.read(() => reader.value(modelTable, reader.root(FILE_IDENTIFIER).at).buffers);
    expect(buffers!.slice(3).map(({ data }) => data!.length)).toEqual(lengths);
    for (const { data } of buffers!.slice(1)) expect(data!.offset % 16).toBe(0);
  });

  test('keeps numbers, texts and lists of any kind', async () => {
    const tensor = fc.record({
      shape: fc.array(fc.nat(100), { maxLength: 6 }),
      type: fc.integer({ min: -128, max: 127 }),
      buffer: fc.nat(2 ** 32 - 1),
      name: fc.string({ unit: 'grapheme' }),
      isVariable: fc.boolean(),
      quantization: fc.option(fc.record({
        scale: fc.array(fc.float({ noNaN: true }), { maxLength: 4 }),
        zeroPoint: fc.array(fc.maxSafeInteger(), { maxLength: 4 }),
        quantizedDimension: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      }), { nil: undefined }),
    });
    await fc.assert(fc.asyncProperty(fc.array(tensor, { maxLength: 8 }), async (tensors) => {
      const reader = new FlatBufferReader(memorySource(await encode({ version: 3, subgraphs: [{ tensors }] })));
      const model = await reader.read(() => reader.value(modelTable, reader.root(FILE_IDENTIFIER).at));
      expect(model.subgraphs![0]!.tensors).toMatchObject(tensors);
    }), { numRuns: 100 });
  });
});

describe('a hostile TFLite file', () => {
  test('of any bytes is refused or read, with no other error', async () => {
    const valid = await encode(small);
    const change = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 4, 127, 128, 255))), { minLength: 1, maxLength: 6 });
    const mutated = fc.tuple(change, fc.option(fc.nat(valid.length), { freq: 1 })).map(([changes, cut]) => {
      const bytes = valid.slice(0, cut ?? valid.length);
      for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
      return bytes;
    });
    let read = 0;
    await fc.assert(fc.asyncProperty(fc.oneof({ weight: 9, arbitrary: mutated }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }) }), async (bytes) => {
      const source = memorySource(bytes);
      try {
        for (const { tensors } of (await openTflite(source)).subgraphs) {
          for (const { data } of tensors) if (data) expect((await source.read(data.offset, data.length)).length).toBe(data.length);
        }
        read++;
      } catch (error) {
        if (!isPenjingError(error)) throw error;
        expect(['E_TFLITE', 'E_LIMIT', 'E_DTYPE', 'E_SHAPE']).toContain(error.code);
      }
    }), { numRuns: 3000 });
    expect(read).toBeGreaterThan(50);
  });

  test('that refers to one table a million times is stopped by the limits', async () => {
    // A vector of offsets, all to one subgraph which itself holds a vector of 2^16 offsets to one tensor.
    const bytes = new Uint8Array(1 << 20);
    const view = new DataView(bytes.buffer);
    const words = (at: number, ...values: number[]): void => values.forEach((value, i) => view.setUint32(at + 4 * i, value, true));
    const vtable = (at: number, ...halves: number[]): void => halves.forEach((value, i) => view.setUint16(at + 2 * i, value, true));
    words(0, 32, 0x334c4654);
    vtable(16, 10, 12, 4, 0, 8);
    words(32, 16, 3, 24);
    const many = 1 << 17;
    words(64, many);
    const subgraph = 68 + 4 * many + 16;
    for (let i = 0; i < many; i++) words(68 + 4 * i, subgraph - (68 + 4 * i));
    vtable(subgraph - 8, 6, 8, 4);
    words(subgraph, 8, 4, 1 << 16);
    const tensor = subgraph + 12 + 4 * (1 << 16) + 16;
    for (let i = 0; i < 1 << 16; i++) words(subgraph + 12 + 4 * i, tensor - (subgraph + 12 + 4 * i));
    vtable(tensor - 8, 4, 4);
    words(tensor, 8);
    const started = performance.now();
    await expect(openTflite(memorySource(bytes), { tables: 1 << 18, scalars: 1 << 22, textBytes: 1 << 20, tableBytes: 1 << 22, rank: 8 })).rejects.toMatchObject({ code: 'E_LIMIT' });
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test.each([
    ['nothing', 0, 'E_TFLITE'], ['half a header', 6, 'E_TFLITE'], ['the head alone', 60, 'E_TFLITE'],
  ])('with %s is refused', async (_, length, code) => {
    await expect(openTflite(memorySource((await encode(small)).subarray(0, length)))).rejects.toMatchObject({ code });
  });
});
