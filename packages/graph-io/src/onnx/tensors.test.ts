import { type DType, dtypeNames, dtypes, byteSize, type LazyTensor, memorySource, SparseTensor, StringTensor, type Tensor } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { onnxLimits } from '../limits.js';
import { encodeBytes } from './encode.js';
import { labelOf } from './labels.js';
import { readSparseTensor, readTensor } from './read-tensor.js';
import { type TensorProto, tensorSchema } from './schema.js';
import { dataFieldOf } from './tensor-data.js';
import { walkMessage } from './walk.js';
import { writeTensor } from './write-tensor.js';

const numeric = dtypeNames.filter((name) => name !== 'string');

async function read(proto: TensorProto, external?: Uint8Array): Promise<Tensor> {
  const source = memorySource(encodeBytes(tensorSchema, proto));
  const decoded = await walkMessage(tensorSchema, source, { limits: onnxLimits });
  return readTensor(decoded, 'a tensor', { source, limits: onnxLimits, external: async () => memorySource(external ?? new Uint8Array(0)) });
}

async function bytesOf(tensor: Tensor): Promise<number[]> {
  if (tensor.kind !== 'lazy') return [...(await tensor.load())];
  const { expr, sources } = tensor as LazyTensor;
  if (expr.op !== 'source') throw new Error('not a plain range');
  return [...(await sources.get(expr.source)!.read(expr.offset, tensor.byteLength))];
}

/** The numbers of a typed data field, as varint bytes or as they are. */
function typedField(dtype: DType, bytes: Uint8Array): TensorProto {
  const field = dataFieldOf(dtype);
  if (field === 'floatData' || field === 'doubleData') return { [field]: [{ length: bytes.length, offset: -1, bytes }] };
  const width = Math.max(1, dtypes[dtype].bits / 8);
  const signed = dtypes[dtype].kind === 'int' && width < 8 && dtypes[dtype].bits >= 8;
  const out: number[] = [];
  for (let at = 0; at < bytes.length; at += width) {
    let value = 0n;
    for (let k = width - 1; k >= 0; k--) value = (value << 8n) | BigInt(bytes[at + k]!);
    // Negative numbers of int32_data take ten bytes.
    let rest = BigInt.asUintN(64, signed ? BigInt.asIntN(width * 8, value) : value);
    for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
    out.push(Number(rest));
  }
  return { [field]: [{ length: out.length, offset: -1, bytes: Uint8Array.from(out) }] };
}

describe.each(numeric)('%s', (dtype) => {
  test.each([[[]], [[3]], [[0, 5]], [[7, 41]], [[1, 3, 1000]]])('of shape %j: raw, typed and external data are the same tensor', async (shape: number[]) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const bytes = Uint8Array.from({ length: byteSize(dtype, count) }, (_, i) => (i * 37 + 11) & 0xff);
    const head: TensorProto = { dims: shape, dataType: dtypes[dtype].onnx };
    const payload = { length: bytes.length, offset: -1, bytes };
    const externalData = [{ key: 'location', value: 'w.bin' }, { key: 'offset', value: '8' }, { key: 'length', value: String(bytes.length) }];
    const forms = [
      await read({ ...head, rawData: payload }),
      await read({ ...head, ...typedField(dtype, bytes) }),
      await read({ ...head, dataLocation: 1, externalData }, Uint8Array.from([...new Uint8Array(8), ...bytes])),
    ];
    for (const tensor of forms) {
      expect(tensor.dtype).toBe(dtype);
      expect(tensor.shape).toEqual(shape);
      expect(await bytesOf(tensor)).toEqual([...bytes]);
    }
    expect(forms[0]!.kind).toBe(bytes.length > 1024 ? 'lazy' : 'dense');
    expect(forms[2]!.kind).toBe(bytes.length > 1024 ? 'lazy' : 'dense');
    expect(await bytesOf(await read(await settled(writeTensor(forms[0]!, 'w', undefined), bytes)))).toEqual([...bytes]);
  });
});

/** A written tensor whose payload is put in place, as a save does. */
async function settled(proto: TensorProto, bytes: Uint8Array): Promise<TensorProto> {
  return proto.rawData?.tensor ? { ...proto, rawData: { length: bytes.length, offset: -1, bytes } } : proto;
}

test('several packed parts are one tensor', async () => {
  const part = (values: number[]) => ({ length: values.length * 4, offset: -1, bytes: new Uint8Array(Float32Array.from(values).buffer) });
  const tensor = await read({ dims: [4], dataType: 1, floatData: [part([1, 2]), part([3]), part([4])] });
  expect(new Float32Array(Uint8Array.from(await bytesOf(tensor)).buffer)).toEqual(Float32Array.of(1, 2, 3, 4));
});

test('string tensors keep their bytes', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.uint8Array(), { maxLength: 20 }), async (values) => {
    const tensor = await read(writeTensor(new StringTensor([values.length], values), 's', undefined));
    expect((tensor as StringTensor).values.map((value) => [...value])).toEqual(values.map((value) => [...value]));
  }), { numRuns: 50 });
});

test('sparse tensors keep values, indices and shape', async () => {
  const reader = { source: memorySource(new Uint8Array(0)), limits: onnxLimits, external: () => Promise.reject(new Error('none')) };
  const bytes = (values: Float32Array | BigInt64Array) => ({ length: values.byteLength, offset: -1, bytes: new Uint8Array(values.buffer) });
  const tensor = await readSparseTensor({
    values: { dims: [2], dataType: 1, name: 'w', rawData: bytes(Float32Array.of(5, 6)) },
    indices: { dims: [2], dataType: 7, rawData: bytes(BigInt64Array.of(1n, 8n)) },
    dims: [3, 4],
  }, 'sparse', reader);
  expect(tensor).toBeInstanceOf(SparseTensor);
  expect([tensor.shape, tensor.dtype, labelOf(tensor.values).name]).toEqual([[3, 4], 'float32', 'w']);
});

describe('refused with the name of the tensor', () => {
  const external = (entries: Record<string, string>): TensorProto => ({
    name: 'w', dims: [4], dataType: 1, dataLocation: 1, externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
  });
  test.each<[string, TensorProto, string]>([
    ['no element type', { name: 'w', dims: [1] }, 'E_DTYPE'],
    ['an unknown element type', { name: 'w', dims: [1], dataType: 99 }, 'E_DTYPE'],
    ['too few bytes', { name: 'w', dims: [3], dataType: 1, rawData: { length: 8, offset: -1, bytes: new Uint8Array(8) } }, 'E_ONNX_TENSOR'],
    ['too many bytes', { name: 'w', dims: [1], dataType: 1, rawData: { length: 8, offset: -1, bytes: new Uint8Array(8) } }, 'E_ONNX_TENSOR'],
    ['no data', { name: 'w', dims: [1], dataType: 1 }, 'E_ONNX_TENSOR'],
    ['too few numbers', { name: 'w', dims: [3], dataType: 7, int64Data: [{ length: 1, offset: -1, bytes: Uint8Array.of(1) }] }, 'E_ONNX_TENSOR'],
    ['too many numbers', { name: 'w', dims: [1], dataType: 7, int64Data: [{ length: 2, offset: -1, bytes: Uint8Array.of(1, 1) }] }, 'E_ONNX_TENSOR'],
    ['a number that is cut', { name: 'w', dims: [1], dataType: 7, int64Data: [{ length: 1, offset: -1, bytes: Uint8Array.of(0x80) }] }, 'E_ONNX_TENSOR'],
    ['2^60 elements', { name: 'w', dims: [2 ** 30, 2 ** 30], dataType: 1, rawData: { length: 0, offset: -1, bytes: new Uint8Array(0) } }, 'E_SHAPE'],
    ['2^50 numbers in one byte', { name: 'w', dims: [2 ** 50], dataType: 3, int32Data: [{ length: 1, offset: -1, bytes: Uint8Array.of(1) }] }, 'E_ONNX_TENSOR'],
    ['a negative dimension', { name: 'w', dims: [-1], dataType: 1 }, 'E_SHAPE'],
    ['300 dimensions', { name: 'w', dims: new Array<number>(300).fill(1), dataType: 1 }, 'E_LIMIT'],
    ['segments', { name: 'w', dims: [1], dataType: 1, segment: new Uint8Array(0) }, 'E_ONNX_TENSOR'],
    ['strings elsewhere', { name: 'w', dims: [1], dataType: 8, rawData: { length: 1, offset: -1, bytes: Uint8Array.of(97) } }, 'E_ONNX_TENSOR'],
    ['external data without location', external({ offset: '0' }), 'E_EXTERNAL_DATA'],
    ['external data of another length', external({ location: 'w.bin', length: '12' }), 'E_EXTERNAL_DATA'],
    ['external data past the end', external({ location: 'w.bin', offset: '8' }), 'E_TRUNCATED'],
    ['a negative offset', external({ location: 'w.bin', offset: '-8' }), 'E_EXTERNAL_DATA'],
    ['an offset of 2^64', external({ location: 'w.bin', offset: '18446744073709551616' }), 'E_EXTERNAL_DATA'],
    ['a location outside', external({ location: '../w.bin' }), 'E_EXTERNAL_DATA'],
  ])('%s', async (_, proto, code) => {
    await expect(read(proto, new Uint8Array(16))).rejects.toMatchObject({ code, message: expect.stringContaining("'w'") as string });
  });
});
