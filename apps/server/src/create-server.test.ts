/** The whole server with a model in a process of its own: text comes, the process is killed, the server says so and has it back. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { tinyDecoder } from '../../../packages/runtime/src/testing/tiny-decoder.js';
import { writeModelFolder } from '../../../packages/runtime/src/testing/model-folder.js';
import { createServer, type PenjingServer } from './create-server.js';

let folder: string;
let server: PenjingServer;
let client: OpenAI;
let url: string;

beforeAll(async () => {
  folder = await writeModelFolder({ '': tinyDecoder({ context: 4096 }) }, {}, { context: 4096 });
  server = createServer({ port: 0, log: { level: 'silent' }, models: [{ name: 'tiny', path: folder, threads: 1 }, { name: 'other', path: folder, threads: 1 }] });
  await server.load();
  url = (await server.listen()).main.url;
  client = new OpenAI({ apiKey: 'none', baseURL: `${url}/v1`, maxRetries: 0 });
}, 120_000);
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

/** `ignore_eos` is no field of OpenAI's: the model's weights are random, and it might end anywhere. */
const ask = { model: 'tiny', messages: [{ role: 'user' as const, content: 'abc' }], ignore_eos: true };

test('the same seed gives the same text, alone, among others, and in pieces', async () => {
  const options = { ...ask, max_tokens: 30, seed: 11 };
  const alone = await client.chat.completions.create(options);
  const together = await Promise.all([options, { ...options, seed: 12 }, options, { ...options, n: 3 }].map((each) => client.chat.completions.create(each)));
  let pieces = '';
  for await (const chunk of await client.chat.completions.create({ ...options, stream: true })) pieces += chunk.choices[0]?.delta.content ?? '';
  const text = alone.choices[0]!.message.content;
  expect(together.map(({ choices }) => choices[0]!.message.content === text)).toEqual([true, false, true, true]);
  expect(pieces).toBe(text);
  expect(alone.usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 30 });
});

test('a prompt beyond the context is told, with the code that clients know', async () => {
  await expect(client.chat.completions.create({ ...ask, max_tokens: 5000 })).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' });
});

test('a client that leaves a stream frees the engine', async () => {
  const stream = await client.chat.completions.create({ ...ask, max_tokens: 4000, stream: true });
  for await (const _ of stream) break;
  await vi.waitFor(() => expect(server.models.get('tiny').health()).toMatchObject({ inFlight: 0 }));
  await vi.waitFor(() => expect(server.models.get('tiny').admission.active).toBe(0));
});

test('SIGKILL in mid-stream: an error within a second, readiness turns, others do not notice, and it comes back', { timeout: 120_000 }, async () => {
  const other = client.chat.completions.create({ ...ask, model: 'other', max_tokens: 200 });
  const stream = await client.chat.completions.create({ ...ask, max_tokens: 4000, stream: true });
  let killed = 0;
  const reading = async (): Promise<void> => {
    for await (const _ of stream) {
      if (killed !== 0) continue;
      killed = performance.now();
      process.kill(server.models.get('tiny').health()!.pid!, 'SIGKILL');
    }
  };
  await expect(reading()).rejects.toMatchObject({ code: 'service_unavailable' });
  expect(performance.now() - killed).toBeLessThan(1000);
  expect((await fetch(`${url}/v2/health/ready`)).status).toBe(503);
  const refusal = await client.chat.completions.create(ask).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ status: 503 });
  expect((await other).usage!.completion_tokens).toBe(200);
  await vi.waitFor(async () => expect((await fetch(`${url}/v2/health/ready`)).status).toBe(200), { timeout: 60_000, interval: 100 });
  expect((await client.chat.completions.create({ ...ask, max_tokens: 5 })).usage!.completion_tokens).toBe(5);
  expect(server.models.get('tiny').restarts).toBe(1);
});

test('a model is loaded anew while it answers, and nothing is lost', { timeout: 120_000 }, async () => {
  const pid = server.models.get('tiny').health()!.pid;
  const calls: Promise<OpenAI.ChatCompletion>[] = [];
  let over = false;
  const asking = (async () => {
    while (!over) {
      calls.push(client.chat.completions.create({ ...ask, max_tokens: 20 }));
      await Promise.allSettled(calls.slice(-1));
    }
  })();
  expect((await fetch(`${url}/admin/models/tiny/load`, { method: 'POST' })).status).toBe(200);
  over = true;
  await asking;
  const replies = await Promise.all(calls);
  expect(replies.length).toBeGreaterThan(0);
  expect(server.models.get('tiny').health()!.pid).not.toBe(pid);
});

test('what cannot be loaded is told, and the rest is served', { timeout: 60_000 }, async () => {
  const broken = await mkdtemp(join(tmpdir(), 'penjing-broken-'));
  await mkdir(join(broken, 'bad'));
  await writeFile(join(broken, 'bad/model.onnx'), 'no model');
  await using another = createServer({ log: { level: 'silent' }, repository: broken });
  await expect(another.load()).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
  expect(await another.models.index()).toMatchObject([{ name: 'bad', state: 'UNAVAILABLE', reason: expect.stringContaining('ModelProto') as string }]);
  expect((await another.fetch(new Request('http://localhost/v2/health/ready'))).status).toBe(503);
  await rm(broken, { recursive: true });
});

test('what is named and is not there is told before anything listens', async () => {
  const lone = join(folder, 'lone.onnx');
  await writeFile(lone, 'no model');
  const wrong = [
    { models: [{ path: join(folder, 'nowhere.onnx') }] },
    { models: [{ path: folder, plan: join(folder, 'nowhere.json') }] },
    { models: [{ path: folder, ladder: [{ variant: 'student', path: join(folder, 'nowhere') }] }] },
    // one file has no variants
    { models: [{ path: lone, ladder: [{ variant: 'q4' }] }] },
    { repository: join(folder, 'nowhere') },
  ];
  for (const options of wrong) await expect(createServer(options).check(), JSON.stringify(options)).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  await createServer({ models: [{ path: lone }], repository: folder }).check();
  await createServer({ models: [{ path: join(folder, 'elsewhere'), stages: { plan: lone, addresses: ['127.0.0.1:1'] } }] }).check();
});

test('of several models that cannot be loaded, the one that was named is told', async () => {
  const root = await mkdtemp(join(tmpdir(), 'penjing-both-'));
  await mkdir(join(root, 'shelf/early'), { recursive: true });
  await writeFile(join(root, 'shelf/early/model.onnx'), 'no model');
  await writeFile(join(root, 'shelf/early/serve.json'), '{');
  await writeFile(join(root, 'named.onnx'), 'no model');
  await using server = createServer({ log: { level: 'silent' }, models: [{ path: join(root, 'named.onnx') }], repository: join(root, 'shelf') });
  await expect(server.load()).rejects.toThrow('ModelProto');
  expect((await server.models.index()).map(({ name, state }) => [name, state])).toEqual(expect.arrayContaining([['named', 'UNAVAILABLE'], ['early', 'UNAVAILABLE']]));
  await rm(root, { recursive: true });
});
