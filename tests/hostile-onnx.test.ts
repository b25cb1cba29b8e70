/** Hostile ONNX files: a typed error or a sound model, in bounded time and memory, never a crash. */
import { link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attribute, type ByteSource, check, DenseTensor, Graph, isPenjingError, memorySource, Model, Node, Value } from '@penjing/core';
import { layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';
import { openExternalFile } from '@penjing/graph-io/node';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readTarGz } from './tools/tar.js';
import { testData } from './tools/test-data.js';

/** The code of the refusal, or `ok`. Anything untyped is thrown. */
async function outcome(bytes: Uint8Array): Promise<string> {
  try {
    const model = await readOnnx(memorySource(bytes), { externalSource: async () => memorySource(new Uint8Array(1 << 20)) });
    serializeOnnx(model);
    return 'ok';
  } catch (error) {
    if (isPenjingError(error)) return error.code;
    throw error;
  }
}

const field = (id: number, body: Uint8Array | string): Uint8Array => {
  const content = typeof body === 'string' ? Buffer.from(body) : body;
  return Buffer.concat([Uint8Array.from([...varint((id << 3) | 2), ...varint(content.length)]), content]);
};
const number = (id: number, value: bigint): Uint8Array => Uint8Array.from([...varint(id << 3), ...varint(value)]);
const message = (...fields: Uint8Array[]): Uint8Array => Buffer.concat(fields);

function varint(value: number | bigint): number[] {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return [...out, Number(rest)];
}

const inModel = (graph: Uint8Array): Uint8Array => message(number(1, 8n), field(7, graph));
const tensor = (...fields: Uint8Array[]): Uint8Array => inModel(field(5, message(field(8, 'w'), ...fields)));

describe.skipIf(!testData)('the archive of hostile files (needs PENJING_TESTDATA)', () => {
  /** What each must give; `ok` where ONNX Runtime, too, reads the file (or only its operators are wrong). */
  const expected: Record<string, string> = {
    'onnx/ext_absolute.onnx': 'E_EXTERNAL_DATA',
    'onnx/ext_negative_offset.onnx': 'E_EXTERNAL_DATA',
    'onnx/ext_not_a_number.onnx': 'E_EXTERNAL_DATA',
    'onnx/raw_data_short.onnx': 'E_ONNX_TENSOR',
    'onnx/raw_and_float_data.onnx': 'ok',
    'onnx/undefined_input.onnx': 'E_ONNX_GRAPH',
    'onnx/nested_if_24.onnx': 'ok',
    'onnx/opset_2pow40.onnx': 'ok',
    'onnx/length_beyond_end.onnx': 'E_TRUNCATED',
    'onnx/proto_names.onnx': 'ok',
    'onnx/empty.onnx': 'E_ONNX_MODEL',
    'mutated/mnist_m0.onnx': 'ok',
    'mutated/mnist_m1.onnx': 'E_ONNX_GRAPH',
    'mutated/mnist_m2.onnx': 'ok',
    'mutated/mnist_m3.onnx': 'E_TRUNCATED',
  };

  test('every file has its outcome', async () => {
    const files = [...readTarGz(join(testData!, 'hostile/hostile-synthetic.tar.gz'))].filter(([name]) => name.endsWith('.onnx'));
    const seen = await Promise.all(files.map(async ([name, bytes]) => [name, await outcome(bytes)] as const));
    expect(Object.fromEntries(seen)).toEqual(expected);
  });

  test('other formats are no ONNX model', async () => {
    const files = [...readTarGz(join(testData!, 'hostile/hostile-synthetic.tar.gz'))].filter(([name]) => !name.endsWith('.onnx'));
    for (const [name, bytes] of files) expect([name, await outcome(bytes)]).not.toEqual([name, 'ok']);
  });
});

describe('damage', () => {
  let bytes: Uint8Array;
  beforeAll(async () => {
    bytes = await layoutToBytes(serializeOnnx(smallModel())[0]!);
  });

  test('a file cut anywhere is refused, or reads as what is left', async () => {
    const codes = new Map<string, number>();
    for (let length = 0; length < bytes.length; length++) {
      const code = await outcome(bytes.subarray(0, length));
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    expect(codes.get('E_TRUNCATED')).toBeGreaterThan(bytes.length / 2);
    // Only cuts between the last fields of the model itself can leave a whole model.
    expect(codes.get('ok') ?? 0).toBeLessThan(20);
  });

  test('flipped bytes give a typed error or a model', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }), async (flips) => {
      const copy = bytes.slice();
      for (const [at, value] of flips) copy[at % copy.length]! ^= value;
      await outcome(copy);
    }), { numRuns: 2000 });
  });

  test('bytes inserted, removed and repeated do too', async () => {
    await fc.assert(fc.asyncProperty(fc.nat(), fc.nat(), fc.uint8Array({ maxLength: 12 }), async (from, length, insert) => {
      const at = from % bytes.length;
      await outcome(Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(Math.max(0, at + (length % 40) - 20))]));
    }), { numRuns: 1000 });
  });

  test('random bytes are no crash', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (random) => {
      await outcome(random);
      await outcome(inModel(random));
      await outcome(tensor(random));
    }), { numRuns: 1000 });
  });
});

describe('bombs', () => {
  /** A source that claims a size and holds zeros: reading it whole would be noticed. */
  const claims = (head: Uint8Array, size: number): ByteSource & { most: number } => ({
    uri: 'claims', size, descriptor: { kind: 'memory', size }, most: 0,
    async read(offset, length) {
      this.most = Math.max(this.most, length);
      const out = new Uint8Array(length);
      if (offset < head.length) out.set(head.subarray(offset, offset + length));
      return out;
    },
  });

  test.each<[string, () => Uint8Array, string]>([
    ['a dimension of 2^60', () => tensor(number(1, 2n ** 60n), number(2, 1n), field(9, '')), 'E_ONNX_WIRE'],
    ['a product of 2^80', () => tensor(number(1, 2n ** 40n), number(1, 2n ** 40n), number(2, 1n), field(9, '')), 'E_SHAPE'],
    ['2^52 varints in no byte', () => tensor(number(1, 2n ** 52n), number(2, 3n), field(5, '')), 'E_ONNX_TENSOR'],
    ['2^40 strings in no byte', () => tensor(number(1, 2n ** 40n), number(2, 8n)), 'E_ONNX_TENSOR'],
    ['2^52 bytes outside', () => tensor(number(1, 2n ** 52n), number(2, 2n), number(14, 1n), field(13, message(field(1, 'location'), field(2, 'w')))), 'E_TRUNCATED'],
    ['a negative dimension', () => tensor(number(1, -1n), number(2, 1n), field(9, '')), 'E_SHAPE'],
    ['1000 graphs in each other', () => inModel(nest(1000)), 'E_LIMIT'],
    ['100 000 types in each other', () => inModel(field(11, field(2, types(100_000)))), 'E_LIMIT'],
    ['5 million empty nodes', () => inModel(new Uint8Array(1e7).map((_, i) => (i % 2 ? 0 : 0x0a))), 'E_LIMIT'],
    ['groups in groups', () => inModel(new Uint8Array(100_000).fill(0xf3)), 'E_ONNX_WIRE'],
    ['a node that reads itself', () => inModel(field(1, message(field(1, 'a'), field(2, 'a'), field(4, 'Neg')))), 'E_ONNX_GRAPH'],
    ['two nodes that read each other', () => inModel(message(field(1, message(field(1, 'a'), field(2, 'b'))), field(1, message(field(1, 'b'), field(2, 'a'))))), 'E_ONNX_GRAPH'],
    ['a value computed twice', () => inModel(message(field(1, field(2, 'a')), field(1, field(2, 'a')))), 'E_ONNX_GRAPH'],
    ['an attribute of an unknown type', () => inModel(field(1, field(5, message(field(1, 'x'), number(20, 99n))))), 'E_ONNX_ATTRIBUTE'],
    ['an attribute without its tensor', () => inModel(field(1, field(5, message(field(1, 'x'), number(20, 4n))))), 'E_ONNX_ATTRIBUTE'],
    ['a bad tensor in a function', () => message(inModel(new Uint8Array(0)), field(25, field(7, field(5, field(5, number(2, 99n)))))), 'E_DTYPE'],
    ['a bad tensor in a default', () => message(inModel(new Uint8Array(0)), field(25, field(11, field(5, number(2, 99n))))), 'E_DTYPE'],
    ['a bad tensor in an inner graph', () => inModel(field(1, field(5, field(6, field(5, number(2, 99n)))))), 'E_DTYPE'],
    ['a bad sparse tensor', () => inModel(field(15, message(field(1, number(2, 99n)), field(2, number(2, 7n))))), 'E_DTYPE'],
  ])('%s', async (_, make, code) => {
    const start = performance.now();
    expect(await outcome(make())).toBe(code);
    expect(performance.now() - start).toBeLessThan(20_000);
  });

  test('a long chain in reverse order is sorted without recursion', async () => {
    const nodes = Array.from({ length: 100_000 }, (_, i) => field(1, message(field(1, i === 99_999 ? 'x' : `v${i + 1}`), field(2, `v${i}`), field(4, 'Neg'))));
    const model = await readOnnx(memorySource(inModel(message(...nodes, field(11, field(1, 'x')), field(12, field(1, 'v0'))))));
    expect(check(model).filter(({ message }) => message.includes('before'))).toEqual([]);
  });

  test('a size that the file does not have is not allocated', async () => {
    const head = message(number(1, 8n), Uint8Array.from([0x3a, ...varint(2 ** 31 - 100)]), Uint8Array.from([0x12, ...varint(2 ** 31 - 200)]));
    const source = claims(head, 2 ** 31);
    await expect(readOnnx(source)).rejects.toMatchObject({ code: 'E_LIMIT' }); // a name of 2 GB
    expect(source.most).toBeLessThan(1e6);
    await expect(readOnnx(claims(head, 1e6))).rejects.toMatchObject({ code: 'E_TRUNCATED' });
  });

  test('empty names count too', async () => {
    const names = inModel(field(1, new Uint8Array(2e6).map((_, i) => (i % 2 ? 0 : 0x0a))));
    await expect(readOnnx(memorySource(names), { limits: { scalars: 1e5 } })).rejects.toMatchObject({ code: 'E_LIMIT' });
  });

  test('an aborted read stops', async () => {
    await expect(readOnnx(memorySource(await layoutToBytes(serializeOnnx(smallModel())[0]!)), { signal: AbortSignal.abort() })).rejects.toThrow();
  });

  const nest = (depth: number): Uint8Array => {
    let graph: Uint8Array = new Uint8Array(0);
    for (let i = 0; i < depth; i++) graph = field(1, field(5, field(6, graph)));
    return graph;
  };
  const types = (depth: number): Uint8Array => {
    const pieces: Uint8Array[] = [];
    let size = 0;
    for (let i = 0; i < depth; i++) {
      for (const tag of [0x0a, 0x22]) {
        pieces.push(Uint8Array.from([tag, ...varint(size)]));
        size += pieces.at(-1)!.length;
      }
    }
    return Buffer.concat(pieces.reverse());
  };
});

test('names that are not UTF-8 come back byte for byte', async () => {
  const names = [Uint8Array.of(0xff, 0x61), Uint8Array.of(0xfe, 0x61), Uint8Array.of(0xc3), Uint8Array.of(0xed, 0xa0, 0x80)];
  const graph = message(...names.map((name) => field(1, message(field(2, name), field(4, name)))));
  const bytes = await layoutToBytes(serializeOnnx(await readOnnx(memorySource(inModel(graph))))[0]!);
  for (const name of names) expect(Buffer.from(bytes).includes(Buffer.from(name))).toBe(true);
});

describe('external data files', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'penjing-external-'));
    await mkdir(join(folder, 'model/inner'), { recursive: true });
    await mkdir(join(folder, 'model/folder.bin'));
    await writeFile(join(folder, 'secret'), 'secret');
    await writeFile(join(folder, 'model/w.bin'), 'weights');
    await writeFile(join(folder, 'model/inner/w.bin'), 'inner weights');
    await symlink(join(folder, 'secret'), join(folder, 'model/link.bin'));
    await symlink(join(folder, 'model/w.bin'), join(folder, 'model/inside-link.bin'));
    await symlink(folder, join(folder, 'model/up'));
    await link(join(folder, 'secret'), join(folder, 'model/hard.bin'));
    if (process.platform !== 'win32') spawnSync('mkfifo', [join(folder, 'model/fifo.bin')]);
  });
  afterAll(() => rm(folder, { recursive: true }));

  test.each(['w.bin', './w.bin', 'inner/w.bin', 'inner//w.bin'])('%s is read', async (location) => {
    await using file = await openExternalFile(join(folder, 'model'), location);
    expect(Buffer.from(await file.read(file.size - 7, 7)).toString()).toBe('weights');
    await expect(file.read(1, file.size)).rejects.toMatchObject({ code: 'E_TRUNCATED' });
  });

  test.each([
    '../secret', 'link.bin', 'inside-link.bin', 'up/secret', 'hard.bin', 'folder.bin', 'fifo.bin', 'missing.bin', 'w.bin/x', '/etc/passwd', 'w.bin\0',
  ])('%j is refused', async (location) => {
    await expect(openExternalFile(join(folder, 'model'), location)).rejects.toMatchObject({ code: 'E_EXTERNAL_DATA' });
  });
});

function smallModel(): Model {
  const graph = new Graph('small');
  const model = new Model(graph);
  model.opsetImports.set('', 21);
  const x = new Value('x', { kind: 'tensor', dtype: 'float32', shape: ['n', 4] });
  graph.inputs.push(x);
  const weight = graph.addInitializer('w', new DenseTensor('float32', [4, 4], new Uint8Array(64).fill(7)));
  const [product, y] = [new Value('product', { kind: 'tensor', dtype: 'float32' }), new Value('y', { kind: 'sequence', of: undefined })];
  const inner = new Graph('inner');
  const result = new Value('result');
  inner.append(new Node('Neg', [product], [result]));
  inner.outputs.push(result);
  graph.append(new Node('MatMul', [x, weight], [product], { name: 'first', attributes: [['list', attribute.ints([1, -1])]] }));
  graph.append(new Node('If', [product, null], [y], { attributes: [['then_branch', attribute.graph(inner)], ['text', attribute.string('é')]] }));
  graph.outputs.push(y);
  model.metadata.set('key', 'value');
  return model;
}
