/** Clients of others against `penjing serve`: errors and retries of OpenAI's own, and the AI SDK of Vercel. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embed, embedMany, generateObject, generateText, type JSONSchema7, jsonSchema, streamObject, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { endServed, modelProcess, serve, type Served } from './support/served.js';
import { penjing } from './support/penjing-process.js';
import { TaskFolders } from './support/task-folder.js';

const KEY = 'a-key-for-tests';
let folder: string;
let folders: TaskFolders;
let server: Served;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-clients-'));
  folders = await TaskFolders.open();
  const { code, stderr } = await penjing(['convert', join(import.meta.dirname, '../models/sapling'), '-o', join(folder, 'sapling')]);
  expect(code, stderr).toBe(0);
  server = await serve([join(folder, 'sapling'), `words=${await folders.convert('sentences/bert-mean', 'sentence-similarity')}`, '--log-level', 'warn', '--threads', '1', '--max-concurrent', '1', '--max-queue', '1'], { env: { PENJING_API_KEY: KEY } });
}, 300_000);
afterAll(async () => {
  await endServed(server);
  await folders[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const person: JSONSchema7 = { type: 'object', properties: { name: { type: 'string', maxLength: 20 }, age: { type: 'integer', minimum: 0, maximum: 130 } }, required: ['name', 'age'], additionalProperties: false };
interface Person {
  readonly name: string;
  readonly age: number;
}

describe('the client of OpenAI', () => {
  const ask = { model: 'sapling', messages: [{ role: 'user' as const, content: 'Speak, sir.' }], max_tokens: 20, seed: 7 };
  const clientOf = (options: { readonly apiKey?: string; readonly maxRetries?: number } = {}): OpenAI => new OpenAI({ apiKey: KEY, baseURL: `${server.url}/v1`, maxRetries: 0, ...options });
  const failureOf = async (work: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> => {
    const error = await work.then(() => undefined, (reason: unknown) => reason);
    expect(error).toBeInstanceOf(OpenAI.APIError);
    return error as InstanceType<typeof OpenAI.APIError>;
  };
  /** Keeps the model busy, and its queue full. */
  const busy = async (client: OpenAI): Promise<{ readonly end: () => Promise<unknown> }> => {
    const controller = new AbortController();
    const long = { ...ask, max_tokens: 400, stream: true as const, ...{ ignore_eos: true } };
    const stream = await client.chat.completions.create(long, { signal: controller.signal });
    const second = client.chat.completions.create(long, { signal: controller.signal }).catch(() => {});
    await vi.waitFor(async () => expect(await (await fetch(`${server.url}/metrics`, { headers: { Authorization: `Bearer ${KEY}` } })).text()).toMatch(/penjing_waiting_requests\{model="sapling",version="1"\} 1/), { timeout: 10_000 });
    return { end: () => (controller.abort(), stream.controller.abort(), second) };
  };

  test('throws the class of each failure, with code, field and request id', async () => {
    const client = clientOf();
    const cases: readonly (readonly [work: () => Promise<unknown>, type: new (...given: never[]) => object, expected: object])[] = [
      [() => clientOf({ apiKey: 'wrong' }).models.list(), OpenAI.AuthenticationError, { status: 401, code: 'invalid_api_key', type: 'authentication_error' }],
      [() => client.chat.completions.create({ ...ask, model: 'nobody' }), OpenAI.NotFoundError, { status: 404, code: 'model_not_found' }],
      [() => client.models.retrieve('nobody'), OpenAI.NotFoundError, { status: 404, code: 'model_not_found' }],
      [() => client.chat.completions.create({ ...ask, temperature: 3 }), OpenAI.BadRequestError, { status: 400, param: 'temperature', type: 'invalid_request_error' }],
      [() => client.chat.completions.create({ ...ask, messages: [] }), OpenAI.BadRequestError, { status: 400, param: 'messages' }],
      [() => client.chat.completions.create({ ...ask, max_tokens: 100_000 }), OpenAI.BadRequestError, { status: 400, code: 'context_length_exceeded' }],
      [() => client.chat.completions.create({ ...ask, tool_choice: 'required' }), OpenAI.BadRequestError, { status: 400, param: 'tool_choice' }],
      [() => client.embeddings.create({ model: 'sapling', input: 'a' }), OpenAI.BadRequestError, { status: 400 }],
      [() => client.embeddings.create({ model: 'words', input: [] }), OpenAI.BadRequestError, { status: 400, param: 'input' }],
      [() => client.chat.completions.create({ ...ask, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'http://127.0.0.1/x.png' } }] }] }), OpenAI.BadRequestError, { status: 400, message: expect.stringContaining('image_url') as string }],
    ];
    for (const [work, type, expected] of cases) {
      const error = await failureOf(work());
      expect(error).toBeInstanceOf(type);
      expect(error).toMatchObject(expected);
      expect(error.requestID).toMatch(/^[0-9a-f-]{36}$/);
    }
    await expect(client.chat.completions.create({ ...ask, max_tokens: 400, ...{ ignore_eos: true } }, { timeout: 50 })).rejects.toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
  });

  test('is refused when there are too many, and comes back when the server says', async () => {
    const work = await busy(clientOf());
    const error = await failureOf(clientOf().chat.completions.create(ask));
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    const seconds = Number(error.headers!.get('retry-after'));
    expect(seconds).toBeGreaterThanOrEqual(1);
    expect(seconds).toBeLessThanOrEqual(60); // what is longer the client does not believe
    const patient = clientOf({ maxRetries: 10 }).chat.completions.create(ask);
    await work.end();
    expect((await patient).choices[0]!.message.content).not.toBe('');
  });

  test('has its answer from a model that was killed, after 503 and a retry', async () => {
    const pid = (await modelProcess(server.process.pid!, 'sapling'))!;
    const before = (await clientOf().chat.completions.create(ask)).choices[0]!.message.content;
    const stream = await clientOf().chat.completions.create({ ...ask, max_tokens: 400, stream: true, ...{ ignore_eos: true } });
    const reading = (async () => {
      for await (const _ of stream) continue;
    })();
    process.kill(pid, 'SIGKILL');
    await expect(reading).rejects.toMatchObject({ code: 'service_unavailable' });
    const error = await failureOf(clientOf().chat.completions.create(ask));
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect([error.status, error.headers!.get('retry-after')]).toEqual([503, '1']);
    const after = await clientOf({ maxRetries: 30 }).chat.completions.create(ask);
    expect(after.choices[0]!.message.content).toBe(before);
    expect(await modelProcess(server.process.pid!, 'sapling')).not.toBe(pid);
  });
});

describe('the AI SDK', () => {
  const provider = (): ReturnType<typeof createOpenAICompatible> => createOpenAICompatible({ name: 'penjing', baseURL: `${server.url}/v1`, apiKey: KEY, includeUsage: true, supportsStructuredOutputs: true });
  const ask = { prompt: 'Speak, sir.', maxOutputTokens: 24, seed: 7, maxRetries: 0 };
  const weather = tool({
    description: 'The weather of a city.',
    inputSchema: jsonSchema<{ city: string; days: number }>({ type: 'object', properties: { city: { type: 'string', maxLength: 12 }, days: { type: 'integer', minimum: 1, maximum: 9 } }, required: ['city', 'days'], additionalProperties: false }),
    execute: async ({ days }) => `rain for ${days} days`,
  });

  test('generateText and streamText say the same', async () => {
    const model = provider()('sapling');
    const whole = await generateText({ model, ...ask });
    expect(whole.text.length).toBeGreaterThan(10);
    expect(whole.usage.outputTokens).toBeGreaterThan(1);
    const stream = streamText({ model, ...ask });
    let text = '';
    let pieces = 0;
    for await (const piece of stream.textStream) {
      text += piece;
      pieces++;
    }
    expect([text, await stream.finishReason, (await stream.usage).outputTokens]).toEqual([whole.text, whole.finishReason, whole.usage.outputTokens]);
    // how many tokens come in one piece is for the network to say; one piece is no stream
    expect(pieces).toBeGreaterThan(1);
  });

  test('generateObject and streamObject are of the schema', async () => {
    const request = { model: provider()('sapling'), schema: jsonSchema<Person>(person), ...ask, maxOutputTokens: 200 };
    const { object } = await generateObject(request);
    expect([typeof object.name, Number.isInteger(object.age), object.age <= 130]).toEqual(['string', true, true]);
    const stream = streamObject(request);
    for await (const _ of stream.partialObjectStream) continue;
    expect(await stream.object).toEqual(object);
  });

  test('a function is called, and its result is read', async () => {
    const { steps, toolCalls, toolResults } = await generateText({ model: provider()('sapling'), ...ask, maxOutputTokens: 200, tools: { weather }, toolChoice: { type: 'tool', toolName: 'weather' } });
    expect([steps.length, toolCalls.length, toolCalls[0]!.toolName]).toEqual([1, 1, 'weather']);
    expect(toolResults[0]!.output).toBe(`rain for ${(toolCalls[0]!.input as { days: number }).days} days`);
    const stream = streamText({ model: provider()('sapling'), ...ask, maxOutputTokens: 200, tools: { weather }, toolChoice: 'required' });
    await stream.consumeStream();
    expect((await stream.toolCalls).map(({ toolName }) => toolName)).toEqual(['weather']);
    expect(await stream.finishReason).toBe('tool-calls');
  });

  test('embed and embedMany', async () => {
    const model = provider().embeddingModel('words');
    const { embedding, usage } = await embed({ model, value: 'A sentence.' });
    const { embeddings } = await embedMany({ model, values: ['A sentence.', 'Another one, longer than that.'] });
    expect(embedding.length).toBeGreaterThan(8);
    expect(usage.tokens).toBeGreaterThan(2);
    expect(embeddings).toHaveLength(2);
    embeddings[0]!.forEach((value, i) => expect(value).toBeCloseTo(embedding[i]!, 5));
  });

  test('who aborts leaves the model to others; errors have their status', async () => {
    const controller = new AbortController();
    const model = provider()('sapling');
    const stream = streamText({ model, ...ask, maxOutputTokens: 400, abortSignal: controller.signal, providerOptions: { penjing: { ignore_eos: true } } });
    let pieces = 0;
    const kinds: string[] = [];
    for await (const part of stream.fullStream) {
      kinds.push(part.type);
      if (part.type === 'text-delta' && ++pieces === 3) controller.abort();
    }
    expect(kinds.at(-1)).toBe('abort');
    await vi.waitFor(async () => expect(await (await fetch(`${server.url}/metrics`, { headers: { Authorization: `Bearer ${KEY}` } })).text()).toMatch(/penjing_active_requests\{model="sapling",version="1"\} 0/), { timeout: 10_000 });
    const error = await generateText({ model: provider()('nobody'), ...ask }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(APICallError);
    expect(error).toMatchObject({ statusCode: 404, isRetryable: false, message: expect.stringContaining('nobody') as string });
  });
});
