/** GGUF headers: what is read from good ones, and that bad ones end in a typed error in bounded time and memory. */
import { existsSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { isPenjingError, memorySource } from '@penjing/core';
import { type GgufFile, ggufShardNames, openGguf, openGgufShards } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gguf, ggufBytes, join } from './support/gguf-bytes.js';
import { readTarGz } from './tools/tar.js';
import { testData } from './tools/test-data.js';

const open = (bytes: Uint8Array): Promise<GgufFile> => openGguf(memorySource(bytes));
const F32 = 0;
const Q4_0 = 2;
const ARRAY = 9;
const nested = (depth: number): Uint8Array => join([...Array.from({ length: depth }, () => join([gguf.u32(ARRAY), gguf.u64(1)])), gguf.u32(0), gguf.u64(1), gguf.u8(7)]);

const refused: readonly (readonly [what: string, bytes: Uint8Array, code: string, named: string])[] = [
  ['nothing', new Uint8Array(0), 'E_TRUNCATED', 'byte 0'],
  ['another magic', new TextEncoder().encode('GGLAxxxxxxxx'), 'E_GGUF', 'GGLA'],
  ['version 1', ggufBytes({ version: 1 }), 'E_GGUF', 'version 1'],
  ['version 0', ggufBytes({ version: 0 }), 'E_GGUF', 'version 0'],
  ['2^62 tensors', join([new TextEncoder().encode('GGUF'), gguf.u32(3), gguf.u64(2n ** 62n), gguf.u64(0)]), 'E_TRUNCATED', 'tensors'],
  ['2^62 pairs', join([new TextEncoder().encode('GGUF'), gguf.u32(3), gguf.u64(0), gguf.u64(2n ** 62n)]), 'E_TRUNCATED', 'key-value pairs'],
  ['a key twice', ggufBytes({ pairs: [gguf.pair('a', 0, gguf.u8(1)), gguf.pair('a', 0, gguf.u8(1))] }), 'E_GGUF', '"a" stands twice'],
  ['a key that is no UTF-8', ggufBytes({ pairs: [join([gguf.string(Uint8Array.of(0xff)), gguf.u32(0), gguf.u8(1)])] }), 'E_GGUF', 'key 0'],
  ['a key of 2^40 bytes', ggufBytes({ pairs: [join([gguf.u64(2n ** 40n), gguf.u64(0)])] }), 'E_TRUNCATED', 'key 0'],
  ['a long key', ggufBytes({ pairs: [gguf.pair('k'.repeat(65_536), 0, gguf.u8(1))] }), 'E_LIMIT', 'key 0'],
  ['an unknown value type', ggufBytes({ pairs: [gguf.pair('a', 13, gguf.u8(1))] }), 'E_GGUF', '"a"'],
  ['an unknown element type', ggufBytes({ pairs: [gguf.pair('a', ARRAY, gguf.u32(13), gguf.u64(1))] }), 'E_GGUF', '"a"'],
  ['a bool of 2', ggufBytes({ pairs: [gguf.pair('a', 7, gguf.u8(2))] }), 'E_GGUF', '"a"'],
  ['an array of 2^60', ggufBytes({ pairs: [gguf.pair('a', ARRAY, gguf.u32(4), gguf.u64(2n ** 60n))] }), 'E_TRUNCATED', '"a"'],
  ['a string of 2^63 bytes', ggufBytes({ pairs: [gguf.pair('a', 8, gguf.u64(2n ** 63n))] }), 'E_TRUNCATED', '"a"'],
  ['arrays in arrays in arrays', ggufBytes({ pairs: [gguf.pair('a', ARRAY, nested(50))] }), 'E_LIMIT', '"a"'],
  ['alignment 0', ggufBytes({ pairs: [gguf.pair('general.alignment', 4, gguf.u32(0))] }), 'E_GGUF', 'general.alignment'],
  ['alignment 24', ggufBytes({ pairs: [gguf.pair('general.alignment', 4, gguf.u32(24))] }), 'E_GGUF', 'general.alignment'],
  ['alignment as text', ggufBytes({ pairs: [gguf.pair('general.alignment', 8, gguf.string('32'))] }), 'E_GGUF', 'general.alignment'],
  ['alignment 2^31', ggufBytes({ pairs: [gguf.pair('general.alignment', 4, gguf.u32(2 ** 31))] }), 'E_GGUF', 'general.alignment'],
  ['5 dimensions', ggufBytes({ infos: [gguf.info('w', [1, 1, 1, 1, 1], F32, 0)], data: 4 }), 'E_LIMIT', '"w"'],
  ['2^32 - 1 dimensions', ggufBytes({ infos: [join([gguf.string('w'), gguf.u32(2 ** 32 - 1), gguf.u64(0), gguf.u64(0)])] }), 'E_LIMIT', '"w"'],
  ['a size of 2^80', ggufBytes({ infos: [gguf.info('w', [2 ** 40, 2 ** 40], F32, 0)], data: 4 }), 'E_TRUNCATED', '"w"'],
  ['a size of 2^64', ggufBytes({ infos: [gguf.info('w', [2n ** 62n, 4], F32, 0)], data: 4 }), 'E_TRUNCATED', '"w"'],
  ['2^63 behind a zero', ggufBytes({ infos: [gguf.info('w', [2n ** 63n, 0], F32, 0)] }), 'E_TRUNCATED', '"w"'],
  ['half a block', ggufBytes({ infos: [gguf.info('w', [48], Q4_0, 0)], data: 64 }), 'E_GGUF', '"w"'],
  ['an unknown type', ggufBytes({ infos: [gguf.info('w', [1], 250, 0)], data: 4 }), 'E_DTYPE', '"w"'],
  ['a type given up', ggufBytes({ infos: [gguf.info('w', [32], 31, 0)], data: 32 }), 'E_DTYPE', 'Q4_0_4_4'],
  ['an odd place', ggufBytes({ infos: [gguf.info('w', [1], F32, 4)], data: 32 }), 'E_GGUF', '"w"'],
  ['data past the end', ggufBytes({ infos: [gguf.info('w', [4], F32, 32)], data: 40 }), 'E_TRUNCATED', '"w"'],
  ['a place of 2^63', ggufBytes({ infos: [gguf.info('w', [1], F32, 2n ** 63n)], data: 32 }), 'E_TRUNCATED', '"w"'],
  ['a place that wraps around', ggufBytes({ infos: [gguf.info('w', [1], F32, 2n ** 64n - 32n)], data: 32 }), 'E_TRUNCATED', '"w"'],
  ['an overlap', ggufBytes({ infos: [gguf.info('v', [16], F32, 0), gguf.info('w', [1], F32, 32)], data: 96 }), 'E_GGUF', '"v" and "w"'],
  ['a name twice', ggufBytes({ infos: [gguf.info('w', [1], F32, 0), gguf.info('w', [1], F32, 32)], data: 96 }), 'E_GGUF', '"w"'],
  ['no name', ggufBytes({ infos: [gguf.info('', [1], F32, 0)], data: 32 }), 'E_GGUF', 'tensor 0'],
  ['a long name', ggufBytes({ infos: [gguf.info('n'.repeat(257), [1], F32, 0)], data: 32 }), 'E_LIMIT', 'tensor 0'],
];

describe('a hostile GGUF file', () => {
  test.each(refused)('with %s is refused', async (_, bytes, code, named) => {
    await expect(open(bytes)).rejects.toMatchObject({ code, message: expect.stringContaining(named) as string });
  });

  test('of any bytes is refused or read, with no other error', async () => {
    const valid = ggufBytes({
      pairs: [
        gguf.pair('general.architecture', 8, gguf.string('llama')), gguf.pair('general.alignment', 4, gguf.u32(32)),
        gguf.pair('s', ARRAY, gguf.u32(8), gguf.u64(2), gguf.string('a'), gguf.string('bc')), gguf.pair('f', ARRAY, gguf.u32(6), gguf.u64(1), gguf.f32(1)),
      ],
      infos: [gguf.info('a', [32, 2], Q4_0, 0), gguf.info('b', [3], F32, 64)],
      data: 96,
    });
    const mutation = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 127, 128, 255))), { minLength: 1, maxLength: 3 });
    const mutated = fc.tuple(mutation, fc.option(fc.nat(valid.length), { freq: 1 })).map(([changes, cut]) => {
      const bytes = valid.slice(0, cut ?? valid.length);
      for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
      return bytes;
    });
    let read = 0;
    await fc.assert(
      fc.asyncProperty(fc.oneof(mutated, fc.uint8Array({ maxLength: 64 })), async (bytes) => {
        const file = await open(bytes).catch((error: unknown) => {
          if (!isPenjingError(error)) throw error;
        });
        if (!file) return;
        read++;
        for (const { offset, byteLength } of file.tensors.values()) expect(offset + byteLength).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 3000 },
    );
    expect(read).toBeGreaterThan(50);
  });

  test('with a header of 40 MB is read in bounded time', async () => {
    const tokens = join(Array.from({ length: 1_000_000 }, (_, i) => gguf.string(`token number ${i}`)));
    const started = performance.now();
    const { metadata } = await open(ggufBytes({ pairs: [gguf.pair('t', ARRAY, gguf.u32(8), gguf.u64(1_000_000), tokens)] }));
    expect((metadata.get('t') as readonly string[])[999_999]).toBe('token number 999999');
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  test('with more values than any vocabulary is refused before they are all held', async () => {
    const many = join([gguf.u32(0), gguf.u64(2 ** 24 + 1), new Uint8Array(2 ** 24 + 1)]);
    await expect(open(ggufBytes({ pairs: [gguf.pair('t', ARRAY, many)] }))).rejects.toMatchObject({ code: 'E_LIMIT', message: expect.stringContaining('"t"') as string });
  });
});

describe('a good GGUF file', () => {
  test('in big-endian order gives its metadata, but no tensors', async () => {
    const big = (infos: number): Uint8Array =>
      join([
        new TextEncoder().encode('GGUF'), gguf.u32(3, false), gguf.u64(infos, false), gguf.u64(1, false),
        gguf.u64(1, false), new TextEncoder().encode('a'), gguf.u32(ARRAY, false), gguf.u32(5, false), gguf.u64(2, false), gguf.u32(1, false), gguf.u32(2 ** 32 - 2, false),
        ...(infos > 0 ? [gguf.u64(1, false), new TextEncoder().encode('w'), gguf.u32(1, false), gguf.u64(1, false), gguf.u32(0, false), gguf.u64(0, false), new Uint8Array(64)] : []),
      ]);
    expect((await open(big(0))).metadata.get('a')).toEqual(Int32Array.of(1, -2));
    await expect(open(big(1))).rejects.toMatchObject({ code: 'E_GGUF', message: expect.stringContaining('big-endian') as string });
  });

  test('may leave gaps and name its tensors in any order', async () => {
    const { tensors } = await open(ggufBytes({ version: 2, infos: [gguf.info('late', [2, 3], F32, 128), gguf.info('empty', [0], F32, 0), gguf.info('early', [32], Q4_0, 0)], data: 160 }));
    expect([...tensors.values()].map(({ name, shape, byteLength }) => [name, shape, byteLength])).toEqual([['late', [3, 2], 24], ['empty', [0], 0], ['early', [32], 18]]);
  });
});

describe('shards', () => {
  const u16 = (value: number): Uint8Array => Uint8Array.of(value & 255, value >> 8);
  const shard = (no: number, count: number, names: readonly string[]): Uint8Array =>
    ggufBytes({
      pairs: [gguf.pair('split.no', 2, u16(no)), gguf.pair('split.count', 2, u16(count)), gguf.pair('split.tensors.count', 5, gguf.i32(3))],
      infos: names.map((name, i) => gguf.info(name, [1], F32, i * 32)),
      data: names.length * 32,
    });
  const sources = (...files: readonly Uint8Array[]): ReturnType<typeof memorySource>[] => files.map((bytes) => memorySource(bytes));

  test('are named after the first one', () => {
    expect(ggufShardNames('m-00002-of-00003.gguf')).toEqual(['m-00001-of-00003.gguf', 'm-00002-of-00003.gguf', 'm-00003-of-00003.gguf']);
    expect(ggufShardNames('m.gguf')).toEqual(['m.gguf']);
    expect(() => ggufShardNames('m-00001-of-99999.gguf')).toThrow(/99999/);
  });

  test('become one model', async () => {
    const { tensors } = await openGgufShards(sources(shard(0, 2, ['a', 'b']), shard(1, 2, ['c'])));
    expect([...tensors.keys()]).toEqual(['a', 'b', 'c']);
  });

  test.each([
    ['in the wrong order', sources(shard(1, 2, ['c']), shard(0, 2, ['a', 'b']))],
    ['one missing', sources(shard(0, 2, ['a', 'b']))],
    ['a tensor twice', sources(shard(0, 2, ['a', 'b']), shard(1, 2, ['b']))],
    ['too few tensors', sources(shard(0, 2, ['a']), shard(1, 2, ['c']))],
    ['none', []],
  ])('%s are refused', async (_, list) => {
    await expect(openGgufShards(list)).rejects.toMatchObject({ code: 'E_GGUF' });
  });
});

describe.skipIf(!testData)('real files (needs PENJING_TESTDATA)', () => {
  const root = testData ?? '';

  test('open', async () => {
    const source = await fileSource(joinPath(root, 'gguf/types-common.gguf'));
    const { metadata, tensors } = await openGguf(source);
    expect(Object.fromEntries(metadata)).toMatchObject({
      'test.u8': 255, 'test.i8': -128, 'test.u16': 65_535, 'test.i16': -32_768, 'test.u32': 2 ** 32 - 1, 'test.i32': -(2 ** 31),
      'test.u64': 2n ** 64n - 1n, 'test.i64': -(2n ** 63n), 'test.f32': 3.25, 'test.f64': 1e300, 'test.bool': true, 'test.str': 'héllo ☃',
      'test.arr_i32': Int32Array.of(1, -2, 3), 'test.arr_str': ['a', '', 'ß'], 'test.arr_f32': Float32Array.of(0.5, 1.5),
    });
    expect([...tensors.values()].map(({ type }) => type.name)).toEqual(['F32', 'F16', 'BF16', 'Q4_0', 'Q8_0', 'Q4_K', 'Q6_K', 'I8', 'I32']);
    for (const [name, tokens] of [['ggml-vocab-gpt-2', 50_257], ['ggml-vocab-phi-3', 32_064]] as const) {
      const vocabulary = await openGguf(await fileSource(joinPath(root, `gguf/${name}.gguf`)));
      expect(vocabulary.metadata.get('tokenizer.ggml.tokens')).toHaveLength(tokens);
    }
    for (const type of ['F32', 'Q8_0', 'Q4_0']) {
      const model = await openGguf(await fileSource(joinPath(root, `models/stories260k/gguf/stories260K-${type}.gguf`)));
      expect(model.tensors.size).toBe(47);
    }
  });

  test.skipIf(!existsSync(joinPath(root, 'hostile/hostile-synthetic.tar.gz')))('of the hostile collection are refused, or read inside their bounds', async () => {
    const verdicts = new Map<string, string>();
    for (const [name, bytes] of readTarGz(joinPath(root, 'hostile/hostile-synthetic.tar.gz'))) {
      if (!name.endsWith('.gguf')) continue;
      const verdict = await open(new Uint8Array(bytes)).then(() => 'read', (error: unknown) => (isPenjingError(error) ? error.code : Promise.reject(error as Error)));
      verdicts.set(name.split('/').at(-1)!, verdict);
    }
    expect(Object.fromEntries(verdicts)).toMatchObject({
      'version_99.gguf': 'E_GGUF', 'kv_count_huge.gguf': 'E_TRUNCATED', 'array_len_huge.gguf': 'E_TRUNCATED', 'unknown_value_type.gguf': 'E_GGUF',
      'offset_unaligned.gguf': 'E_GGUF', 'dims_overflow.gguf': 'E_TRUNCATED', 'unknown_ggml_type.gguf': 'E_DTYPE', 'duplicate_key.gguf': 'E_GGUF',
      'no_arch.gguf': 'read',
    });
  });
});
