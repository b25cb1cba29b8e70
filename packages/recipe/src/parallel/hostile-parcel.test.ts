/** What another machine writes for a job ends in plain data with paths below the roots, or in a typed error: whatever it is, and however large it says that it is. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { isPenjingError, sha256 } from '@penjing/core';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { type ParcelLimits, parcelLimits, readParcel } from './parcel.js';
import { openRoots } from './shared-roots.js';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'penjing-hostile-parcel-')));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const root = join(folder, 'root');
mkdirSync(root);
writeFileSync(join(root, 'buffer'), 'a buffer');
const buffer = { root: 'shared', path: 'buffer', sha256: await sha256(Buffer.from('a buffer')) };
const MARK = 'penjing parcel';
const path = { [MARK]: 'path', place: { root: 'shared', path: 'x' } };

async function readBytes(bytes: Uint8Array, limits?: ParcelLimits): Promise<unknown> {
  writeFileSync(join(root, 'forged'), bytes);
  return readParcel({ root: 'shared', path: 'forged', sha256: await sha256(bytes) }, await openRoots([root]), limits);
}

const read = (value: unknown, limits?: ParcelLimits): Promise<unknown> => readBytes(serialize(value), limits);

it('takes nothing for a path but what was shared, in whatever guise', async () => {
  const bytes = new Uint8Array(Buffer.from('/etc/passwd'));
  const guises = [bytes, Buffer.from(bytes), bytes.buffer, ['/etc/passwd'], 7, null, true, '', { href: 'file:///etc/passwd' }, new Map([['toString', 1]]), { [MARK]: 'buffer', bytes }, { [MARK]: 'buffer', place: buffer }];
  for (const guise of guises) {
    for (const value of [{ kind: 'file', path: guise, size: 1, mtimeMs: 0 }, { folder: guise }, { deep: [new Map([['x', { path: guise }]])] }]) await expect(read(value)).rejects.toMatchObject({ code: 'E_PATH' });
  }
  for (const reference of guises.filter((guise) => !(typeof guise === 'object' && guise !== null && 'href' in guise))) await expect(read({ kind: 'shelf', reference })).rejects.toMatchObject({ code: 'E_PATH' });

  const output = { expr: { op: 'source' }, path: '', offset: 0 };
  expect(await read({ outputs: [output], reference: { path }, none: { folder: undefined } })).toEqual({ outputs: [output], reference: { path: join(root, 'x') }, none: { folder: undefined } });
  // An output is nothing that is opened, a source is.
  await expect(read({ ...output, kind: 'file' })).rejects.toMatchObject({ code: 'E_PATH' });
});

it('takes no more than it can hold', async () => {
  const few = { ...parcelLimits, dataBytes: 4096, bufferBytes: 1000, places: 8, values: 1000, depth: 50 };
  const refused: Record<string, unknown> = {
    'bytes that are no bytes': { [MARK]: 'buffer', bytes: { byteLength: 2 ** 33 } },
    'a mark of another kind': { [MARK]: 'other', bytes: new Uint8Array(1) },
    'a mark without a place': { [MARK]: 'path' },
    'a place that is none': { path: { [MARK]: 'path', place: null } },
    'an array longer than memory': new Array<number>(2 ** 32 - 1),
    'many arrays in one': Array.from({ length: 50 }, () => new Array<number>(900)),
    'many places': Array.from({ length: 9 }, () => ({ ...path })),
    'a buffer many times': Array.from({ length: 8 }, () => ({ [MARK]: 'buffer', bytes: new Uint8Array(200) })),
    'a date': { at: new Date(0) },
    'a set': { names: new Set(['a']) },
    'keys that are objects': new Map([[{ path: '/etc/passwd' }, 1]]),
    'more than a file may have': new Uint8Array(5000),
  };
  let nested: unknown = 1;
  for (let i = 0; i < 60; i++) nested = { nested };
  let doubled: unknown = 1;
  for (let i = 0; i < 40; i++) doubled = [doubled, doubled];
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  Object.assign(refused, { nested, doubled, cycle });
  for (const [what, value] of Object.entries(refused)) await expect(read(value, few), what).rejects.toMatchObject({ code: 'E_DATA' });
  // The same without limits of the test, where they do not make it.
  for (const what of ['bytes that are no bytes', 'an array longer than memory', 'a set', 'doubled', 'cycle']) await expect(read(refused[what]), what).rejects.toMatchObject({ code: 'E_DATA' });

  expect(await read({ a: { [MARK]: 'buffer', place: buffer }, b: [1, 2n, undefined], c: new Map([['x', Float32Array.of(1)]]) }, few)).toEqual({ a: new Uint8Array(Buffer.from('a buffer')).buffer, b: [1, 2n, undefined], c: new Map([['x', Float32Array.of(1)]]) });
});

it('opens regular files only, and none that is too large', async () => {
  const roots = await openRoots([root]);
  mkdirSync(join(root, 'folder'));
  await expect(readParcel({ root: 'shared', path: 'folder', sha256: '' }, roots)).rejects.toMatchObject({ code: 'E_FORMAT' });
  // Takes no place on disk.
  writeFileSync(join(root, 'huge'), '');
  truncateSync(join(root, 'huge'), 2 ** 40);
  await expect(readParcel({ root: 'shared', path: 'huge', sha256: '' }, roots)).rejects.toMatchObject({ code: 'E_DATA' });
  await expect(read({ [MARK]: 'buffer', place: { root: 'shared', path: 'huge', sha256: '' } })).rejects.toMatchObject({ code: 'E_DATA' });
  rmSync(join(root, 'huge'));
});

it.skipIf(process.platform === 'win32')('waits for nobody who might write to a pipe', async () => {
  execFileSync('mkfifo', [join(root, 'pipe')]);
  await expect(readParcel({ root: 'shared', path: 'pipe', sha256: '' }, await openRoots([root]))).rejects.toMatchObject({ code: 'E_FORMAT' });
});

const leaf = fc.oneof(
  fc.constantFrom('/etc/passwd', '', '.', 'x', 'file', 'memory', 'buffer', 'path', 'shared', undefined, null, 0, -1, 2 ** 33, NaN, 1n, true),
  fc.constantFrom<unknown>(new Uint8Array(Buffer.from('/etc/passwd')), new ArrayBuffer(8), new Float64Array(2), Buffer.from('x'), new Set([1]), new Date(0), /x/, new Array<number>(2 ** 31), new Error('x'), Object(1)),
  fc.record({ root: fc.constantFrom('shared', 'other', '__proto__'), path: fc.constantFrom('x', 'buffer', '', '../x', '/etc/passwd', 'a\0b', 'folder/../../x'), sha256: fc.constantFrom(buffer.sha256, '', 'x') }, { requiredKeys: [] }),
  fc.constantFrom<unknown>(path, { [MARK]: 'buffer', place: buffer }, { [MARK]: 'shared', bytes: new Uint8Array(3) }),
);
const names = ['path', 'folder', 'reference', 'source', 'kind', 'bytes', 'place', 'expr', 'offset', MARK, '__proto__', 'x'];
const { parcel } = fc.letrec((tie) => ({
  parcel: fc.oneof({ maxDepth: 4 }, leaf, fc.dictionary(fc.constantFrom(...names), tie('parcel'), { maxKeys: 4 }), fc.array(tie('parcel'), { maxLength: 3 }), fc.dictionary(fc.constantFrom(...names), tie('parcel'), { maxKeys: 2 }).map((fields) => new Map(Object.entries(fields))),
    fc.record({ [MARK]: fc.constantFrom('path', 'buffer', 'shared', 'x'), place: tie('parcel'), bytes: tie('parcel') }, { requiredKeys: [MARK] })),
}));

/** Everything that a job would take for a path is a text below the root. */
function expectShared(value: unknown): void {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return;
  if (value instanceof Map || Array.isArray(value)) return [...value.values()].forEach(expectShared);
  expect(Object.prototype.toString.call(value)).toBe('[object Object]');
  for (const [name, item] of Object.entries(value) as [string, unknown][]) {
    const isPath = ['path', 'folder', 'reference'].includes(name) && item !== undefined && !(name === 'reference' && typeof item === 'object') && !(name === 'path' && item === '' && 'expr' in value);
    if (isPath) expect(item === root || (typeof item === 'string' && item.startsWith(`${root}/`))).toBe(true);
    else if (name === 'reference' && item !== undefined) expect(Object.prototype.toString.call(item)).toBe('[object Object]');
    expectShared(item);
  }
}

it('ends in data or in a typed error, whatever was written', async () => {
  const counts = { read: 0, refused: 0 };
  const judge = async (bytes: Uint8Array): Promise<void> => {
    try {
      expectShared(await readBytes(bytes));
      counts.read++;
    } catch (error) {
      expect([isPenjingError(error), String(error)]).toEqual([true, String(error)]);
      counts.refused++;
    }
  };
  await fc.assert(fc.asyncProperty(parcel, (value) => judge(serialize(value))), { numRuns: 400 });
  // Both ways were taken.
  expect(counts.read).toBeGreaterThan(20);
  expect(counts.refused).toBeGreaterThan(20);
  const sound = serialize({ model: { kind: 'model', reference: { source: { kind: 'file', path } } }, numbers: [1, 2, Float32Array.of(3)], more: new Map([['x', { a: { [MARK]: 'buffer', place: buffer } }]]) });
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.nat(sound.length), (changes, length) => {
    const bytes = Uint8Array.from(sound);
    for (const [at, byte] of changes) bytes[at] = byte;
    return judge(length % 3 === 0 ? bytes.subarray(0, length) : bytes);
  }), { numRuns: 400 });
});
