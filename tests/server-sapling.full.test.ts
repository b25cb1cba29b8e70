/** `penjing serve` with the embedded model: the official client, the examples of the pages, an end by SIGTERM that loses nothing. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { penjing } from './support/penjing-process.js';
import { endServed, serve, type Served } from './support/served.js';
import { TaskFolders } from './support/task-folder.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);
let folder: string;
let folders: TaskFolders;
let server: Served;
let client: OpenAI;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-serve-'));
  folders = await TaskFolders.open();
  const { code, stderr } = await penjing(['convert', join(root, 'models/sapling'), '-o', join(folder, 'sapling')]);
  expect(code, stderr).toBe(0);
  server = await serve([join(folder, 'sapling'), `words=${await folders.convert('sentences/bert-mean', 'sentence-similarity')}`, '--log-level', 'warn', '--threads', '1']);
  client = new OpenAI({ apiKey: 'none', baseURL: `${server.url}/v1`, maxRetries: 0 });
}, 300_000);
afterAll(async () => {
  await endServed(server);
  await folders[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const ask = { model: 'sapling', messages: [{ role: 'user' as const, content: 'Speak, sir.' }], max_tokens: 40, seed: 7 };

describe('the official client', () => {
  test('lists models', async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id).sort()).toEqual(['sapling', 'words']);
  });

  test('chats, whole and in pieces, beside others', async () => {
    const whole = await client.chat.completions.create(ask);
    const streams = await Promise.all(Array.from({ length: 6 }, async (_, i) => {
      const stream = client.chat.completions.stream({ ...ask, seed: i === 0 ? 7 : i, stream_options: { include_usage: true } });
      return stream.finalChatCompletion();
    }));
    expect(streams[0]!.choices[0]!.message.content).toBe(whole.choices[0]!.message.content);
    expect(streams[0]!.usage).toEqual(whole.usage);
  });

  test('gets JSON of a schema, and log-probabilities that sum to less than one', async () => {
    const schema = { type: 'object', properties: { name: { type: 'string', maxLength: 20 }, age: { type: 'integer', minimum: 0, maximum: 130 } }, required: ['name', 'age'] };
    const reply = await client.chat.completions.create({ ...ask, n: 3, max_tokens: 200, logprobs: true, top_logprobs: 5, response_format: { type: 'json_schema', json_schema: { name: 'person', schema } } });
    for (const { message, finish_reason: finish, logprobs } of reply.choices) {
      expect(finish).toBe('stop');
      const { age } = JSON.parse(message.content!) as { name: string; age: number };
      expect(age).toBeLessThanOrEqual(130);
      expect(logprobs!.content!.map(({ token }) => token).join('')).toBe(message.content);
      for (const { top_logprobs: likeliest } of logprobs!.content!) expect(likeliest.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeLessThanOrEqual(1.0001);
    }
  });

  test('has a function called', async () => {
    const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string', maxLength: 12 }, days: { type: 'integer', minimum: 1, maximum: 9 } }, required: ['city', 'days'] } } }];
    for (const stream of [false, true]) {
      const request = { ...ask, max_tokens: 200, tools, tool_choice: { type: 'function' as const, function: { name: 'weather' } } };
      const reply = stream ? await client.chat.completions.stream(request).finalChatCompletion() : await client.chat.completions.create(request);
      expect(reply.choices[0]!.finish_reason).toBe('tool_calls');
      const [call] = reply.choices[0]!.message.tool_calls!;
      expect(call).toMatchObject({ type: 'function', function: { name: 'weather' } });
      expect(JSON.parse((call as { function: { arguments: string } }).function.arguments)).toMatchObject({ city: expect.any(String) as string, days: expect.any(Number) as number });
    }
  });

  test('embeds as sentence-transformers does', async () => {
    const cases = JSON.parse(await readFile(join(root, 'tests/fixtures/sentences/cases.json'), 'utf8')) as object;
    expect(cases).toBeDefined();
    const { data, usage } = await client.embeddings.create({ model: 'words', input: ['A sentence.', 'Another one, longer than that.'] });
    expect(data).toHaveLength(2);
    expect(usage.prompt_tokens).toBeGreaterThan(4);
    await expect(client.embeddings.create({ model: 'words', input: 'word '.repeat(5000) })).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' });
  });

  test('is told what is wrong', async () => {
    await expect(client.chat.completions.create({ ...ask, max_tokens: 5000 })).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' });
    await expect(client.chat.completions.create({ ...ask, response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'number', multipleOf: 3 } } } })).rejects.toMatchObject({ status: 400, message: expect.stringContaining('multipleOf') as string });
    await expect(client.chat.completions.create({ ...ask, model: 'nobody' })).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });
});

test.each(['README.md', 'docs/server.md'])('the examples of %s work', async (page) => {
  const text = await readFile(join(root, page), 'utf8');
  const lines = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) => block!.split('\n')).filter((line) => line.startsWith('curl '));
  expect(lines.length).toBeGreaterThan(0);
  for (const line of lines) {
    const command = line.replace('curl ', 'curl -sS --fail-with-body ').replaceAll('http://127.0.0.1:8080', server.url);
    const { stdout } = await run('bash', ['-c', command]).catch((error: unknown) => {
      throw new Error(`${line}\n${String((error as { stdout?: string }).stdout)}`);
    });
    expect(stdout, line).not.toBe('');
  }
});

test('SIGTERM lets what is in flight end, and refuses what is new', async () => {
  const other = await serve([join(folder, 'sapling'), '--log-level', 'warn', '--threads', '1']);
  const busy = new OpenAI({ apiKey: 'none', baseURL: `${other.url}/v1`, maxRetries: 0 });
  const stream = await busy.chat.completions.create({ ...ask, max_tokens: 300, stream: true, ...{ ignore_eos: true } });
  let finish: string | null | undefined;
  let pieces = 0;
  for await (const chunk of stream) {
    if (pieces++ === 3) other.process.kill('SIGTERM');
    finish = chunk.choices[0]?.finish_reason ?? finish;
  }
  expect(finish).toBe('length');
  const { code, stderr } = await other.ended;
  expect(code, stderr).toBe(0);
  await expect(fetch(`${other.url}/healthz`)).rejects.toThrow();
});
