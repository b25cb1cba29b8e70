import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PageFiles, readPageFiles } from './page-files.js';
import { pageResponse, unbuiltResponse } from './page-response.js';

let folder: string;
let files: PageFiles;
const script = 'console.log("penjing");'.repeat(40);

beforeAll(async () => {
  const root = await mkdtemp(join(tmpdir(), 'penjing-page-'));
  folder = join(root, 'web');
  await mkdir(join(folder, 'ui'), { recursive: true });
  await writeFile(join(root, 'secret.txt'), 'secret');
  await writeFile(join(folder, 'index.html'), '<!doctype html><title>Penjing</title>');
  await writeFile(join(folder, 'ui/index-Ab3_-9xZ.js'), script);
  await writeFile(join(folder, 'notes.md'), 'not part of the page');
  files = await readPageFiles(folder);
});
afterAll(() => rm(join(folder, '..'), { recursive: true }));

const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): Response | undefined =>
  pageResponse(files, new Request(`http://localhost${path}`, { headers, method }));

describe('the page', () => {
  test('comes with a policy that allows nothing from elsewhere', async () => {
    const response = get('/')!;
    expect(await response.text()).toContain('<title>Penjing</title>');
    const policy = response.headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('cache-control')).toBe('no-cache');
  });

  test('keeps hashed files for ever and packs them for those who can unpack', async () => {
    const path = '/ui/index-Ab3_-9xZ.js';
    const plain = get(path)!;
    expect(plain.headers.get('cache-control')).toContain('immutable');
    expect(await plain.text()).toBe(script);
    const packed = get(path, { 'accept-encoding': 'br, gzip' })!;
    expect(packed.headers.get('content-encoding')).toBe('gzip');
    expect(gunzipSync(new Uint8Array(await packed.arrayBuffer())).toString()).toBe(script);
    expect(packed.headers.get('etag')).not.toBe(plain.headers.get('etag'));
    expect(get(path, { 'accept-encoding': 'gzip;q=0' })!.headers.has('content-encoding')).toBe(false);
  });

  test('answers 304 to those who have it', () => {
    const tag = get('/')!.headers.get('etag')!;
    for (const condition of [tag, `W/${tag}`, `"other", ${tag}`, '*']) {
      expect(get('/', { 'if-none-match': condition })!.status, condition).toBe(304);
    }
    expect(get('/', { 'if-none-match': '"other"' })!.status).toBe(200);
  });

  test('sends no body to HEAD, and leaves other methods to the routes', async () => {
    const head = get('/', {}, 'HEAD')!;
    expect(await head.text()).toBe('');
    expect(Number(head.headers.get('content-length'))).toBeGreaterThan(0);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) expect(get('/', {}, method), method).toBeUndefined();
  });

  test('shows the page to a person at a wrong address, and nothing to programs and below the APIs', () => {
    const html = { accept: 'text/html,application/xhtml+xml' };
    expect(get('/models', html)!.headers.get('content-type')).toContain('text/html');
    expect(get('/models')).toBeUndefined();
    for (const path of ['/v1/nothing', '/admin', '/models/tiny', '/v2', '/penjing/models/x', '/metrics', '/favicon.ico', '/ui/old-12345678.js']) expect(get(path, html), path).toBeUndefined();
  });

  test.each(['/../secret.txt', '/%2e%2e/secret.txt', '/ui/..%2f..%2fsecret.txt', '/..%5csecret.txt', '//secret.txt', '/ui//index-Ab3_-9xZ.js', '/ui/%00', '/index.html%00.js', '/notes.md', '/INDEX.HTML', '/ui/', '/.env', '/%E0%A4%A'])(
    'refuses %s',
    (path) => expect(get(path, { accept: 'text/html' })).toBeUndefined(),
  );

  test('that is not built says how to build it, under the same policy', async () => {
    const response = unbuiltResponse();
    expect([response.status, response.headers.get('content-security-policy')]).toEqual([404, get('/')!.headers.get('content-security-policy')]);
    const [, name] = /<pre>npx turbo run build --filter=(\S+)\.\.\.<\/pre>/.exec(await response.text())!;
    const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as object;
    expect(manifest).toMatchObject({ name, scripts: { build: expect.stringContaining('vite build') as string } });
  });

  test('a folder without an index is no page', async () => {
    await expect(readPageFiles(join(folder, 'ui'))).rejects.toMatchObject({ code: 'E_PAGE' });
    await expect(readPageFiles(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'E_PAGE' });
  });
});
