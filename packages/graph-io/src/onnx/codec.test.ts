import { type ByteSource, isPenjingError, memorySource } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { onnxLimits } from '../limits.js';
import { encodeBytes } from './encode.js';
import { type AttributeProto, attributeSchema, type GraphProto, graphSchema, type ModelProto, modelSchema, type TensorProto, tensorSchema } from './schema.js';
import type { Schema } from './message.js';
import { walkMessage } from './walk.js';

const decode = <T extends object>(schema: Schema<T>, bytes: Uint8Array, limits = {}): Promise<T> =>
  walkMessage(schema, memorySource(bytes), { limits: { ...onnxLimits, ...limits } });

const hex = (text: string): Uint8Array => Uint8Array.from(text.split(' ').map((byte) => parseInt(byte, 16)));

describe('messages', () => {
  const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const attribute: fc.Arbitrary<AttributeProto> = fc.record({
    name: fc.string(), f: fc.float({ noNaN: true }), i: int64, s: fc.uint8Array(),
    floats: fc.array(fc.float({ noNaN: true }), { minLength: 1 }), ints: fc.array(int64, { minLength: 1 }),
    strings: fc.array(fc.uint8Array(), { minLength: 1 }), type: fc.integer({ min: -5, max: 2 ** 40 }),
  }, { requiredKeys: [] });

  test('come back as they were written', async () => {
    await fc.assert(fc.asyncProperty(attribute, async (message) => {
      expect(await decode(attributeSchema, encodeBytes(attributeSchema, message))).toEqual(message);
    }));
  });

  test('are the same read at once and field by field', async () => {
    const attributes = (count: number): GraphProto => ({
      node: [{ opType: 'Op', attribute: [{ name: 'long', ints: Array.from({ length: count }, (_, i) => BigInt(i * i)) }] }],
      name: 'g'.repeat(count),
    });
    for (const count of [0, 1, 5000, 50_000]) {
      const message = attributes(count);
      if (count === 0) {
        delete message.node![0]!.attribute![0]!.ints;
      }
      const read = await decode(graphSchema, encodeBytes(graphSchema, message));
      expect(read.node).toEqual(message.node);
      expect(read.name).toBe(message.name);
    }
  });
});

describe('what protobuf allows', () => {
  test('packed and unpacked lists are the same', async () => {
    expect((await decode(tensorSchema, hex('08 02 08 03'))).dims).toEqual([2, 3]);
    expect((await decode(tensorSchema, hex('0a 02 02 03'))).dims).toEqual([2, 3]);
    expect((await decode(tensorSchema, hex('0a 02 02 03 08 04'))).dims).toEqual([2, 3, 4]);
  });

  test('unpacked data is gathered, in order with packed parts', async () => {
    const read: TensorProto = await decode(tensorSchema, hex('38 01 38 ac 02 3a 02 05 06 38 07'));
    const chunks = read.int64Data!.map(({ bytes, length }) => [...bytes!.subarray(0, length)]);
    expect(chunks.flat()).toEqual([0x01, 0xac, 0x02, 0x05, 0x06, 0x07]);
  });

  test('a single message given twice is merged, a oneof keeps the last', async () => {
    const twice = Uint8Array.from([...hex('3a 03 12 01 61'), ...hex('3a 03 52 01 62')]);
    expect((await decode(modelSchema, twice)).graph).toEqual({ name: 'a', doc: 'b' });
    const value = hex('12 08 0a 06 08 01 12 02 0a 00'); // a type with a scalar shape, and a dimension without size
    expect(await decode(graphSchema, Uint8Array.from([0x5a, value.length, ...value]))).toEqual({
      input: [{ type: { tensor: { elemType: 1, shape: { dim: [{}] } } } }],
    });
  });

  test('unknown fields, and known ones of the wrong wire type, are kept', async () => {
    const bytes = hex('92 06 01 61 08 07 0d 01 02 03 04 c3 3e 08 01 c4 3e');
    const read: ModelProto = await decode(modelSchema, bytes);
    expect(read.irVersion).toBe(7);
    expect(read.extra).toHaveLength(3);
    expect([...encodeBytes(modelSchema, read)]).toEqual([0x08, 0x07, ...bytes.subarray(0, 4), ...bytes.subarray(6)]);
  });
});

describe('what it does not', () => {
  test.each([
    ['field number 0', '00 00'],
    ['an end without a group', '0c'],
    ['a reserved wire type', '0f'],
    ['a length past the end', '3a ff ff ff ff 07'],
    ['a length above 2 GiB', '3a ff ff ff ff ff ff ff ff ff 01'],
    ['an endless number', '08 ff ff ff ff ff ff ff ff ff ff ff ff'],
    ['a number that is cut', '08 80'],
    ['a packed list that ends inside a number', '3a 06 2a 04 0a 02 02 80'],
    ['a size above 2^53', '3a 0d 2a 0b 08 80 80 80 80 80 80 80 80 10'],
  ])('%s is refused', async (_, text) => {
    const error: unknown = await decode(modelSchema, hex(text)).catch((cause: unknown) => cause);
    expect(isPenjingError(error)).toBe(true);
  });

  test('nesting, messages and values have limits', async () => {
    const field = (tag: number, body: number[]): number[] => [tag, ...leb(body.length), ...body];
    let type: number[] = [];
    for (let i = 0; i < 60; i++) type = field(0x22, field(0x0a, type)); // sequence of what was there
    const depth = Uint8Array.from(field(0x5a, field(0x12, type)));
    await expect(decode(graphSchema, depth)).rejects.toMatchObject({ code: 'E_LIMIT' });
    await expect(decode(graphSchema, new Uint8Array(2000).fill(0).map((_, i) => (i % 2 ? 0 : 0x0a)), { messages: 100 })).rejects.toMatchObject({ code: 'E_LIMIT' });
    await expect(decode(tensorSchema, Uint8Array.from([0x0a, 100, ...new Array<number>(100).fill(1)]), { scalars: 50 })).rejects.toMatchObject({ code: 'E_LIMIT' });
  });
});

const leb = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >> 7)]);

test('payloads are stepped over, whatever their size', async () => {
  const size = 1.5 * 2 ** 30;
  const raw = [0x4a, ...leb(size)]; // raw_data
  const tensor = [0x2a, ...leb(size + raw.length), ...raw]; // initializer
  const head = Uint8Array.from([0x3a, ...leb(size + tensor.length + 3), 0x12, 0x01, 0x67, ...tensor]);
  let bytesRead = 0;
  const source: ByteSource = {
    uri: 'zeros', size: head.length + size, descriptor: { kind: 'memory', size: 0 },
    async read(offset, length) {
      bytesRead += length;
      const bytes = new Uint8Array(length);
      if (offset < head.length) bytes.set(head.subarray(offset, offset + length));
      return bytes;
    },
  };
  const model = await walkMessage(modelSchema, source, { limits: onnxLimits });
  expect(model.graph?.initializer?.[0]?.rawData).toEqual({ offset: head.length, length: size });
  expect(bytesRead).toBeLessThan(100_000);
});
