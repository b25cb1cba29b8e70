import { DenseTensor, denseOf, isPenjingError, StringTensor } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { binaryOutputs, decodeInferRequest, decodeRawRequest, encodeInferRequest } from './request.js';
import { decodeInferResponse, encodeInferResponse } from './response.js';
import { arbitraryRequest, concat, sameTensors } from './testing/arbitrary-request.js';

const json = (value: unknown): Uint8Array => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const one = (tensor: object): Uint8Array => json({ inputs: [{ name: 'x', ...tensor }] });
const input = (tensor: object): DenseTensor | StringTensor => decodeInferRequest(one(tensor)).inputs[0]!.tensor;
const values = (tensor: object): unknown[] => [...(input(tensor) as DenseTensor).data];

describe('requests', () => {
  test('with binary data come back as they were written', () => {
    fc.assert(fc.property(arbitraryRequest(), (request) => {
      const body = encodeInferRequest(request);
      const read = decodeInferRequest(concat(body.parts), body.headerLength);
      sameTensors(read.inputs, request.inputs);
      expect({ ...read, inputs: [] }).toEqual({ ...request, inputs: [] });
    }), { numRuns: 200 });
  });

  test('as JSON come back too, every integer and float of them', () => {
    fc.assert(fc.property(arbitraryRequest({ json: true }), (request) => {
      const body = encodeInferRequest(request, { binary: false });
      expect(body.headerLength).toBeUndefined();
      sameTensors(decodeInferRequest(concat(body.parts)).inputs, request.inputs);
    }), { numRuns: 200 });
  });

  test('as responses do', () => {
    fc.assert(fc.property(arbitraryRequest({ json: true }), fc.boolean(), ({ inputs, id, parameters }, binary) => {
      const response = { modelName: 'm', modelVersion: '3', ...(id !== undefined && { id }), ...(parameters && { parameters }), outputs: inputs };
      const body = encodeInferResponse(response, () => binary);
      const read = decodeInferResponse(concat(body.parts), body.headerLength);
      sameTensors(read.outputs, inputs);
      expect({ ...read, outputs: [] }).toEqual({ ...response, outputs: [] });
    }), { numRuns: 100 });
  });

  test('nested, flat and single values are the same tensor', () => {
    expect(values({ datatype: 'INT32', shape: [2, 2], data: [[1, 2], [3, 4]] })).toEqual([1, 2, 3, 4]);
    expect(values({ datatype: 'INT32', shape: [2, 2], data: [1, 2, 3, 4] })).toEqual([1, 2, 3, 4]);
    expect(values({ datatype: 'FP64', shape: [], data: 5 })).toEqual([5]);
    expect(values({ datatype: 'FP64', shape: [], data: [5] })).toEqual([5]);
    expect(values({ datatype: 'BOOL', shape: [2, 0], data: [[], []] })).toEqual([]);
    expect(values({ datatype: 'BOOL', shape: [2], data: [true, false] })).toEqual([1, 0]);
    expect(() => input({ datatype: 'INT32', shape: [2, 2], data: [[1, 2, 3], [4]] })).toThrow(/neither flat nor nested/);
    expect(() => input({ datatype: 'INT32', shape: [2, 2], data: [[[1, 2, 3, 4]]] })).toThrow(/neither flat nor nested/);
  });

  test('integers beyond 2^53 stay exact, in any order of keys', () => {
    const text = '{"inputs":[{"data":[9007199254740993,-9223372036854775808,[9223372036854775807]],"shape":[3],"name":"x","datatype":"INT64"}]}';
    expect([...(decodeInferRequest(json(text.replace('[9223372036854775807]', '9223372036854775807'))).inputs[0]!.tensor as DenseTensor).data]).toEqual([9007199254740993n, -(2n ** 63n), 2n ** 63n - 1n]);
    expect(() => decodeInferRequest(json(text))).toThrow(/element 2 of input "x" is a list/);
    const unsigned = (data: string): Uint8Array => json(`{"inputs":[{"name":"x","datatype":"UINT64","shape":[2],"d\\u0061ta":${data}}]}`);
    expect([...(decodeInferRequest(unsigned('[ 18446744073709551615 , 1e3 ]')).inputs[0]!.tensor as DenseTensor).data]).toEqual([2n ** 64n - 1n, 1000n]);
    for (const bad of ['[18446744073709551616,0]', '[-1,0]', '[0.5,0]', '["18446744073709551615",18446744073709551615]', '["1",2]', '[1e400,0]', '[9007199254740993.5,0]', '[null,0]']) {
      expect(() => decodeInferRequest(unsigned(bad)), bad).toThrow(/is no UINT64/);
    }
  });

  test('numbers of many digits are what JSON makes of them', () => {
    const long = `-0.${'1'.repeat(5000)}`;
    expect([...(decodeInferRequest(json(`{"inputs":[{"name":"x","datatype":"FP64","shape":[2],"data":[${long},1]}]}`)).inputs[0]!.tensor as DenseTensor).data]).toEqual([Number(long), 1]);
  });

  test('numbers that a datatype cannot hold are refused by element, with the range', () => {
    expect(() => input({ datatype: 'UINT8', shape: [2], data: [1, 256] })).toThrow(/element 1 of input "x" is 256, which is no UINT8/);
    expect(() => input({ datatype: 'INT8', shape: [1], data: [-129] })).toThrow(/INT8/);
    expect(() => input({ datatype: 'INT16', shape: [1], data: [1.5] })).toThrow(/INT16/);
    expect(() => input({ datatype: 'FP32', shape: [1], data: [1e39] })).toThrow(/FP32/);
    expect(() => decodeInferRequest(json('{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1e400]}]}'))).toThrow(/is Infinity, which is no FP64/);
    expect(() => decodeInferRequest(json('{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[NaN]}]}'))).toThrow(/no JSON/);
    expect(() => input({ datatype: 'BOOL', shape: [1], data: [1] })).toThrow(/BOOL/);
    expect(() => input({ datatype: 'BYTES', shape: [1], data: [1] })).toThrow(/no text/);
    expect(() => input({ datatype: 'FP16', shape: [1], data: [1] })).toThrow(/no JSON form/);
  });

  test('binary outputs are asked for as a whole and one by one', () => {
    const request = decodeInferRequest(json({ inputs: [], parameters: { binary_data_output: true }, outputs: [{ name: 'a' }, { name: 'b', parameters: { binary_data: false } }] }));
    expect(['a', 'b', 'c'].map(binaryOutputs(request))).toEqual([true, false, true]);
    expect(binaryOutputs(decodeInferRequest(json({ inputs: [] })))('a')).toBe(false);
  });

  test('a body without JSON is the one input', () => {
    const body = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer);
    const request = decodeRawRequest(body, [{ name: 'x', dtype: 'float32', shape: ['batch', 2, null], batched: true }]);
    expect(request.inputs[0]!.tensor.shape).toEqual([1, 2, 2]);
    expect(binaryOutputs(request)('any')).toBe(true);
    expect(decodeRawRequest(body, [{ name: 'x', dtype: 'string', shape: [1] }]).inputs[0]!.tensor).toEqual(new StringTensor([1], [body]));
    expect(() => decodeRawRequest(body, [{ name: 'x', dtype: 'float32', shape: [null, null] }])).toThrow(/2 dimensions/);
    expect(() => decodeRawRequest(body, [{ name: 'x', dtype: 'float32', shape: [3, null] }])).toThrow(/whole number/);
    expect(() => decodeRawRequest(body, [{ name: 'x', dtype: 'float32', shape: [3] }])).toThrow(/16 bytes/);
    expect(() => decodeRawRequest(body, [])).toThrow(/one input/);
  });
});

describe('hostile requests', () => {
  const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  const cases: readonly (readonly [string, Uint8Array, RegExp, number?])[] = [
    ['a count that overflows', one({ datatype: 'FP32', shape: [2 ** 30, 2 ** 30], data: [] }), /too many elements/],
    ['[2^4, 2^60+2]', json('{"inputs":[{"name":"x","datatype":"FP32","shape":[16,1152921504606846978],"data":[]}]}'), /dimension 1 .* no size/],
    ['bytes that overflow', one({ datatype: 'FP64', shape: [2 ** 51], parameters: { binary_data_size: 8 } }), /addressable/],
    ['a size that is not the shape\'s', one({ datatype: 'FP64', shape: [2], parameters: { binary_data_size: 8 } }), /8 bytes, FP64 \[2\] takes 16/],
    ['a negative dimension', one({ datatype: 'FP32', shape: [-1], data: [1] }), /no size/],
    ['a large claim', one({ datatype: 'FP32', shape: [2 ** 40], data: [1] }), /more than 16777216 elements/],
    ['a false claim', one({ datatype: 'FP32', shape: [1000], data: [1] }), /holds 1 values, its shape \[1000\] takes 1000/],
    ['data 250,000 deep', json(`{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":${deep(250_000)}}]}`), /deeper than 64/],
    ['parameters 250,000 deep', json(`{"parameters":${deep(250_000)},"inputs":[]}`), /deeper than 16/],
    ['data of parameters', json('{"parameters":{"data":[1]},"inputs":[]}'), /parameter "data"/],
    ['too many dimensions', one({ datatype: 'FP32', shape: Array.from({ length: 65 }, () => 1), data: [1] }), /65 dimensions/],
    ['a header beyond the body', json({ inputs: [] }), /Content-Length is 99999999999/, 99_999_999_999],
    ['a header that cuts the JSON', json({ inputs: [] }), /not a JSON request/, 5],
    ['a header of NaN', json({ inputs: [] }), /Content-Length is NaN/, NaN],
    ['no bytes behind the JSON', one({ datatype: 'FP32', shape: [1], parameters: { binary_data_size: 4 } }), /asks for 4 bytes behind the JSON, 0 are left/],
    ['a negative size', one({ datatype: 'FP32', shape: [1], parameters: { binary_data_size: -4 } }), /is -4 bytes/],
    ['shared memory', one({ datatype: 'FP32', shape: [1], parameters: { shared_memory_region: 'r', shared_memory_byte_size: 4 } }), /shared memory/],
    ['classes', json({ inputs: [], outputs: [{ name: 'y', parameters: { classification: 3 } }] }), /classes/],
    ['an input twice', json({ inputs: [1, 2].map(() => ({ name: 'x', datatype: 'BOOL', shape: [1], data: [true] })) }), /"x" stands twice/],
    ['an output twice', json({ inputs: [], outputs: [{ name: 'y' }, { name: 'y' }] }), /"y" stands twice/],
    ['a key twice', json('{"inputs":[],"inputs":[]}'), /stands twice/],
    ['data twice', json('{"inputs":[{"name":"x","datatype":"BOOL","shape":[1],"data":[true],"data":[false]}]}'), /stands twice/],
    ['no name', json({ inputs: [{ datatype: 'BOOL', shape: [1], data: [true] }] }), /name of input 0 is missing/],
    ['a long name', json({ inputs: [{ name: 'x'.repeat(2000), datatype: 'BOOL', shape: [1], data: [true] }] }), /more than 1024 bytes/],
    ['an unknown datatype', one({ datatype: 'toString', shape: [1], data: [1] }), /"toString"/],
    ['no data', one({ datatype: 'FP32', shape: [1] }), /no data/],
    ['data and a size', one({ datatype: 'FP32', shape: [1], data: [1], parameters: { binary_data_size: 4 } }), /both/],
    ['an empty value', json('{"inputs":[{"name":"x","datatype":"FP32","shape":[],"data":}]}'), /no JSON/],
    ['a bracket for another', json('{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[1,2}}]}'), /no JSON/],
    ['an object as data', one({ datatype: 'FP32', shape: [1], data: { a: 1 } }), /no JSON|no list|not a JSON/],
    ['no UTF-8', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d), /UTF-8/],
    ['no object', json('[]'), /no JSON object/],
    ['nothing', new Uint8Array(0), /not a JSON request/],
    ['no inputs', json({}), /"inputs" is missing/],
    ['too many tensors', json({ inputs: Array.from({ length: 1025 }, () => 0) }), /1025 inputs/],
    ['a parameter that is a list', json({ inputs: [], parameters: { a: [] } }), /parameter "a"/],
  ];

  test.each(cases.map(([what, body, message, headerLength]) => ({ what, body, message, headerLength })))('$what', ({ body, message, headerLength }) => {
    const start = process.cpuUsage();
    let thrown: unknown;
    try {
      decodeInferRequest(body, headerLength);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ message: expect.stringMatching(message) as string });
    expect(isPenjingError(thrown) && thrown.code).toMatch(/^E_(REQUEST|LIMIT|UNSUPPORTED)$/);
    expect(process.cpuUsage(start).user).toBeLessThan(2e6);
  });

  test('binary parts that do not add up', () => {
    const body = (size: number, extra: number): [Uint8Array, number] => {
      const head = one({ datatype: 'INT16', shape: [2], parameters: { binary_data_size: size } });
      return [concat([head, new Uint8Array(4 + extra)]), head.length];
    };
    expect(decodeInferRequest(...body(4, 0)).inputs).toHaveLength(1);
    expect(() => decodeInferRequest(...body(4, 1))).toThrow(/1 bytes behind the JSON belong to no tensor/);
    expect(() => decodeInferRequest(...body(3, -1))).toThrow(/3 bytes, INT16 \[2\] takes 4/);
    const strings = (bytes: number[]): void => {
      const head = one({ datatype: 'BYTES', shape: [1], parameters: { binary_data_size: bytes.length } });
      decodeInferRequest(concat([head, Uint8Array.from(bytes)]), head.length);
    };
    strings([1, 0, 0, 0, 7]);
    expect(() => strings([2, 0, 0, 0, 7])).toThrow(/ends after its bytes/);
    expect(() => strings([255, 255, 255, 255, 7])).toThrow(/ends after its bytes/);
    expect(() => strings([0, 0, 0, 0, 7])).toThrow(/1 bytes after/);
    expect(() => strings([0, 0])).toThrow(/too few/);
  });

  test('mutated requests are read or refused with a code', () => {
    fc.assert(fc.property(arbitraryRequest({ json: true }), fc.boolean(), fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 }), (request, binary, changes) => {
      const body = encodeInferRequest(request, { binary });
      const bytes = concat(body.parts);
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      try {
        decodeInferRequest(bytes, body.headerLength);
      } catch (error) {
        expect(isPenjingError(error), String(error)).toBe(true);
      }
    }), { numRuns: 500 });
  });

  test('values that JSON cannot say are refused on the way out', () => {
    const response = (tensor: DenseTensor | StringTensor): (() => unknown) => () => encodeInferResponse({ modelName: 'm', outputs: [{ name: 'y', tensor }] }, () => false);
    expect(response(denseOf('float32', [2], [1, NaN]))).toThrow(/element 1 of output "y" is NaN/);
    expect(response(new DenseTensor('float16', [1], new Uint8Array(2)))).toThrow(/no JSON form/);
    expect(response(new StringTensor([1], [Uint8Array.of(0xff)]))).toThrow(/not UTF-8/);
    expect(response(new DenseTensor('int4', [1], new Uint8Array(1)))).toThrow(/int4 has no datatype/);
  });
});
