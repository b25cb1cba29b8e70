/** Messages of the wire come back as they were, however the stream is cut. */
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { frameWriter } from './frame-writer.js';
import { encodeFrame, FrameReader } from './frames.js';
import type { FromModel, ToModel, WireTensor } from './protocol.js';

type Message = ToModel | FromModel;

const tensor = fc.oneof(
  fc.record({ dtype: fc.constant('uint8' as const), shape: fc.array(fc.nat(9), { maxLength: 3 }), data: fc.uint8Array({ maxLength: 300 }).map((bytes) => bytes.slice().buffer) }),
  fc.record({ dtype: fc.constant('string' as const), shape: fc.array(fc.nat(9), { maxLength: 3 }), data: fc.array(fc.string({ unit: 'binary' }), { maxLength: 4 }) }),
) as fc.Arbitrary<WireTensor>;
const tensors = fc.dictionary(fc.oneof(fc.string(), fc.constant('__proto__'), fc.constant('7')), tensor, { maxKeys: 4, noNullPrototype: true });
const id = fc.nat();

const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ id, inputs: tensors, outputs: fc.option(fc.array(fc.string(), { maxLength: 3 }), { nil: undefined }) }).map(({ id, inputs, outputs }): Message => ({ id, method: 'infer', params: { inputs, ...(outputs && { outputs }) } })),
  fc.record({ id, outputs: tensors, computeMs: fc.double({ noNaN: true, noDefaultInfinity: true, min: 0 }) }).map(({ id, ...result }): Message => ({ id, result })),
  fc.record({ id, event: fc.record({ choice: id, text: fc.string({ unit: 'binary' }) }) }),
  fc.record({ id, result: fc.record({ embeddings: fc.array(fc.float32Array({ maxLength: 9 })), tokens: id }) }),
  fc.record({ id, error: fc.record({ code: fc.constant('E_INPUT' as const), message: fc.string(), details: fc.record({ param: fc.constant(undefined), big: fc.bigInt() }) }) }),
  fc.constant<Message>({ shutdown: true }),
  fc.record({ cancel: id }),
);

function readIn(bytes: Uint8Array, sizes: readonly number[]): Message[] {
  const seen: Message[] = [];
  const reader = new FrameReader<Message>((one) => seen.push(one));
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    reader.push(bytes.subarray(at, at + size));
    at += size;
  }
  return seen;
}

test('messages come back in order, whole, wherever the stream is cut', () => {
  fc.assert(fc.property(fc.array(message, { maxLength: 6 }), fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 }), (messages, sizes) => {
    const bytes = Buffer.concat(messages.flatMap(encodeFrame));
    expect(readIn(bytes, sizes)).toEqual(messages);
    expect(readIn(bytes, [1])).toEqual(messages);
    expect(readIn(bytes, [bytes.length + 1])).toEqual(messages);
  }), { numRuns: 200 });
});

test('strings take their bytes and a length each, whatever is in them', () => {
  const call = (data: readonly string[]): Message => ({ id: 1, method: 'infer', params: { inputs: { x: { dtype: 'string', shape: [data.length], data } } } });
  const control = '\u0001'.repeat(1000);
  expect(Buffer.concat(encodeFrame(call([control, '', control]))).length).toBeLessThan(2100);
  const odd = call(['', '\ud800', 'a\udc00b', '\ufeffx', '盆景 🌳', '\0']);
  expect(readIn(Buffer.concat(encodeFrame(odd)), [3])).toEqual([odd]);
  // As JSON more than the 2^29 characters that V8 has for a text.
  const many = call(Array<string>(90).fill('\u0001'.repeat(1e6)));
  expect(encodeFrame(many).reduce((sum, part) => sum + part.length, 0)).toBeLessThan(90.1e6);
});

test('a tensor has a buffer of its own', () => {
  const data = Float32Array.of(1, 2, 3).buffer;
  const call: Message = { id: 1, method: 'infer', params: { inputs: { x: { dtype: 'float32', shape: [3], data }, y: { dtype: 'float32', shape: [3], data } } } };
  const [read] = readIn(Buffer.concat(encodeFrame(call)), [1e6]);
  const { x, y } = (read as unknown as { readonly params: { readonly inputs: Record<string, WireTensor> } }).params.inputs;
  expect([...new Float32Array(x!.data as ArrayBuffer)]).toEqual([1, 2, 3]);
  expect((x!.data as ArrayBuffer).byteLength).toBe(12);
  expect(x!.data).not.toBe(y!.data);
});

test('what is said in one turn is written at once, and large tensors without a copy', async () => {
  const stream = new PassThrough({ highWaterMark: 1e7 });
  const written: Uint8Array[] = [];
  stream.on('data', (chunk: Buffer) => written.push(chunk));
  const write = frameWriter(stream, queueMicrotask);
  const messages: Message[] = [1, 2, 3].map((one) => ({ cancel: one }));
  for (const one of messages) write(one);
  await new Promise(setImmediate);
  expect(written).toHaveLength(1);
  expect(readIn(Buffer.concat(written), [7])).toEqual(messages);
  const data = new Uint8Array(1_000_000).fill(7).buffer;
  write({ id: 1, method: 'infer', params: { inputs: { x: { dtype: 'uint8', shape: [1e6], data } } } });
  await new Promise(setImmediate);
  expect(written.at(-1)!.buffer).toBe(data);
  stream.destroy();
  write({ shutdown: true });
  await new Promise(setImmediate);
});
