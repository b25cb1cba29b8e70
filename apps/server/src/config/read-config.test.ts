import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ServerOptions } from './schema.js';
import { parseConfig, readServerConfig } from './read-config.js';

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-config-'))));
afterAll(() => rm(folder, { recursive: true }));

/** Where gRPC listens with this file and these options. */
async function grpcWith(content: object, options: ServerOptions, environment = {}): Promise<unknown> {
  const file = join(folder, 'server.json');
  await writeFile(file, JSON.stringify(content));
  return (await readServerConfig({ file, options, environment })).grpc;
}

test('gRPC listens where HTTP does, whoever says where that is', async () => {
  expect(await grpcWith({ host: '10.0.0.1' }, { grpc: { port: 1 } })).toEqual({ host: '10.0.0.1', port: 1 });
  expect(await grpcWith({ host: '10.0.0.1' }, { grpc: { port: 1 }, host: '10.0.0.2' })).toEqual({ host: '10.0.0.2', port: 1 });
  expect(await grpcWith({ grpc: {} }, {}, { PENJING_SERVER_HOST: '10.0.0.3' })).toEqual({ host: '10.0.0.3', port: 8001 });
  expect(await grpcWith({ grpc: {} }, {})).toEqual({ host: '127.0.0.1', port: 8001 });
  expect(await grpcWith({ host: '10.0.0.1' }, {})).toBeUndefined();
});

test('the address of gRPC that the file names stays when a port is given', async () => {
  expect(await grpcWith({ host: '10.0.0.1', grpc: { host: '127.0.0.1', port: 9 } }, { grpc: { port: 1 } })).toEqual({ host: '127.0.0.1', port: 1 });
  await expect(grpcWith({ grpc: { hots: '127.0.0.1' } }, { grpc: { port: 1 } })).rejects.toMatchObject({ code: 'E_CONFIG', message: expect.stringContaining('grpc') as string });
});

test('no model is called as a folder above it', () => {
  for (const name of ['.', '..']) expect(() => parseConfig({ models: [{ name, path: '/m' }] })).toThrow(expect.objectContaining({ code: 'E_CONFIG' }));
  expect(parseConfig({ models: [{ name: '..a', path: '/m' }] }).models[0]!.name).toBe('..a');
});
