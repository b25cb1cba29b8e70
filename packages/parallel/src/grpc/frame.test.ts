import { DenseTensor, encodeText, type Feeds, isPenjingError, StringTensor } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeFrame, encodeFrame, type Frame } from './frame.js';
import { FrameReader } from './frame-reader.js';
import { FrameWriter } from './frame-writer.js';
import { cutTensors } from './slices.js';

const bytesOf = fc.uint8Array({ maxLength: 600 });
const tensor: fc.Arbitrary<Feeds[string]> = fc.oneof(
  bytesOf.map((bytes) => new DenseTensor('uint8', [bytes.length], bytes)),
  bytesOf.map((bytes) => new DenseTensor('float16', [bytes.length >> 1, 1], bytes.slice(0, bytes.length & ~1))),
  fc.array(fc.string({ maxLength: 9 }).map(encodeText), { maxLength: 60 }).map((values) => new StringTensor([values.length], values)),
);
const values = fc.dictionary(fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme-ascii' }), tensor, { maxKeys: 6, noNullPrototype: true });

const plain = (feeds: Feeds): object => Object.entries(feeds).map(([name, one]) => [name, one.dtype, [...one.shape], one.kind === 'dense' ? [...one.bytes] : one.values.map((value) => [...value])]).sort();

const framesOf = (feeds: Feeds, frameBytes: number): Uint8Array[] =>
  [...cutTensors(feeds, frameBytes)].map(({ tensors, last }, piece) => encodeFrame({ kind: 'run', epoch: 3, request: 7, piece, last, tensors, ...(piece === 0 && { outputs: ['y'] }) }));

describe('frames', () => {
  test('cut to any size give the tensors back', () => {
    fc.assert(fc.property(values, fc.integer({ min: 1, max: 400 }), (feeds, frameBytes) => {
      const reader = new FrameReader(1 << 20);
      const letters = framesOf(feeds, frameBytes).map((bytes) => reader.add(decodeFrame('request', bytes)));
      expect(letters.slice(0, -1).every((letter) => letter === undefined)).toBe(true);
      const last = letters.at(-1)!;
      expect(last.outputs).toEqual(['y']);
      expect(plain(last.values as Feeds)).toEqual(plain(feeds));
    }), { numRuns: 200 });
  });

  test('say what they were given', () => {
    const frame: Frame = { kind: 'error', epoch: 2 ** 40, request: 123456789, piece: 2, last: true, tensors: [], facts: { code: 'E_ENGINE', message: 'ü', retryAfter: 1.5, __proto__: null } as unknown as Record<string, string> };
    expect(decodeFrame('response', encodeFrame(frame))).toEqual({ ...frame, facts: { code: 'E_ENGINE', message: 'ü', retryAfter: 1.5 }, intact: true });
    expect(() => decodeFrame('request', encodeFrame(frame))).toThrow(/E_|damaged|kind/);
  });

  test('with any bit flipped are refused, or known to be damaged', () => {
    fc.assert(fc.property(values, fc.nat(), fc.nat(), (feeds, which, at) => {
      const frames = framesOf(feeds, 300);
      const bytes = frames[which % frames.length]!;
      const sent = decodeFrame('request', bytes.slice());
      const bit = at % (bytes.length * 8);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      try {
        const { intact, tensors, ...head } = decodeFrame('request', bytes);
        const { intact: _, tensors: theirs, ...before } = sent;
        expect(head).toEqual(before);
        const told = (list: typeof tensors): object => list.map((one) => [one.name, one.parameters, plain({ x: one.tensor })]);
        if (intact) expect(told(tensors)).toEqual(told(theirs));
      } catch (error) {
        if (!isPenjingError(error)) throw error;
      }
    }), { numRuns: 2000 });
  });

  test('of nonsense are refused by a code', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(() => decodeFrame('request', bytes)).toThrow();
      try {
        decodeFrame('response', bytes);
      } catch (error) {
        expect(isPenjingError(error), String(error)).toBe(true);
      }
    }), { numRuns: 500 });
  });
});

describe('slices', () => {
  const slice = (parameters: Record<string, string | number>, bytes = new Uint8Array(4), name = 'x'): Frame['tensors'][number] => ({ name, tensor: new DenseTensor('uint8', [bytes.length], bytes), parameters });
  const read = (...pieces: Frame['tensors'][]): unknown => {
    const reader = new FrameReader(1000);
    return pieces.map((tensors, piece) => reader.add(decodeFrame('request', encodeFrame({ kind: 'run', epoch: 1, request: 1, piece, last: piece === pieces.length - 1, tensors })))).at(-1)!.values;
  };
  const whole = { of: 'FP32', shape: '2', size: 8 };

  test('are put together', () => {
    expect(read([slice({ ...whole, offset: 0 })], [slice({ ...whole, offset: 4 })])).toMatchObject({ x: { dtype: 'float32', shape: [2] } });
  });

  test.each<[string, Frame['tensors'][], string]>([
    ['larger than the limit', [[slice({ of: 'FP32', shape: '1000', size: 4000, offset: 0 })]], 'E_LIMIT'],
    ['larger than any memory', [[slice({ of: 'FP32', shape: '1125899906842624', size: 2 ** 52, offset: 0 })]], 'E_LIMIT'],
    ['of a shape that overflows', [[slice({ of: 'FP32', shape: '9007199254740991,9007199254740991', size: 8, offset: 0 })]], 'E_SHAPE'],
    ['of another size than the shape', [[slice({ ...whole, size: 12, offset: 0 })]], 'E_REQUEST'],
    ['of a negative shape', [[slice({ ...whole, shape: '-2', offset: 0 })]], 'E_REQUEST'],
    ['of a shape that is none', [[slice({ ...whole, shape: '2,x', offset: 0 })]], 'E_REQUEST'],
    ['of an unknown type', [[slice({ ...whole, of: 'constructor', offset: 0 })]], 'E_REQUEST'],
    ['that begin in the middle', [[slice({ ...whole, offset: 4 })]], 'E_REQUEST'],
    ['that overlap', [[slice({ ...whole, offset: 0 })], [slice({ ...whole, offset: 2 })]], 'E_REQUEST'],
    ['that run over the end', [[slice({ ...whole, offset: 0 })], [slice({ ...whole, offset: 4 }, new Uint8Array(5))]], 'E_REQUEST'],
    ['that never end', [[slice({ ...whole, offset: 0 })]], 'E_REQUEST'],
    ['of two tensors mixed', [[slice({ ...whole, offset: 0 })], [slice({ ...whole, offset: 0 }, new Uint8Array(4), 'z')]], 'E_REQUEST'],
    ['of the same tensor twice', [[slice({ ...whole, offset: 0 }, new Uint8Array(8))], [slice({ ...whole, offset: 0 }, new Uint8Array(8))]], 'E_REQUEST'],
  ])('%s fail their request', (_, pieces, code) => {
    let thrown: unknown;
    try {
      thrown = read(...pieces);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code });
  });

  test('damaged ones fail their request and not the one after', () => {
    const reader = new FrameReader(1000);
    const frames = framesOf({ x: new DenseTensor('uint8', [500], new Uint8Array(500)) }, 200);
    const damaged = frames.map((bytes) => bytes.slice());
    damaged[1]![damaged[1]!.length - 50]! ^= 1;
    expect(damaged.map((bytes) => reader.add(decodeFrame('request', bytes))).at(-1)).toMatchObject({ values: { code: 'E_CHECKSUM' } });
    expect(frames.map((bytes) => reader.add(decodeFrame('request', bytes))).at(-1)).toMatchObject({ values: { x: { dtype: 'uint8' } } });
  });
});

test('a state that was not written is replaced by the next one', async () => {
  const written: (() => void)[] = [];
  const kinds: string[] = [];
  const writer = new FrameWriter({
    write: (bytes, done) => {
      const { kind, epoch } = decodeFrame('response', bytes);
      kinds.push(`${kind} ${epoch}`);
      written.push(done);
    },
  });
  const large = { name: 'x', tensor: new DenseTensor('uint8', [3 << 20], new Uint8Array(3 << 20)) };
  void writer.send([{ kind: 'result', epoch: 0, request: 1, piece: 0, last: true, tensors: [large] }]);
  for (let epoch = 1; epoch <= 1000; epoch++) writer.state({ kind: 'waiting', epoch, request: 0, piece: 0, last: true, tensors: [] });
  expect(kinds).toEqual(['result 0']);
  written[0]?.();
  await expect.poll(() => kinds).toEqual(['result 0', 'waiting 1000']);
});
