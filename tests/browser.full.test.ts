/** A real browser prunes and quantizes the embedded model over onnxruntime-web; what it made runs the same on Node. */
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { DenseTensor, type WeightRecord } from '@penjing/core';
import { loadTokenizer, ortEngine, randomFeeds } from '@penjing/runtime';
import { build } from 'tsup';
import { expect, test } from 'vitest';

const here = import.meta.dirname;
const clients = join(here, 'clients');
const sapling = join(here, '../models/sapling');
const files = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
const browsers = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const browser = process.env['PENJING_BROWSER'] ?? browsers.find((path) => existsSync(path));

interface Done {
  readonly error?: string;
  readonly engine: string;
  readonly bytes: number;
  readonly seconds: number;
  readonly records: readonly WeightRecord[];
}

test.skipIf(!process.env['PENJING_FULL'] || browser === undefined)('a browser compresses the embedded model (skipped without Chromium: install it, or name it in PENJING_BROWSER)', async () => {
  if (!existsSync(join(clients, 'node_modules', 'onnxruntime-web'))) {
    await promisify(execFile)('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline'], { cwd: clients });
  }
  const tokens = (await loadTokenizer(sapling)).encode((await readFile(join(sapling, 'heldout.txt'), 'utf8')).slice(0, 20_000));
  const question = tokens.slice(0, 64);
  const calibration = Array.from({ length: 4 }, (_, i) => tokens.slice(1_000 + i * 128, 1_128 + i * 128));
  const program = await bundle(join(here, 'browser/compress.ts'));
  const pages = new Map<string, string | Uint8Array>([
    ['/', '<!doctype html><title>Penjing</title><script type="module">new Worker("/compress.js", { type: "module" })</script>'],
    ['/compress.js', program],
    ['/task.json', JSON.stringify({ files, calibration, question })],
  ]);
  const results = await visit(pages);
  const done = JSON.parse(new TextDecoder().decode(results.get('done.json'))) as Done;
  expect(done.error).toBeUndefined();
  expect(done.engine).toContain('onnxruntime-web');
  console.log(`browser: ${done.seconds.toFixed(1)} s, ${done.bytes} bytes`);
  expect(done.records.filter(({ method, sparsity }) => method.startsWith('magnitude') && Math.abs((sparsity ?? 0) - 0.2) < 0.01).length).toBeGreaterThan(20);
  const quantized = done.records.filter(({ method }) => method.startsWith('gptq'));
  expect(quantized.length).toBeGreaterThan(20);
  for (const { objective } of quantized) expect(objective).toBeGreaterThan(0);

  const model = results.get('model.onnx')!;
  expect(model.length).toBe(done.bytes);
  await using executor = await ortEngine().loadBytes(model);
  const dims = { batch_size: 1, sequence_length: 64, total_sequence_length: 64, past_sequence_length: 0 };
  const feeds = { ...randomFeeds(executor.inputs, { dims }), input_ids: DenseTensor.of('int64', [1, 64], BigInt64Array.from(question, BigInt)) };
  const { logits } = await executor.run(feeds, { outputs: ['logits'] });
  const here64 = (logits as DenseTensor).data as Float32Array;
  const there = new Float32Array(results.get('logits.f32')!.slice().buffer);
  expect(there.length).toBe(here64.length);
  let worst = 0;
  for (let i = 0; i < there.length; i++) worst = Math.max(worst, Math.abs(there[i]! - here64[i]!));
  expect(worst).toBeLessThan(2e-3);
}, 600_000);

/** A program and all that it imports, from the TypeScript sources, as one module. Anything of Node in it would fail here. */
async function bundle(entry: string): Promise<Uint8Array> {
  const outDir = await mkdtemp(join(tmpdir(), 'penjing-bundle-'));
  try {
    await build({
      entry: { program: entry }, outDir, format: 'esm', platform: 'browser', target: 'es2022', noExternal: [/^[^/]/], config: false, silent: true, clean: false, outExtension: () => ({ js: '.js' }),
      esbuildOptions(options) {
        options.conditions = ['@penjing/source'];
      },
    });
    return await readFile(join(outDir, 'program.js'));
  } finally {
    await rm(outDir, { recursive: true });
  }
}

const types: Readonly<Record<string, string>> = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.json': 'application/json' };

/** Serves the pages, ONNX Runtime and the model to a browser until it has sent `done.json`; gives all that it sent. */
async function visit(pages: ReadonlyMap<string, string | Uint8Array>): Promise<Map<string, Uint8Array>> {
  const results = new Map<string, Uint8Array>();
  const profile = await mkdtemp(join(tmpdir(), 'penjing-browser-'));
  let finish = (): void => {};
  let fail = (_error: Error): void => {};
  const finished = new Promise<void>((resolve, reject) => ((finish = resolve), (fail = reject)));
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    if (request.method === 'POST') {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
        const name = path.replace('/result/', '');
        results.set(name, Buffer.concat(chunks));
        response.end();
        if (name === 'done.json') finish();
      });
      return;
    }
    const type = { 'content-type': types[extname(path)] ?? 'text/html' };
    const local = path.startsWith('/ort/') ? join(clients, 'node_modules/onnxruntime-web/dist', path.slice(5)) : join(sapling, path.replace('/model/', ''));
    const known = pages.get(path);
    if (known !== undefined) response.writeHead(200, type).end(known);
    else readFile(local).then((bytes) => response.writeHead(200, type).end(bytes), () => response.writeHead(404).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const args = ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', `--user-data-dir=${profile}`, `http://127.0.0.1:${port}/`];
  const child = spawn(browser!, args, { stdio: 'ignore' });
  child.on('error', fail).on('exit', (code) => fail(new Error(`the browser ended with code ${code} before it was done`)));
  try {
    await finished;
    return results;
  } finally {
    child.removeAllListeners('exit').kill('SIGKILL');
    server.close();
    server.closeAllConnections();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
