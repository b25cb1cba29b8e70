import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blobSource } from './blob-source.js';
import { httpSource } from './http-source.js';
import { openSafetensors } from './safetensors/index.js';

const header = '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
const file = Buffer.concat([Buffer.from(BigUint64Array.of(BigInt(header.length)).buffer), Buffer.from(header), Buffer.from(Float32Array.of(1.5, -2).buffer)]);

describe('blobSource', () => {
  test('reads ranges, and only inside', async () => {
    const source = blobSource(new Blob([new Uint8Array(file)]));
    expect([...(await source.read(8, 4))]).toEqual([...file.subarray(8, 12)]);
    await expect(source.read(file.length, 1)).rejects.toMatchObject({ code: 'E_TRUNCATED' });
    const { tensors } = await openSafetensors(source);
    expect([...new Float32Array((await tensors.get('w')!.load()).slice().buffer)]).toEqual([1.5, -2]);
  });
});

describe('httpSource', () => {
  let server: Server;
  let tag = '"one"';
  beforeAll(async () => {
    server = createServer((request, response) => {
      const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '');
      if (request.url === '/missing') return void response.writeHead(404).end();
      if (request.url === '/whole' || !range) return void response.writeHead(200).end(file);
      const [from, to] = [Number(range[1]), Number(range[2])];
      const end = request.url === '/short' && to > 0 ? to : to + 1;
      response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${file.length}`, etag: tag }).end(file.subarray(from, end));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => void server.close());
  const url = (path: string): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;

  test('opens a checkpoint by ranges', async () => {
    const { tensors } = await openSafetensors(await httpSource(url('/model')));
    expect([...new Float32Array((await tensors.get('w')!.load()).slice().buffer)]).toEqual([1.5, -2]);
  });

  test('refuses what is not served by ranges, or not whole, or not the same file', async () => {
    await expect(httpSource(url('/missing'))).rejects.toMatchObject({ code: 'E_HTTP' });
    await expect(httpSource(url('/whole'))).rejects.toMatchObject({ code: 'E_HTTP', hint: expect.stringContaining('ranges') as string });
    await expect((await httpSource(url('/short'))).read(0, 8)).rejects.toMatchObject({ code: 'E_TRUNCATED' });
    const source = await httpSource(url('/model'));
    tag = '"two"';
    await expect(source.read(0, 8)).rejects.toMatchObject({ code: 'E_SOURCE_CHANGED' });
    await expect(httpSource('http://127.0.0.1:1/')).rejects.toMatchObject({ code: 'E_HTTP' });
  });
});
