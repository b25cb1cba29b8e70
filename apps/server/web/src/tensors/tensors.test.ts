import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeInfer, encodeInfer, serverTimings } from '../api/infer.js';
import { type Datatype, datatypes, fromHalf, toHalf } from './datatypes.js';
import { imageLayout, pixelsToTensor } from './image.js';
import { convertTensor, readNpy, writeNpy } from './npy.js';
import { parseShape, parseValues, type TensorSpec } from './parse-values.js';
import { bytesTensor, elementsOf, fillTensor, statsOf, TensorProblem } from './tensor-data.js';

const spec = (datatype: Datatype | 'BYTES', ...shape: number[]): TensorSpec => ({ name: 'x', datatype, shape });
const problem = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof TensorProblem) return error.key;
    throw error;
  }
  return 'fits';
};

describe('half floats', () => {
  test('every one of the 65,536 comes back', () => {
    for (let half = 0; half < 65_536; half++) {
      const value = fromHalf(half);
      if (!Number.isNaN(value)) expect(toHalf(value), String(half)).toBe(half);
    }
    expect(fromHalf(toHalf(Number.NaN))).toBeNaN();
  });

  test('round to the nearest, ties to even', () => {
    expect([1 + 2 ** -11, 1 + 3 * 2 ** -11, 65_519, 65_520, 2 ** -25, 3 * 2 ** -25].map((value) => fromHalf(toHalf(value)))).toEqual([1, 1 + 2 ** -9, 65_504, Infinity, 0, 2 ** -23]);
    const brain = (value: number): unknown => elementsOf(fillTensor('BF16', [1], () => value), 1)[0];
    expect([1 + 2 ** -8, 1 + 3 * 2 ** -8, 3e38].map(brain)).toEqual([1, 1 + 2 ** -6, 3.00405527047391e38]);
  });
});

describe('typed values', () => {
  test('nested ones bring their shape, flat ones fill the typed shape', () => {
    expect(parseValues('[[1,2],[3,4]]', spec('FP32', -1, 2), [1, 2]).shape).toEqual([2, 2]);
    expect(parseValues('[1,2,3,4]', spec('INT64', 1, -1), [1, 1]).shape).toEqual([1, 4]);
    expect(parseValues('[1,2,3,4]', spec('INT64', -1, -1), [2, 2]).shape).toEqual([2, 2]);
    expect(parseValues('[[1,2],[3,4]]', spec('FP32', -1, 2, 2), [1, 2, 2]).shape).toEqual([1, 2, 2]);
    expect(parseValues('7', spec('INT32'), []).shape).toEqual([]);
    expect(elementsOf(parseValues('[true,false]', spec('BOOL', 2), [2]), 9)).toEqual([1, 0]);
    expect(elementsOf(parseValues('plain text', spec('BYTES', 1), [1]), 9)).toEqual(['plain text']);
  });

  test.each([
    ['', spec('FP32', 2), 'tensor.error.empty'],
    ['[1,', spec('FP32', 2), 'tensor.error.json'],
    ['["a","b"]', spec('FP32', 2), 'tensor.error.json'],
    ['[null,1]', spec('FP32', 2), 'tensor.error.json'],
    ['{}', spec('FP32', 1), 'tensor.error.json'],
    ['[[1],[1,2]]', spec('FP32', 2, 2), 'tensor.error.ragged'],
    ['[1,2,3]', spec('FP32', 2), 'tensor.error.shape'],
    ['[1,2,3]', spec('FP32', 2, 2), 'tensor.error.count'],
    ['[256]', spec('UINT8', 1), 'tensor.error.range'],
    ['[1.5]', spec('INT32', 1), 'tensor.error.range'],
    ['[9007199254740993]', spec('INT64', 1), 'tensor.error.range'],
    ['[-1]', spec('UINT64', 1), 'tensor.error.range'],
    [`${'['.repeat(60)}1${']'.repeat(60)}`, spec('FP32', 1), 'tensor.error.json'],
  ])('%s is refused with words', (text, wanted, key) => {
    expect(problem(() => parseValues(text, wanted, wanted.shape))).toBe(key);
  });

  test('shapes are sizes', () => {
    expect(parseShape('1, 3×224 224')).toEqual([1, 3, 224, 224]);
    expect(parseShape('')).toEqual([]);
    expect([parseShape('1, a'), parseShape('-1'), parseShape('1.5')]).toEqual([undefined, undefined, undefined]);
    expect(problem(() => fillTensor('FP32', [1e6, 1e6], () => 0))).toBe('tensor.error.large');
  });

  test('figures leave out what is not finite', () => {
    expect(statsOf(fillTensor('FP32', [4], (i) => [1, Number.NaN, 3, Infinity][i]!))).toEqual({ min: 1, max: 3, mean: 2, notFinite: 2 });
    expect(statsOf(bytesTensor(['a'], [1]))).toBeUndefined();
  });
});

describe('.npy files', () => {
  test('are read as they were written', () => {
    for (const datatype of Object.keys(datatypes) as Datatype[]) {
      const tensor = fillTensor(datatype, [2, 3], (i) => i % 2);
      const file = writeNpy(tensor);
      if (datatype === 'BF16') expect(file).toBeUndefined();
      else expect(readNpy(file!)).toEqual(tensor);
    }
    const file = writeNpy(fillTensor('FP32', [3], (i) => i))!;
    expect(file.length % 64).toBe(12);
    expect(new TextDecoder('latin1').decode(file.subarray(0, 128))).toContain("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
  });

  test('become the type that is wanted when nothing is lost by it', () => {
    const whole = fillTensor('INT64', [2], (i) => [3, 300][i]!);
    expect(elementsOf(convertTensor(whole, 'INT32'), 2)).toEqual([3, 300]);
    expect(elementsOf(convertTensor(whole, 'FP32'), 2)).toEqual([3, 300]);
    expect(problem(() => convertTensor(whole, 'UINT8'))).toBe('tensor.error.range');
    expect(problem(() => convertTensor(fillTensor('FP32', [1], () => 1), 'INT32'))).toBe('tensor.error.dtype');
  });

  test('hostile ones are refused with words', () => {
    const file = writeNpy(fillTensor('FP32', [2, 2], (i) => i))!;
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), fc.nat(file.length), (at, byte, length) => {
        const damaged = file.slice(0, length);
        if (at < length) damaged[at] = byte;
        expect(['tensor.error.npy', 'fits']).toContain(problem(() => readNpy(damaged)));
      }),
    );
    const huge = new TextDecoder('latin1').decode(file).replace('(2, 2)', '(9e9,)');
    expect(problem(() => readNpy(Uint8Array.from(huge, (letter) => letter.charCodeAt(0))))).toBe('tensor.error.npy');
  });
});

describe('pictures', () => {
  // two pixels beside each other: red and blue
  const pixels = Uint8ClampedArray.from([255, 0, 0, 255, 0, 0, 255, 255]);
  const size = { width: 2, height: 1 };
  const tensor = (wanted: TensorSpec, bgr = false, scale: 'unit' | 'bytes' | 'imagenet' | 'signed' = 'unit'): unknown[] => elementsOf(pixelsToTensor(pixels, size, wanted, imageLayout(wanted), { scale, bgr }), 99);

  test('stand where the model wants their channels', () => {
    expect(tensor(spec('FP32', 1, 3, -1, -1))).toEqual([1, 0, 0, 0, 0, 1]);
    expect(tensor(spec('FP32', 1, -1, -1, 3))).toEqual([1, 0, 0, 0, 0, 1]);
    expect(tensor(spec('FP32', 3, 1, 2), true)).toEqual([0, 1, 0, 0, 1, 0]);
    expect(tensor(spec('UINT8', 1, -1, 2, 3))).toEqual([255, 0, 0, 0, 0, 255]);
    expect(tensor(spec('UINT8', 1, 2, 1))).toEqual([76, 29]);
    expect(tensor(spec('FP32', 3, 1, 2), false, 'signed')).toEqual([1, -1, -1, -1, -1, 1]);
    expect(Number(tensor(spec('FP64', 3, 1, 2), false, 'imagenet')[0])).toBeCloseTo((1 - 0.485) / 0.229, 6);
  });

  test('go into pictures only', () => {
    for (const shape of [[1], [1, 128], [1, 7, 5, 9], [1, 2, 3, 4, 5]]) expect(problem(() => imageLayout(spec('FP32', ...shape))), String(shape)).toBe('tensor.error.imageShape');
  });
});

describe('the binary extension', () => {
  test('is JSON, then the bytes of each tensor in order', () => {
    const a = { name: 'a', ...fillTensor('FP32', [2], (i) => i + 0.5) };
    const b = { name: 'b', ...bytesTensor(['盆', ''], [2]) };
    const { body, headerLength } = encodeInfer([a, b]);
    const header = JSON.parse(new TextDecoder().decode(body.subarray(0, headerLength))) as { inputs: unknown[] };
    expect(header.inputs).toEqual([{ name: 'a', datatype: 'FP32', shape: [2], parameters: { binary_data_size: 8 } }, { name: 'b', datatype: 'BYTES', shape: [2], parameters: { binary_data_size: 11 } }]);
    const answer = new TextEncoder().encode(JSON.stringify({ outputs: header.inputs }));
    const reply = new Uint8Array([...answer, ...body.subarray(headerLength)]);
    expect(decodeInfer(reply, answer.length).map((tensor) => elementsOf(tensor, 9))).toEqual([[0.5, 1.5], ['盆', '']]);
    expect(() => decodeInfer(reply.slice(0, -1), answer.length)).toThrow('output b');
  });

  test('timings of the server are read from its header', () => {
    expect(serverTimings('queue;dur=0.4, compute;desc="x";dur=12')).toEqual([['queue', 0.4], ['compute', 12]]);
    expect(serverTimings(null)).toEqual([]);
  });
});
