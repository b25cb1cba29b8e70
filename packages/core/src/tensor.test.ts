import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteSize, type DType, dtypeNames, dtypeOfOnnx, dtypeOfSafetensors, dtypes } from './dtype.js';
import { elementCount, matrixView } from './shape.js';
import { DenseTensor, SparseTensor, StringTensor, toDense } from './tensor.js';

const numeric = dtypeNames.filter((name) => name !== 'string');
const arbitrary = fc.record({ dtype: fc.constantFrom(...numeric), shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }) });

describe('dtypes', () => {
  test('codes name one type each', () => {
    for (const name of dtypeNames) expect(dtypeOfOnnx.get(dtypes[name].onnx)).toBe(name);
    for (const [code, name] of dtypeOfSafetensors) expect(dtypes[name].safetensors).toBe(code);
    for (const key of ['torch', 'gguf', 'tflite'] as const) {
      const codes = dtypeNames.map((name) => (dtypes[name] as { [K in typeof key]?: unknown })[key]).filter((code) => code !== undefined);
      expect(new Set(codes).size).toBe(codes.length);
    }
  });

  test('sub-byte types are packed, and sizes stay exact', () => {
    expect([byteSize('int4', 3), byteSize('uint2', 5), byteSize('bool', 5), byteSize('complex128', 2)]).toEqual([2, 2, 5, 32]);
    expect(() => byteSize('float64', 2 ** 52)).toThrow(/addressable/);
    expect(() => byteSize('string', 1)).toThrow(/no fixed byte size/);
  });
});

describe('tensors', () => {
  test('rows put together are the whole', async () => {
    await fc.assert(fc.asyncProperty(arbitrary, fc.nat({ max: 5 }), async ({ dtype, shape }, at) => {
      const size = byteSize(dtype, elementCount(shape));
      const tensor = new DenseTensor(dtype, shape, Uint8Array.from({ length: size }, (_, i) => i));
      const { rows, cols } = matrixView(shape);
      const cut = Math.min(at, rows);
      const aligned = (cut * cols * dtypes[dtype].bits) % 8 === 0 || cut === rows;
      if (!aligned) {
        await expect(tensor.rows({ start: 0, end: cut })).rejects.toMatchObject({ code: 'E_SHAPE' });
        return;
      }
      const parts = await Promise.all([tensor.rows({ start: 0, end: cut }), ...(cut < rows ? [tensor.rows({ start: cut, end: rows })] : [])]);
      expect(parts.flatMap((part) => [...part])).toEqual([...tensor.bytes]);
    }));
  });

  test('ranges outside, turned around or between rows are refused', async () => {
    const tensor = new DenseTensor('float32', [4, 2], new Uint8Array(32));
    for (const [start, end] of [[-1, 2], [0, 5], [3, 2], [0.5, 2], [Number.NaN, 2]] as const) {
      await expect(tensor.rows({ start, end })).rejects.toMatchObject({ code: 'E_SHAPE' });
    }
  });

  test('bytes must be those of the shape, arrays those of the type', () => {
    expect(() => new DenseTensor('float32', [2], new Uint8Array(7))).toThrow(/takes 8 bytes, got 7/);
    expect(() => DenseTensor.of('float16', [2], new Float32Array(2))).toThrow(/Uint16Array/);
    expect(() => new StringTensor([2], [])).toThrow(/got 0 values/);
  });

  test('strings and sparse tensors have no flat bytes', async () => {
    const text = new StringTensor([1], [new Uint8Array(3)]);
    expect(text.byteLength).toBe(3);
    const sparse = new SparseTensor([4], new DenseTensor('float32', [1], new Uint8Array(4)), new DenseTensor('int64', [1], new Uint8Array(8)));
    for (const tensor of [text, sparse]) await expect(toDense(tensor)).rejects.toMatchObject({ code: 'E_DTYPE' });
  });

  test('typed views give back what was wrapped', () => {
    fc.assert(fc.property(fc.constantFrom<DType>('float32', 'float16', 'int64', 'uint8', 'int32'), fc.nat({ max: 8 }), (dtype, count) => {
      const width = dtypes[dtype].bits / 8;
      const bytes = Uint8Array.from({ length: count * width }, (_, i) => (i * 37) & 0x3f);
      const tensor = new DenseTensor(dtype, [count], bytes);
      expect(DenseTensor.of(dtype, [count], tensor.data).bytes).toEqual(bytes);
    }));
  });
});
