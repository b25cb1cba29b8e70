import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { denseOf, GraphBuilder, Model, tensorType } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createServer, type PenjingServer } from '../create-server.js';
import { description, fakeHosts } from '../testing/fake-host.js';
import { SharedAnswers } from './shared-answers.js';

let root: string;
let server: PenjingServer;

function tiny(): Model {
  const model = new Model();
  model.opsetImports.set('', 18);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', [1, 2]));
  b.output(b.op('MatMul', [x, b.initializer('w', denseOf('float32', [2, 2], [1, 2, 3, 4]))]), 'y', tensorType('float32', [1, 2]));
  return model;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'penjing-pages-'));
  const folder = join(root, 'tiny');
  await mkdir(join(folder, 'onnx'), { recursive: true });
  await mkdir(join(folder, 'reports'));
  await writeFile(join(folder, 'onnx', 'model.onnx'), await layoutToBytes(serializeOnnx(tiny())[0]!));
  await writeFile(join(folder, 'reports', 'fp32.html'), '<h1>Report</h1><script>alert(1)</script>');
  await writeFile(join(root, 'secret.html'), 'secret');
  await symlink(join(root, 'secret.html'), join(folder, 'reports', 'q4.html'));
  await writeFile(join(root, 'broken.onnx'), 'not a graph');
  const { create } = fakeHosts({}, { describe: ({ path }) => ({ ...description, task: path.includes('tiny') ? 'text-generation' : 'embedding' }) });
  server = createServer({ port: 0, log: { level: 'silent' }, models: [{ name: 'tiny', path: folder }, { name: 'broken', path: join(root, 'broken.onnx') }] }, { createHost: create });
  await server.load();
});
afterAll(async () => {
  await server.close();
  await rm(root, { recursive: true });
});

const ask = (path: string): Promise<Response> => server.fetch(new Request(`http://localhost${path}`));

describe('what the page asks for', () => {
  test('are the models, what they can do, and whether they can be managed here', async () => {
    expect(await (await ask('/penjing/models')).json()).toMatchObject({
      manage: true,
      models: [{ name: 'broken', state: 'READY', tasks: ['embeddings', 'infer'] }, { name: 'tiny', state: 'READY', tasks: ['chat', 'completions'], contextLength: 64 }],
    });
    await using other = createServer({ port: 0, admin: { port: 0 }, log: { level: 'silent' } });
    expect(await (await other.fetch(new Request('http://localhost/penjing/models'))).json()).toEqual({ models: [], manage: false });
  });

  test('are the graphs of a model and one of them, read elsewhere', { timeout: 180_000 }, async () => {
    expect(await (await ask('/penjing/models/tiny/graphs')).json()).toMatchObject({ graphs: [{ name: 'onnx/model.onnx', variant: 'fp32', report: true, serving: true }] });
    expect(await (await ask('/penjing/models/tiny/graph')).json()).toMatchObject({ name: 'onnx/model.onnx', totals: { operators: 1, weights: 1, bytes: 16 } });
    const missing = await ask('/penjing/models/tiny/graph?graph=../broken.onnx');
    expect([missing.status, await missing.json()]).toMatchObject([404, { error: { hint: 'It has onnx/model.onnx.' } }]);
    const broken = await ask('/penjing/models/broken/graph');
    expect(broken.status).toBe(500);
    expect(await broken.text()).not.toContain(root);
  });

  test('are reports, which come without the right to do anything', async () => {
    const report = await ask('/penjing/models/tiny/reports/fp32');
    expect(await report.text()).toContain('<h1>Report</h1>');
    expect(report.headers.get('content-security-policy')).toBe("default-src 'none'; style-src 'unsafe-inline'; sandbox");
    for (const path of ['q4', 'q8', '..%2f..%2fsecret', '%2e%2e', 'fp32.html', 'x'.repeat(100), '%00']) expect((await ask(`/penjing/models/tiny/reports/${path}`)).status, path).toBe(404);
    for (const path of ['/penjing/models/nothing/graphs', '/penjing/models/..%2ftiny/graphs', '/penjing/models/%00/graph', '/penjing/models/nothing/reports/fp32']) expect((await ask(path)).status, path).toBe(404);
  });
});

test('answers are shared, kept for a while, and few are worked on at a time', async () => {
  const answers = new SharedAnswers<number>({ kept: 2, forMs: 60_000, running: 1, waiting: 1 });
  let asked = 0;
  const slow = async (): Promise<number> => (await new Promise((resolve) => setTimeout(resolve, 20)), ++asked);
  const [a, again, b] = [answers.get('a', slow), answers.get('a', slow), answers.get('b', slow)];
  await expect(answers.get('c', slow)).rejects.toMatchObject({ code: 'E_OVERLOADED' });
  expect(await Promise.all([a, again, b])).toEqual([1, 1, 2]);
  expect(await answers.get('c', slow)).toBe(3);
  expect(await answers.get('a', slow)).toBe(4);
  await expect(answers.get('d', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await answers.get('d', slow)).toBe(5);
});
