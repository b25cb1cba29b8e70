/** Malformed safetensors files: a typed error in bounded time and memory, never a crash, never a tensor outside the file. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Checkpoint, isPenjingError, memorySource } from '@penjing/core';
import { openSafetensors, openSafetensorsIndex } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';

const ARCHIVE = fileURLToPath(new URL('../../shared/data/hostile/hostile-synthetic.tar.gz', import.meta.url));

function framed(header: string | Uint8Array, data = 0, length?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const open = (bytes: Uint8Array): Promise<Checkpoint> => openSafetensors(memorySource(bytes));
const entry = (fields: string): string => `{"w":{${fields}}}`;

/** Reads what was accepted: every tensor lies inside the file. */
async function loadAll({ tensors }: Checkpoint): Promise<void> {
  for (const tensor of tensors.values()) expect((await tensor.load()).byteLength).toBe(tensor.byteLength);
}

const refused: readonly (readonly [what: string, bytes: Uint8Array, code: string])[] = [
  ['nothing', new Uint8Array(0), 'E_TRUNCATED'],
  ['half a length', new Uint8Array(7), 'E_TRUNCATED'],
  ['a length beyond the file', framed('{}', 0, 3n), 'E_TRUNCATED'],
  ['a length of 2^63', framed('{}', 0, 2n ** 63n), 'E_LIMIT'],
  ['an empty header', framed(''), 'E_SAFETENSORS'],
  ['a header that is a list', framed('[]'), 'E_SAFETENSORS'],
  ['a leading space', framed(' {}'), 'E_SAFETENSORS'],
  ['broken JSON', framed('{"w":'), 'E_SAFETENSORS'],
  ['bad UTF-8', framed(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)), 'E_SAFETENSORS'],
  ['a byte order mark', framed(Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d)), 'E_SAFETENSORS'],
  ['a tensor that is no object', framed('{"w":1}'), 'E_SAFETENSORS'],
  ['no dtype', framed(entry('"shape":[1],"data_offsets":[0,1]'), 1), 'E_SAFETENSORS'],
  ['an unknown dtype', framed(entry('"dtype":"F7","shape":[1],"data_offsets":[0,1]'), 1), 'E_DTYPE'],
  ['a dtype from the prototype', framed(entry('"dtype":"constructor","shape":[1],"data_offsets":[0,1]'), 1), 'E_DTYPE'],
  ['a negative dimension', framed(entry('"dtype":"U8","shape":[-1],"data_offsets":[0,1]'), 1), 'E_SAFETENSORS'],
  ['a fractional dimension', framed(entry('"dtype":"U8","shape":[1.5],"data_offsets":[0,1]'), 1), 'E_SAFETENSORS'],
  ['a product of 2^60', framed(entry('"dtype":"U8","shape":[1073741824,1073741824],"data_offsets":[0,1]'), 1), 'E_SAFETENSORS'],
  ['2^60 hidden behind a zero', framed(entry('"dtype":"U8","shape":[1e300,0],"data_offsets":[0,0]')), 'E_SAFETENSORS'],
  ['too many dimensions', framed(entry(`"dtype":"U8","shape":[${Array(256).fill(1).join()}],"data_offsets":[0,1]`), 1), 'E_LIMIT'],
  ['offsets backwards', framed(entry('"dtype":"U8","shape":[1],"data_offsets":[1,0]'), 1), 'E_SAFETENSORS'],
  ['three offsets', framed(entry('"dtype":"U8","shape":[1],"data_offsets":[0,1,2]'), 1), 'E_SAFETENSORS'],
  ['offsets that are not the size', framed(entry('"dtype":"F32","shape":[2],"data_offsets":[0,4]'), 4), 'E_SAFETENSORS'],
  ['an odd number of 4-bit elements', framed(entry('"dtype":"F4","shape":[3],"data_offsets":[0,2]'), 2), 'E_SAFETENSORS'],
  ['a hole at the start', framed(entry('"dtype":"U8","shape":[1],"data_offsets":[1,2]'), 2), 'E_SAFETENSORS'],
  ['data past the end', framed(entry('"dtype":"U8","shape":[4],"data_offsets":[0,4]'), 3), 'E_TRUNCATED'],
  ['bytes after the end', framed(entry('"dtype":"U8","shape":[4],"data_offsets":[0,4]'), 5), 'E_SAFETENSORS'],
  ['an overlap', framed('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', 3), 'E_SAFETENSORS'],
  ['the same range twice', framed('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}', 2), 'E_SAFETENSORS'],
  ['a name twice', framed('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1), 'E_SAFETENSORS'],
  ['a name twice, once escaped', framed('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1), 'E_SAFETENSORS'],
  ['a field twice', framed(entry('"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]'), 1), 'E_SAFETENSORS'],
  ['metadata that is no text', framed('{"__metadata__":{"a":1}}'), 'E_SAFETENSORS'],
  ['metadata that is no object', framed('{"__metadata__":"a"}'), 'E_SAFETENSORS'],
  ['nesting', framed(`{"w":${'['.repeat(1e5)}${']'.repeat(1e5)}}`), 'E_SAFETENSORS'],
];

describe('a hostile safetensors file', () => {
  test.each(refused)('with %s is refused', async (_, bytes, code) => {
    await expect(open(bytes)).rejects.toMatchObject({ code });
  });

  test('may call its tensors what it likes', async () => {
    const { tensors } = await open(framed('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"":{"dtype":"U8","shape":[],"data_offsets":[1,2]}}   ', 2));
    expect([...tensors.keys()]).toEqual(['__proto__', '']);
  });

  test('of any bytes is refused or read, with no other error', async () => {
    const valid = framed('{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"v":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]}}', 12);
    const mutation = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    const mutated = fc.tuple(mutation, fc.option(fc.nat(valid.length))).map(([changes, cut]) => {
      const bytes = valid.slice(0, cut ?? valid.length);
      for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
      return bytes;
    });
    const json = fc.json({ maxDepth: 4 }).map((text) => framed(text, 4));
    await fc.assert(
      fc.asyncProperty(fc.oneof(mutated, json, fc.uint8Array({ maxLength: 64 })), async (bytes) => {
        const opened = await open(bytes).catch((error: unknown) => {
          if (!isPenjingError(error)) throw error;
        });
        if (opened) await loadAll(opened);
      }),
      { numRuns: 3000 },
    );
  });

  test('with a header of 50 MB is read in bounded time', async () => {
    const started = performance.now();
    const names = Array.from({ length: 500_000 }, (_, i) => `"tensor.number.${i}.weight":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`);
    expect((await open(framed(`{${names.join()}}`))).tensors.size).toBe(500_000);
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});

describe('a hostile index', () => {
  const index = (text: string): ReturnType<typeof openSafetensorsIndex> =>
    openSafetensorsIndex(memorySource(new TextEncoder().encode(text)), async () => memorySource(framed(entry('"dtype":"U8","shape":[1],"data_offsets":[0,1]'), 1)));

  test.each([
    ['../w.safetensors'], ['/etc/passwd'], ['a/../../b'], ['C:\\\\w'], ['a\\\\b'], [''], ['http://host/w'], ['w\\u0000'],
  ])('naming %j is refused', async (file) => {
    await expect(index(`{"weight_map":{"w":"${file}"}}`)).rejects.toMatchObject({ code: 'E_SAFETENSORS' });
  });

  test.each([
    ['broken JSON', '{"weight_map":'], ['no map', '{}'], ['a list', '[]'], ['a number for a file', '{"weight_map":{"w":1}}'],
    ['a tensor that the file lacks', '{"weight_map":{"v":"a"}}'], ['a tensor twice', '{"weight_map":{"w":"a","w":"b"}}'],
  ])('with %s is refused', async (_, text) => {
    await expect(index(text)).rejects.toMatchObject({ code: 'E_SAFETENSORS' });
  });

  test('that is well is read', async () => {
    expect([...(await index('{"metadata":{"total_size":1},"weight_map":{"w":"./a//b"}}')).tensors.keys()]).toEqual(['w']);
  });
});

describe.skipIf(!existsSync(ARCHIVE))('the hostile collection', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'penjing-hostile-'));
    execFileSync('tar', ['-xzf', ARCHIVE, '-C', folder]);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('is refused with typed errors, or read inside its bounds', async () => {
    const verdicts = new Map<string, string>();
    for (const place of ['safetensors', 'mutated']) {
      for (const name of await readdir(join(folder, place))) {
        if (!name.endsWith('.safetensors')) continue;
        const verdict = await fileSource(join(folder, place, name))
          .then(openSafetensors)
          .then(async (opened) => (await loadAll(opened), 'read'))
          .catch((error: unknown) => (isPenjingError(error) ? error.code : Promise.reject(error as Error)));
        verdicts.set(name, verdict);
      }
    }
    expect(Object.fromEntries(verdicts)).toMatchObject({
      'empty.safetensors': 'E_TRUNCATED',
      'len_beyond_file.safetensors': 'E_TRUNCATED',
      'not_json.safetensors': 'E_SAFETENSORS',
      'offset_beyond.safetensors': expect.stringMatching(/^E_/) as string,
      'overlap.safetensors': 'E_SAFETENSORS',
      'unknown_dtype.safetensors': 'E_DTYPE',
      'float_dim.safetensors': 'E_SAFETENSORS',
      'proto_key.safetensors': expect.any(String) as string,
      'metadata_not_string.safetensors': 'E_SAFETENSORS',
      'tiny_t5_m3.safetensors': 'E_TRUNCATED',
    });
  });
});
