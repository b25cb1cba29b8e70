import { type DenseTensor, isPenjingError } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arbitraryRequest, concat, sameTensors } from '../testing/arbitrary-request.js';
import { decodeGrpcInferRequest, decodeGrpcInferResponse, decodeGrpcStreamResponse, encodeGrpcInferRequest, encodeGrpcInferResponse, encodeGrpcStreamResponse } from './infer-messages.js';
import { grpcMethods } from './service.js';

const hex = (text: string): Uint8Array => Uint8Array.from(text.split(' ').filter(Boolean).map((byte) => parseInt(byte, 16)));
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
/** A length-delimited field. */
const field = (id: number, ...parts: Uint8Array[]): Uint8Array => {
  const body = concat(parts);
  return concat([Uint8Array.of((id << 3) | 2, ...varint(body.length)), body]);
};
const varint = (value: number): number[] => (value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))]);
const input = (datatype: string, shape: readonly number[], contents?: Uint8Array): Uint8Array =>
  field(5, field(1, text('x')), field(2, text(datatype)), ...shape.map((dim) => Uint8Array.of(0x18, ...varint(dim))), ...(contents ? [field(5, contents)] : []));

describe('ModelInfer', () => {
  test('requests come back, with raw contents and with typed ones', () => {
    fc.assert(fc.property(arbitraryRequest({ json: true }), fc.boolean(), (request, raw) => {
      const read = decodeGrpcInferRequest(encodeGrpcInferRequest({ ...request, modelName: 'm' }, { raw }));
      sameTensors(read.inputs, request.inputs);
      expect({ ...read, inputs: [] }).toEqual({ ...request, modelName: 'm', inputs: [], raw: raw && request.inputs.length > 0 });
    }), { numRuns: 300 });
  });

  test('raw contents take every datatype and are not copied', () => {
    fc.assert(fc.property(arbitraryRequest(), (request) => {
      const bytes = encodeGrpcInferRequest(request);
      const { inputs } = decodeGrpcInferRequest(bytes);
      sameTensors(inputs, request.inputs);
      for (const { tensor } of inputs) if (tensor.kind === 'dense') expect(tensor.bytes.buffer).toBe(bytes.buffer);
    }), { numRuns: 100 });
  });

  test('responses come back, alone and in a stream', () => {
    fc.assert(fc.property(arbitraryRequest(), fc.boolean(), ({ inputs, id }, raw) => {
      const response = { modelName: 'm', modelVersion: '1', ...(id !== undefined && { id }), outputs: inputs };
      for (const read of [decodeGrpcInferResponse(encodeGrpcInferResponse(response, { raw })), decodeGrpcStreamResponse(encodeGrpcStreamResponse({ response, raw })).response!]) {
        sameTensors(read.outputs, inputs);
        expect({ ...read, outputs: [] }).toEqual({ ...response, outputs: [] });
      }
    }), { numRuns: 100 });
    expect(decodeGrpcStreamResponse(encodeGrpcStreamResponse({ error: 'no', id: '7' }))).toEqual({ error: 'no', response: { id: '7', outputs: [] } });
  });

  test('integers at the ends of their ranges, unpacked and in parts', () => {
    const whole = input('INT64', [3], hex('18 ff ff ff ff ff ff ff ff 7f 1a 0a 80 80 80 80 80 80 80 80 80 01 18 05'));
    expect([...(decodeGrpcInferRequest(whole).inputs[0]!.tensor as DenseTensor).data]).toEqual([2n ** 63n - 1n, -(2n ** 63n), 5n]);
    const unsigned = input('UINT64', [1], hex('28 ff ff ff ff ff ff ff ff ff 01'));
    expect([...(decodeGrpcInferRequest(unsigned).inputs[0]!.tensor as DenseTensor).data]).toEqual([2n ** 64n - 1n]);
    const negative = input('INT8', [1], hex('10 80 ff ff ff ff ff ff ff ff 01'));
    expect([...(decodeGrpcInferRequest(negative).inputs[0]!.tensor as DenseTensor).data]).toEqual([-128]);
  });

  test.each([
    ['a value beyond its type', input('UINT8', [1], hex('20 80 02')), /is 256, which is no UINT8/],
    ['contents of another type', input('FP32', [1], hex('10 01')), /contents stand in ints/],
    ['half floats as contents', input('FP16', [1], hex('10 01')), /no field/],
    ['too few values', input('INT32', [5], hex('12 02 01 02')), /fewer values/],
    ['too many values', input('INT32', [1], hex('12 02 01 02')), /more than the 1 values/],
    ['too few floats', input('FP32', [2], hex('35 00 00 80 3f')), /holds 1 values/],
    ['a false claim', input('INT32', [2 ** 28], hex('12 02 01 02')), /fewer values/],
    ['a count that overflows', input('INT32', [2 ** 28, 2 ** 28], hex('12 02 01 02')), /too many elements/],
    ['a packed number cut off', input('INT32', [1], hex('12 01 80')), /end inside a number|fewer|holds 0/],
    ['raw contents for one of two', concat([input('BOOL', [1]), field(5, field(1, text('y')), field(2, text('BOOL'))), field(7, hex('01'))]), /1 raw contents for 2 inputs/],
    ['raw and typed contents', concat([input('BOOL', [1], hex('08 01')), field(7, hex('01'))]), /both/],
    ['raw contents of another size', concat([input('INT16', [1]), field(7, hex('01'))]), /1 bytes, INT16 \[1\] takes 2/],
    ['an unknown datatype', input('constructor', [1]), /"constructor"/],
    ['no datatype', field(5, field(1, text('x'))), /datatype ""/],
    ['no name', field(5, field(2, text('BOOL'))), /name of input 0/],
    ['shared memory', field(5, field(1, text('x')), field(2, text('BOOL')), field(4, field(1, text('shared_memory_region')), field(2, field(3, text('r'))))), /shared memory/],
    ['a parameter without a value', field(4, field(1, text('priority'))), /no value/],
    ['a length beyond the message', hex('2a ff ff ff ff 0f'), /at byte 0/],
    ['a truncated field', hex('2a 05 01'), /at byte 0/],
    ['a group without an end', hex('fb ff'), /at byte 0/],
  ])('refuses %s', (_, bytes, message) => {
    let thrown: unknown;
    try {
      decodeGrpcInferRequest(bytes);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ message: expect.stringMatching(message) as string });
    expect(isPenjingError(thrown)).toBe(true);
  });

  test('a negative dimension is refused', () => {
    expect(() => decodeGrpcInferRequest(field(5, field(1, text('x')), field(2, text('BOOL')), hex('18 ff ff ff ff ff ff ff ff ff 01')))).toThrow(/dimension 0 .* no size/);
  });

  test('messages of unknown fields, deep groups and endless lists end in bounded time and memory', () => {
    const start = process.cpuUsage();
    const many = new Uint8Array(2 ** 20).map((_, i) => (i % 2 === 0 ? 0x78 : 0x01)); // 524,288 unknown varints
    expect(() => decodeGrpcInferRequest(many)).toThrow(/more than 262144 values/);
    expect(() => decodeGrpcInferRequest(new Uint8Array(2 ** 20).fill(0x7b))).toThrow(/at byte 0/); // groups in groups
    expect(() => decodeGrpcInferRequest(new Uint8Array(2 ** 20).map((_, i) => (i % 2 === 0 ? 0x2a : 0)))).toThrow(/more than 16384 messages/);
    expect(process.cpuUsage(start).user).toBeLessThan(5e6);
  });

  test('mutated messages are read or refused with a code', () => {
    fc.assert(fc.property(arbitraryRequest({ json: true }), fc.boolean(), fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 }), (request, raw, changes) => {
      const bytes = encodeGrpcInferRequest({ ...request, modelName: 'm' }, { raw });
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      try {
        decodeGrpcInferRequest(bytes);
      } catch (error) {
        expect(isPenjingError(error), String(error)).toBe(true);
      }
    }), { numRuns: 500 });
  });
});

describe('other messages', () => {
  test('come back as they were written', () => {
    const { modelMetadata, modelStatistics, repositoryIndex, serverReady, modelConfig } = grpcMethods;
    const metadata = { name: 'm', versions: ['1', '2'], platform: 'onnx_onnxv1', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }], outputs: [{ name: 'y', datatype: 'BYTES', shape: [1] }] };
    expect(modelMetadata.response.decode(modelMetadata.response.encode(metadata))).toEqual(metadata);
    const statistics = { modelStats: [{ name: 'm', version: '1', lastInference: 1.7e12, inferenceCount: 3, inferenceStats: { success: { count: 3, ns: 2 ** 40 } }, batchStats: [{ batchSize: 2, computeInfer: { count: 1, ns: 5 } }] }] };
    expect(modelStatistics.response.decode(modelStatistics.response.encode(statistics))).toEqual(statistics);
    const config = { config: { name: 'm', maxBatchSize: 8, input: [{ name: 'x', dataType: 11, dims: [-1] }], dynamicBatching: { preferredBatchSize: [4, 8] } } };
    expect(modelConfig.response.decode(modelConfig.response.encode(config))).toEqual(config);
    expect(repositoryIndex.request.decode(repositoryIndex.request.encode({ ready: true }))).toEqual({ ready: true });
    expect(serverReady.response.encode({ ready: true })).toEqual(hex('08 01'));
  });
});
