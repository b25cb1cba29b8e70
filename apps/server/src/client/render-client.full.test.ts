import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createServer, type PenjingServer } from '../create-server.js';
import type { ModelDescription } from '../host/protocol.js';
import { fakeHosts } from '../testing/fake-host.js';
import { type ClientSignature, renderClient } from './render-client.js';

const description: ModelDescription = {
  task: 'tensors',
  inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 3] }, { name: 'ids-1', dtype: 'int64', shape: [2] }, { name: 'words', dtype: 'string', shape: ['n'] }],
  outputs: [{ name: 'y', dtype: 'float32', shape: ['batch', 3] }, { name: 'ids', dtype: 'int64', shape: [2] }, { name: 'said', dtype: 'string', shape: ['n'] }],
  bytes: 1, contextLength: undefined, hasChatTemplate: false,
};

let server: PenjingServer;
let url: string;
let folder: string;
beforeAll(async () => {
  const hosts = fakeHosts({
    infer: async ({ inputs: { x, 'ids-1': ids, words } }) => ({
      outputs: { y: { ...x!, data: Float32Array.from(new Float32Array(x!.data as ArrayBuffer), (value) => value * 2).buffer }, ids: ids!, said: { ...words!, data: [...(words!.data as string[])].reverse() } },
      computeMs: 1,
    }),
  }, { describe: () => description });
  server = createServer({ port: 0, log: { level: 'silent' }, models: [{ name: 'odd.model', path: '/m' }] }, { createHost: hosts.create });
  await server.load();
  url = (await server.listen()).main.url;
  folder = await mkdtemp(join(tmpdir(), 'penjing-client-'));
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const options: ts.CompilerOptions = { strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'], types: [], noEmit: true };

/** What the compiler says of files in the folder. */
function faultsOf(...names: string[]): string[] {
  const program = ts.createProgram(names.map((name) => join(folder, name)), options);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

test('the client that is written compiles, refuses what does not fit, and asks the server', { timeout: 30_000 }, async () => {
  const signature = (await (await fetch(`${url}/v2/models/odd.model`)).json()) as ClientSignature;
  const text = renderClient(signature, url);
  await writeFile(join(folder, 'client.ts'), text);
  const fitting = `{ x: { shape: [2, 3], data: new Float32Array(6) }, 'ids-1': { shape: [2], data: new BigInt64Array(2) }, words: { shape: [1], data: ['a'] } }`;
  await writeFile(join(folder, 'use.ts'), `import { infer } from './client';
const { y, said } = await infer(${fitting});
export const width: 3 = y.shape[1];
export const numbers: Float32Array = y.data;
export const texts: readonly string[] = said.data;
// @ts-expect-error another size
await infer(${fitting.replace('[2, 3]', '[2, 4]')});
// @ts-expect-error another type
await infer(${fitting.replace('new Float32Array(6)', 'new Float64Array(6)')});
// @ts-expect-error an input is missing
await infer(${fitting.replace("'ids-1'", 'ids')});
`);
  expect(faultsOf('client.ts', 'use.ts')).toEqual([]);

  await writeFile(join(folder, 'client.mjs'), ts.transpileModule(text, { compilerOptions: options }).outputText);
  interface Client {
    readonly infer: (inputs: object, options?: object) => Promise<object>;
  }
  const { infer } = (await import(join(folder, 'client.mjs'))) as Client;
  const inputs = { x: { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6.5) }, 'ids-1': { shape: [2], data: BigInt64Array.of(1n, -(2n ** 62n)) }, words: { shape: [3], data: ['盆景', '', 'c'] } };
  expect(await infer(inputs)).toEqual({
    y: { shape: [2, 3], data: Float32Array.of(2, 4, 6, 8, 10, 13) }, ids: { shape: [2], data: inputs['ids-1'].data }, said: { shape: [3], data: ['c', '', '盆景'] },
  });
  await expect(infer({ ...inputs, x: { shape: [3, 3], data: new Float32Array(6) } })).rejects.toThrow(TypeError);
  await expect(infer(inputs, { version: '7' })).rejects.toMatchObject({ name: 'InferError', status: 404 });
  await expect(infer(inputs, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
});

test('every datatype has a type and a reader', async () => {
  const datatypes = ['BOOL', 'UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', 'INT16', 'INT32', 'INT64', 'FP16', 'BF16', 'FP32', 'FP64', 'BYTES'];
  const tensors = datatypes.map((datatype) => ({ name: `a ${datatype} */`, datatype, shape: [-1] }));
  const text = renderClient({ name: 'all', inputs: tensors, outputs: tensors }, 'http://x');
  await writeFile(join(folder, 'all.ts'), text);
  expect(faultsOf('all.ts')).toEqual([]);
  for (const datatype of datatypes) expect(text).toMatch(new RegExp(`^ {2}${datatype}: \\(`, 'm'));
  expect(() => renderClient({ name: 'a', inputs: [{ name: 'x', datatype: 'INT4', shape: [] }], outputs: [] }, 'http://x')).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED' }));
});
