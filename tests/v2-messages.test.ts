/** Our V2 codecs against what Triton's Python client and its published messages make (peers/fixtures/v2_messages.py). */
import { readFileSync } from 'node:fs';
import { type GrpcMethod, decodeGrpcInferRequest, decodeInferRequest, encodeGrpcInferRequest, grpcMethods, type InferRequest, repositoryParametersFrom, tensorToBytes } from '@penjing/graph-io/v2';
import { describe, expect, test } from 'vitest';

interface Case { inputs: string[]; body: string; headerLength?: number }
interface Recorded {
  tensors: Record<string, { shape: number[]; bytes: string }>;
  http: Case[];
  grpc: Case[];
  parameters: string;
  messages: Record<string, string>;
}

const recorded = JSON.parse(readFileSync(new URL('./fixtures/v2/messages.json', import.meta.url), 'utf8')) as Recorded;
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));

function sameInputs({ inputs }: InferRequest, names: readonly string[]): void {
  expect(inputs.map(({ name }) => name)).toEqual(names);
  for (const { name, tensor } of inputs) {
    const { shape, bytes } = recorded.tensors[name]!;
    expect([...tensor.shape], name).toEqual(shape);
    expect(Buffer.from(tensorToBytes(tensor)).toString('base64'), name).toBe(bytes);
  }
}

describe('messages of Triton', () => {
  test.each(recorded.http)('HTTP request, JSON of $headerLength bytes', ({ body, headerLength, inputs }) => {
    const request = decodeInferRequest(bytesOf(body), headerLength);
    sameInputs(request, inputs);
    expect(request).toMatchObject({ id: '7', parameters: { priority: 2, timeout: 1000 }, outputs: [{ name: 'y', parameters: { binary_data: true } }, { name: 'z' }] });
  });

  test.each(recorded.grpc)('gRPC request of $inputs', ({ body, inputs }) => {
    const request = decodeGrpcInferRequest(bytesOf(body));
    sameInputs(request, inputs);
    expect(request.modelName).toBe('m');
    // Read again from our own bytes, raw and typed.
    for (const raw of [true, false]) if (raw || !inputs.includes('FP16')) sameInputs(decodeGrpcInferRequest(encodeGrpcInferRequest(request, { raw })), inputs);
  });

  test('parameters of every kind', () => {
    const { parameters } = decodeGrpcInferRequest(bytesOf(recorded.parameters));
    expect(parameters).toEqual({ bool: true, int64: -5, string: 's', double: 0.5, uint64: 2n ** 64n - 1n });
    expect(decodeGrpcInferRequest(encodeGrpcInferRequest({ inputs: [], parameters }))).toMatchObject({ parameters });
  });

  const duration = (count: number): object => ({ count, ns: count * 2 ** 33 });
  const expected: Record<string, [Pick<GrpcMethod<object, object>, 'response'> | undefined, object]> = {
    ServerMetadata: [grpcMethods.serverMetadata, { name: 's', version: '1.2', extensions: ['a', 'b'] }],
    ServerLive: [grpcMethods.serverLive, { live: true }],
    ModelMetadata: [grpcMethods.modelMetadata, {
      name: 'm', versions: ['1', '2'], platform: 'onnx_onnxv1', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }], outputs: [{ name: 'y', datatype: 'BYTES', shape: [1] }],
    }],
    ModelStatistics: [grpcMethods.modelStatistics, { modelStats: [{
      name: 'm', version: '1', lastInference: 1.7e12, inferenceCount: 5, executionCount: 3,
      inferenceStats: { success: duration(1), fail: duration(2), queue: duration(3), computeInput: duration(4), computeInfer: duration(5), computeOutput: duration(6), cacheHit: duration(7), cacheMiss: duration(8) },
      batchStats: [{ batchSize: 2, computeInput: duration(1), computeInfer: duration(2), computeOutput: duration(3) }],
    }] }],
    RepositoryIndex: [grpcMethods.repositoryIndex, { models: [{ name: 'm', version: '1', state: 'READY', reason: 'r' }] }],
    ModelConfig: [grpcMethods.modelConfig, { config: {
      name: 'm', platform: 'onnxruntime_onnx', backend: 'onnxruntime', maxBatchSize: 8, defaultModelFilename: 'model.onnx',
      input: [{ name: 'x', dataType: 11, dims: [-1, 3], optional: true }], output: [{ name: 'y', dataType: 13, dims: [1] }],
      dynamicBatching: { preferredBatchSize: [4, 8], maxQueueDelayMicroseconds: 100, priorityLevels: 3, defaultPriorityLevel: 2 },
    } }],
  };

  test.each(Object.entries(expected))('%s', (name, [method, message]) => {
    const read = method!.response.decode(bytesOf(recorded.messages[name]!));
    expect(read).toEqual(message);
    expect(method!.response.decode(method!.response.encode(read))).toEqual(message);
  });

  test('requests for the repository', () => {
    expect(grpcMethods.repositoryIndex.request.decode(bytesOf(recorded.messages['RepositoryIndexRequest']!))).toEqual({ repositoryName: 'r', ready: true });
    expect(grpcMethods.modelReady.request.decode(bytesOf(recorded.messages['ModelReadyRequest']!))).toEqual({ name: 'm', version: '2' });
    const load = grpcMethods.repositoryModelLoad.request.decode(bytesOf(recorded.messages['RepositoryModelLoadRequest']!));
    expect(load.modelName).toBe('m');
    expect(() => repositoryParametersFrom(load.parameters, 'the load')).toThrow(/brings a file/);
  });
});
