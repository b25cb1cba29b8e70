/** .pth files that we write: our reader gives every tensor back, saving streams the same bytes, torch loads them. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { byteSize, type ByteSource, type Checkpoint, checkRange, DenseTensor, type DType, elementCount, lazy, memorySource, type Tensor, toDense, typedView } from '@penjing/core';
import { type FileLayout, layoutToBytes, openPytorch, pytorchLayout } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { openZip } from '../packages/graph-io/src/pytorch/zip.js';

const DTYPES: readonly DType[] = [
  'float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool', 'complex64', 'complex128', 'uint16', 'uint32', 'uint64',
  'float8e4m3fn', 'float8e5m2', 'float8e4m3fnuz', 'float8e5m2fnuz', 'float8e8m0',
];
const tensor = fc.record({ dtype: fc.constantFrom(...DTYPES), shape: fc.array(fc.nat(4), { maxLength: 4 }), seed: fc.nat() }).map(({ dtype, shape, seed }) => {
  const bytes = Uint8Array.from({ length: byteSize(dtype, elementCount(shape)) }, (_, i) => (seed + i * 37) & 0xff);
  return new DenseTensor(dtype, shape, bytes);
});
const checkpoint = fc.dictionary(fc.string({ minLength: 1, maxLength: 12 }).filter((name) => !name.includes('__proto__')), tensor, { minKeys: 1, maxKeys: 8 })
  .map((entries): Checkpoint => ({ tensors: new Map(Object.entries(entries)), metadata: new Map() }));
const bytesOf = (state: Checkpoint, options = {}): Promise<Uint8Array> => layoutToBytes(pytorchLayout(state, options)[0]!);
const fixture = (name: string): Promise<Checkpoint> => openPytorch(memorySource(readFileSync(fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url)))));

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-pth-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('.pth files', () => {
  test('give every tensor back', async () => {
    await fc.assert(fc.asyncProperty(checkpoint, async (state) => {
      const got = await openPytorch(memorySource(await bytesOf(state)), { key: '' });
      expect([...got.tensors.keys()]).toEqual([...state.tensors.keys()]);
      for (const [name, wanted] of state.tensors) {
        const found = got.tensors.get(name)!;
        expect([found.dtype, [...found.shape]]).toEqual([wanted.dtype, [...wanted.shape]]);
        expect(Buffer.compare(await found.load(), await wanted.load())).toBe(0);
      }
    }), { numRuns: 100 });
  });

  test('start their data on 64 bytes, with true checksums', async () => {
    const bytes = await bytesOf(await fixture('torch/views.pt'));
    const zip = await openZip(memorySource(bytes));
    const view = new DataView(bytes.buffer);
    for (const [name, { offset, size }] of zip.entries) {
      if (!name.includes('/data/')) continue;
      expect(offset % 64).toBe(0);
      const header = Buffer.from(bytes.buffer).lastIndexOf('PK\x03\x04', offset - 1);
      expect(Buffer.from(bytes.buffer).toString('latin1', header + 30, header + 30 + name.length)).toBe(name);
      expect(view.getUint32(header + 14, true)).toBe(crc32(bytes.subarray(offset, offset + size)));
    }
  });

  test('keep one tensor under two names one', async () => {
    const state = await fixture('torch/views.pt');
    const got = await openPytorch(memorySource(await bytesOf(state)));
    expect(got.tensors.get('tied')).toBe(got.tensors.get('base'));
  });

  test('refuse what torch has no type for', () => {
    const tensors = new Map<string, Tensor>([['w', lazy.fill('int4', [2, 2], 0)]]);
    expect(() => pytorchLayout({ tensors, metadata: new Map() })).toThrow(/w is int4/);
  });

  test('saving streams the bytes of the plan', async () => {
    const state = await fixture('torch/views.pt');
    for (const quantize of [undefined, 'qtensor', 'parts'] as const) {
      const layouts = pytorchLayout(state, { name: 'm.pth', ...(quantize && { quantize }) });
      const path = join(folder, `${quantize ?? 'plain'}.pth`);
      const { measured } = await saveFile(path, layouts);
      expect(Buffer.compare(await readFile(path), await layoutToBytes(layouts[0]!))).toBe(0);
      expect(measured.has('base')).toBe(quantize !== undefined);
    }
  });

  test('int8 weights are within half a step, in either form', async () => {
    const state = await fixture('torch-modules/my-model.pt');
    const wanted = await toDense(state.tensors.get('layer1.weight')!);
    const original = wanted.data as Float32Array;
    const quantized = await openPytorch(memorySource(await bytesOf(state, { quantize: 'qtensor' })));
    const parts = await openPytorch(memorySource(await bytesOf(state, { quantize: 'parts' })));
    const scales = typedView('float32', await parts.tensors.get('layer1.weight.scale')!.load()) as Float32Array;
    const codes = typedView('int8', await parts.tensors.get('layer1.weight')!.load()) as Int8Array;
    const zeros = typedView('int64', await parts.tensors.get('layer1.weight.zero_point')!.load()) as BigInt64Array;
    const values = typedView('float32', await quantized.tensors.get('layer1.weight')!.load()) as Float32Array;
    const [rows, cols] = wanted.shape as [number, number];
    expect(scales.length).toBe(rows);
    original.forEach((value, i) => {
      const scale = scales[Math.floor(i / cols)]!;
      const zero = Number(zeros[Math.floor(i / cols)]!);
      expect(scale).toBeGreaterThan(0);
      expect(Math.abs(values[i]! - value)).toBeLessThanOrEqual(scale * 0.501);
      expect(Math.abs((codes[i]! - zero) * scale - values[i]!)).toBeLessThan(1e-7);
    });
    expect(quantized.tensors.get('layer1.bias')!.dtype).toBe('float32');
  });

  test('beyond 4 GiB the directory has wide fields', async () => {
    const tensors = new Map<string, Tensor>([['a', lazy.fill('float32', [2 ** 30, 5], 1)], ['b', lazy.fill('float32', [3], 2)], ['c', lazy.fill('uint8', [7], 3)]]);
    const [layout] = pytorchLayout({ tensors, metadata: new Map() });
    expect(layout!.size).toBeGreaterThan(20 * 2 ** 30);
    const got = await openPytorch(planned(layout!));
    expect([...got.tensors].map(([name, { shape }]) => [name, [...shape]])).toEqual([['a', [2 ** 30, 5]], ['b', [3]], ['c', [7]]]);
  });
});

/** A file of which only the known bytes are there. */
function planned({ name, size, pieces }: FileLayout): ByteSource {
  return {
    uri: `planned:${name}`, size, descriptor: { kind: 'memory', size },
    async read(offset, length) {
      checkRange(name, size, offset, length);
      const out = new Uint8Array(length);
      for (const piece of pieces) {
        if (piece.kind !== 'bytes' || piece.offset >= offset + length || piece.offset + piece.bytes.length <= offset) continue;
        const from = Math.max(offset, piece.offset);
        out.set(piece.bytes.subarray(from - piece.offset, offset + length - piece.offset), from - offset);
      }
      return out;
    },
  };
}

/** peers/check_torch.py, where a Python with torch is; Penjing itself needs none. */
const python = process.env['PENJING_PYTHON'];
describe.skipIf(python === undefined)('torch.load(weights_only=True)', () => {
  test('reads them, whole and without damage', async () => {
    const names = { dtypes: 'torch/dtypes.pt', views: 'torch/views.pt', model: 'torch-modules/my-model.pt' };
    const paths: string[] = [];
    for (const [name, file] of Object.entries(names)) {
      for (const quantize of [undefined, 'qtensor', 'parts'] as const) {
        if (name === 'dtypes' && quantize) continue;
        paths.push(join(folder, `torch-${name}-${quantize ?? 'plain'}.pth`));
        await writeFile(paths.at(-1)!, await bytesOf(await fixture(file), quantize ? { quantize } : {}));
      }
    }
    const script = fileURLToPath(new URL('../peers/check_torch.py', import.meta.url));
    const { stdout } = await promisify(execFile)(python!, [script, ...paths]);
    const reports = stdout.trim().split('\n').map((line) => JSON.parse(line) as { file: string; error?: string; type: string; damaged: string | null; tensors: object });
    expect(reports.map(({ file, error, type, damaged }) => ({ file, error, type, damaged }))).toEqual(paths.map((file) => ({ file, error: undefined, type: 'OrderedDict', damaged: null })));
  });
});
