/** A model of gigabytes opens in milliseconds: its weights are stepped over, inside the file and outside of it. */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteSource, Graph, lazy, Model, Node, Value } from '@penjing/core';
import { type FileLayout, readOnnx, serializeOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { afterAll, beforeAll, expect, test } from 'vitest';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-large-'))));
afterAll(() => rm(folder, { recursive: true }));

/** 250 layers of 8 MB: 2.05 GB with the last bytes of protobuf still in reach. */
function largeModel(layers: number): Model {
  const graph = new Graph('main');
  const model = new Model(graph);
  model.opsetImports.set('', 21);
  let x = new Value('x', { kind: 'tensor', dtype: 'bfloat16', shape: ['n', 1000] });
  graph.inputs.push(x);
  for (let i = 0; i < layers; i++) {
    const weight = graph.addInitializer(`w${i}`, lazy.fill('bfloat16', [4096, 1000], 0));
    const y = new Value(`y${i}`, { kind: 'tensor', dtype: 'bfloat16', shape: ['n', 4096] });
    graph.append(new Node('MatMul', [x, weight], [y], { name: `matmul ${i}` }));
    x = y;
  }
  graph.outputs.push(x);
  return model;
}

/** A sparse file: the known bytes, and holes for the weights. */
async function writeSparse(file: FileLayout): Promise<string> {
  const path = join(folder, file.name);
  const handle = await open(path, 'w');
  await handle.truncate(file.size);
  for (const piece of file.pieces) if (piece.kind === 'bytes') await handle.write(piece.bytes, 0, piece.bytes.length, piece.offset);
  await handle.close();
  return path;
}

/** A source that counts what is read. */
async function counted(path: string): Promise<ByteSource & { readonly total: () => number }> {
  const file = await fileSource(path);
  let total = 0;
  const read = (offset: number, length: number): Promise<Uint8Array> => ((total += length), file.read(offset, length));
  return { uri: file.uri, size: file.size, descriptor: file.descriptor, read, total: () => total };
}

test('2 GB inside', async () => {
  const [file] = serializeOnnx(largeModel(250), { externalData: 'never' });
  expect(file!.size).toBeGreaterThan(2e9);
  const source = await counted(await writeSparse(file!));
  const start = performance.now();
  const model = await readOnnx(source);
  const time = performance.now() - start;
  console.log(`${(file!.size / 1e9).toFixed(2)} GB opened in ${time.toFixed(0)} ms, ${(source.total() / 1e6).toFixed(1)} MB read`);
  expect(model.graph.initializers.size).toBe(250);
  expect(source.total()).toBeLessThan(10e6);
  expect(time).toBeLessThan(1000); // some 50 ms; the rest is for a busy machine
});

test('8 GB outside', async () => {
  const files = serializeOnnx(largeModel(1000), { name: 'outside.onnx' });
  expect(files).toHaveLength(2);
  expect(files[1]!.size).toBeGreaterThan(8e9);
  const source = await counted(await writeSparse(files[0]!));
  const data = await counted(await writeSparse(files[1]!));
  const model = await readOnnx(source, { externalSource: async () => data });
  expect(data.total()).toBe(0);
  expect(model.graph.initializers.get('w999')!.tensor).toMatchObject({ kind: 'lazy', expr: { op: 'source', offset: 999 * 8_192_000 } });
});
