/** The official client against the API; the model is a stand-in that writes what the test says. */
import OpenAI from 'openai';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { PenjingError } from '@penjing/core';
import { createServer, type PenjingServer } from '../create-server.js';
import type { ServerOptions } from '../config/schema.js';
import type { HostMethods, Written } from '../host/protocol.js';
import { description, type FakeHosts, fakeHosts, type FakeMethods } from '../testing/fake-host.js';

const servers: PenjingServer[] = [];
afterEach(async () => void (await Promise.all(servers.splice(0).map((server) => server.close()))));

type WriteParams = HostMethods['write']['params'];

interface Serving {
  readonly client: OpenAI;
  readonly server: PenjingServer;
  readonly hosts: FakeHosts;
  /** What the model was asked. */
  readonly asked: WriteParams[];
}

async function serve(methods: FakeMethods | string, options: ServerOptions = {}): Promise<Serving> {
  const asked: WriteParams[] = [];
  const hosts = fakeHosts(typeof methods === 'string' ? { write: async (params, { emit }) => (asked.push(params), written(methods, params, emit)) } : methods, {
    describe: ({ path }) => (path === '/words' ? { ...description, task: 'embedding' } : description),
  });
  const server = createServer({ port: 0, log: { level: 'silent' }, models: [{ name: 'talker', path: '/talker', maxConcurrent: 1, maxQueue: 1 }, { name: 'words', path: '/words' }], ...options }, { createHost: hosts.create });
  servers.push(server);
  await server.load();
  const client = new OpenAI({ apiKey: 'k', baseURL: 'http://localhost/v1', fetch: (url, init) => server.fetch(new Request(url, init)), maxRetries: 0 });
  return { client, server, hosts, asked };
}

/** A text word by word, for each choice; tokens have made-up probabilities when they are asked for. */
function written(text: string, { choices, options }: WriteParams, emit: (event: HostMethods['write']['event']) => void): Written {
  const words = text.match(/\S+\s*|\s+/g) ?? [];
  for (let choice = 0; choice < choices; choice++) {
    for (const word of words) {
      const token = { text: word, bytes: [...new TextEncoder().encode(word)], logProbability: -0.5 };
      emit({ choice, text: word, ...(options.logProbabilities !== undefined && { token: { ...token, likeliest: Array.from({ length: options.logProbabilities }, () => token) } }) });
    }
  }
  return { promptTokens: 7, texts: Array.from({ length: choices }, () => ({ text, tokens: words.length, finishReason: options.maxNewTokens === words.length ? 'length' : 'end' })), prefillMs: 1, decodeMs: 2 };
}

const messages = [{ role: 'developer', content: 'Be brief.' }, { role: 'user', content: [{ type: 'text', text: 'Say ' }, { type: 'text', text: 'hello.' }] }] as const;
const ask = { model: 'talker', messages: messages as unknown as OpenAI.ChatCompletionMessageParam[] };

describe('chat', () => {
  test('a reply with usage, and what the model was asked', async () => {
    const { client, asked } = await serve('Hello there friend');
    const reply = await client.chat.completions.create({ ...ask, temperature: 0.5, top_p: 0.9, seed: -1, stop: 'x', max_completion_tokens: 9, logit_bias: { 5: -100 }, frequency_penalty: 0.1, presence_penalty: -2 });
    expect(reply).toMatchObject({ object: 'chat.completion', model: 'talker', choices: [{ index: 0, message: { role: 'assistant', content: 'Hello there friend' }, finish_reason: 'stop', logprobs: null }], usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } });
    expect(reply._request_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(asked[0]).toMatchObject({
      prompt: { kind: 'chat', messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Say hello.' }] },
      choices: 1,
      options: { temperature: 0.5, topP: 0.9, seed: 2 ** 32 - 1, stop: ['x'], maxNewTokens: 9, logitBias: [[5, -100]], frequencyPenalty: 0.1, presencePenalty: -2 },
    });
    const timing = await client.chat.completions.create({ ...ask, max_tokens: 3 }).asResponse();
    expect(timing.headers.get('server-timing')).toMatch(/^queue;dur=[\d.]+, prefill;dur=1\.00, decode;dur=2\.00$/);
    expect(await timing.json()).toMatchObject({ choices: [{ finish_reason: 'length' }] });
    // Without a seed each reply has another; temperature is 1, as OpenAI's.
    expect(asked[1]!.options.temperature).toBe(1);
    expect(asked[1]!.options.seed).not.toBe((await serveTwice(client, asked)).options.seed);
  });

  const serveTwice = async (client: OpenAI, asked: WriteParams[]): Promise<WriteParams> => {
    await client.chat.completions.create(ask);
    return asked.at(-1)!;
  };

  test('streams: role first, pieces, the finish, usage last', async () => {
    const { client } = await serve('Hello there friend');
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of await client.chat.completions.create({ ...ask, n: 2, stream: true, stream_options: { include_usage: true } })) chunks.push(chunk);
    expect(new Set(chunks.map(({ id, created }) => `${id} ${created}`)).size).toBe(1);
    expect(chunks[0]!.choices[0]!.delta).toEqual({ role: 'assistant', content: '' });
    for (const index of [0, 1]) expect(chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index).map(({ delta }) => delta.content ?? '')).join('')).toBe('Hello there friend');
    expect(chunks.flatMap(({ choices }) => choices.map(({ finish_reason: finish }) => finish)).filter(Boolean)).toEqual(['stop', 'stop']);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 6, total_tokens: 13 } });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    const stream = client.chat.completions.stream(ask);
    expect((await stream.finalChatCompletion()).choices[0]!.message.content).toBe('Hello there friend');
  });

  test('log-probabilities, whole and in pieces', async () => {
    const { client } = await serve('Hello 盆景');
    const token = (text: string) => ({ token: text, logprob: -0.5, bytes: [...Buffer.from(text)] });
    const content = ['Hello ', '盆景'].map((text) => ({ ...token(text), top_logprobs: [token(text), token(text)] }));
    const reply = await client.chat.completions.create({ ...ask, logprobs: true, top_logprobs: 2 });
    expect(reply.choices[0]!.logprobs).toEqual({ content, refusal: null });
    const pieces: unknown[] = [];
    for await (const { choices } of await client.chat.completions.create({ ...ask, logprobs: true, top_logprobs: 2, stream: true })) pieces.push(...(choices[0]!.logprobs?.content ?? []));
    expect(pieces).toEqual(content);
  });

  const weather = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } } as const;
  const called = [{ type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } }];

  test.each([
    ['<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>', called, null],
    ['Let me see.\n<tool_call>{"name":"weather","arguments":{"city":"Oslo"}}</tool_call>\n<tool_call>{"name":"weather","arguments":{"city":"Oslo"}}</tool_call>', [...called, ...called], 'Let me see.\n'],
    ['{"name": "weather", "parameters": {"city": "Oslo"}}', called, null],
    [' [{"name": "weather", "arguments": {"city": "Oslo"}}]', called, null],
    ['{"city": "Oslo"} is no call', undefined, '{"city": "Oslo"} is no call'],
    ['<tool_call>oops</tool_call> then', undefined, '<tool_call>oops</tool_call> then'],
    ['1 <tool_ 2', undefined, '1 <tool_ 2'],
  ])('calls of functions in %j', async (text, calls, content) => {
    const { client, asked } = await serve(text);
    const { choices: [choice] } = await client.chat.completions.create({ ...ask, tools: [weather] });
    expect(choice).toMatchObject({ finish_reason: calls ? 'tool_calls' : 'stop', message: { content } });
    expect(choice!.message.tool_calls).toEqual(calls?.map((call) => ({ ...call, id: expect.stringMatching(/^call_\w{24}$/) as string })));
    expect(asked[0]!.prompt).toMatchObject({ tools: [weather] });
    const final = await client.chat.completions.stream({ ...ask, tools: [weather] }).finalChatCompletion();
    expect(final.choices[0]!.message.content ?? '').toBe(content ?? '');
    expect(final.choices[0]!.message.tool_calls?.map(({ type, function: { name, arguments: given } }) => ({ type, function: { name, arguments: given } }))).toEqual(calls);
  });

  test('a conversation with calls and their results reaches the template', async () => {
    const { client, asked } = await serve('It is cold.');
    const history = [{ role: 'user', content: 'Weather?' }, { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', ...called[0]! }] }, { role: 'tool', tool_call_id: 'call_1', content: '-3' }] as OpenAI.ChatCompletionMessageParam[];
    await client.chat.completions.create({ ...ask, messages: history, tools: [weather], tool_choice: 'none' });
    expect(asked[0]!.prompt).toEqual({ kind: 'chat', messages: [{ role: 'user', content: 'Weather?' }, { role: 'assistant', content: '', tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: { city: 'Oslo' } } }] }, { role: 'tool', tool_call_id: 'call_1', content: '-3' }] });
  });

  test('what the text is held to', async () => {
    const { client, asked } = await serve('{}');
    const schema = { type: 'object', properties: { a: { type: 'integer' } } };
    const held = async (more: object) => (await client.chat.completions.create({ ...ask, ...more }), asked.at(-1)!.options.constrain);
    expect(await held({ response_format: { type: 'text' } })).toBeUndefined();
    expect(await held({ response_format: { type: 'json_object' } })).toEqual({ schema: { type: 'object' } });
    expect(await held({ response_format: { type: 'json_schema', json_schema: { name: 'a', schema, strict: true } } })).toEqual({ schema });
    const call = { type: 'object', properties: { name: { const: 'weather' }, arguments: weather.function.parameters }, required: ['name', 'arguments'] };
    expect(await held({ tools: [weather], tool_choice: 'required' })).toEqual({ schema: call });
    expect(await held({ tools: [weather, { type: 'function', function: { name: 'other' } }], tool_choice: { type: 'function', function: { name: 'weather' } } })).toEqual({ schema: call });
  });
});

describe('what is wrong', () => {
  test.each<[what: string, more: object, param: string]>([
    ['no messages', { messages: [] }, 'messages'],
    ['a role that there is not', { messages: [{ role: 'boss', content: 'x' }] }, 'messages.0.role'],
    ['a picture', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'http://127.0.0.1/' } }] }] }, 'messages.0.content.0'],
    ['a temperature out of range', { temperature: 3 }, 'temperature'],
    ['a number that is none', { top_p: '0.5' }, 'top_p'],
    ['too many choices', { n: 129 }, 'n'],
    ['no tokens', { max_tokens: 0 }, 'max_tokens'],
    ['a form that there is not', { response_format: { json_object: false } }, 'response_format.type'],
    ['a bias for no token', { logit_bias: { __proto__x: 1 } }, 'logit_bias.__proto__x'],
    ['a tool without a name', { tools: [{ type: 'function', function: {} }] }, 'tools.0.function.name'],
    ['a choice of no tool', { tool_choice: 'required' }, 'tool_choice'],
    ['too many stops', { stop: Array(17).fill('x') }, 'stop'],
  ])('%s', async (_what, more, param) => {
    const { client, server } = await serve('x');
    const error = (await client.chat.completions.create({ ...ask, ...more } as OpenAI.ChatCompletionCreateParamsNonStreaming).catch((thrown: unknown) => thrown)) as InstanceType<typeof OpenAI.BadRequestError>;
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error', param });
    expect((await server.fetch(new Request('http://localhost/v2/health/ready'))).status).toBe(200);
  });

  test('errors of the model have the classes that the client knows', async () => {
    const codes = ['E_CONTEXT', 'E_GRAMMAR', 'E_CHAT_TEMPLATE', 'E_MODEL_LOST', 'E_ENGINE'] as const;
    let next = 0;
    const { client } = await serve({ write: () => Promise.reject(new PenjingError(codes[next++]!, 'as the model says')) });
    const thrown: unknown[] = [];
    for (const _ of codes) thrown.push(await client.chat.completions.create(ask).catch((error: unknown) => error));
    expect(thrown).toMatchObject([{ status: 400, code: 'context_length_exceeded' }, { status: 400 }, { status: 400 }, { status: 503 }, { status: 500 }]);
    expect(thrown[0]).toBeInstanceOf(OpenAI.BadRequestError);
    expect(thrown[3]).toBeInstanceOf(OpenAI.InternalServerError);
    await expect(client.chat.completions.create({ ...ask, model: 'nobody' })).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(client.chat.completions.create({ ...ask, model: 'nobody' })).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(client.chat.completions.create({ ...ask, model: 'words' })).rejects.toMatchObject({ status: 400 });
    await expect(client.embeddings.create({ model: 'talker', input: 'x' })).rejects.toMatchObject({ status: 400 });
  });

  test('before the first token a stream fails with a status, after it with an event', async () => {
    let fail = true;
    const { client } = await serve({
      write: async (params, { emit }) => {
        if (fail) throw new PenjingError('E_CONTEXT', 'too long');
        emit({ choice: 0, text: 'Once' });
        throw new PenjingError('E_MODEL_LOST', 'the process is gone');
      },
    });
    await expect(client.chat.completions.create({ ...ask, stream: true })).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' });
    fail = false;
    let text = '';
    const reading = async (): Promise<void> => {
      for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) text += chunk.choices[0]?.delta.content ?? '';
    };
    await expect(reading()).rejects.toThrow('the process is gone');
    expect(text).toBe('Once');
  });

  test('overload is refused with when to come back, and the client does', async () => {
    const open: (() => void)[] = [];
    const { server, client } = await serve({ write: (params, { emit }) => new Promise((resolve) => open.push(() => resolve(written('yes', params, emit)))) });
    const calls = [client.chat.completions.create(ask), client.chat.completions.create(ask)];
    await vi.waitFor(() => expect(server.models.get('talker').admission.waiting).toBe(1));
    const refusal = (await client.chat.completions.create(ask).catch((error: unknown) => error)) as InstanceType<typeof OpenAI.RateLimitError>;
    expect(refusal).toBeInstanceOf(OpenAI.RateLimitError);
    expect(Number(refusal.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    const patient = client.withOptions({ maxRetries: 3 }).chat.completions.create(ask);
    while (open.length < 3) {
      open.at(-1)?.();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const answer of open) answer();
    const replies = await Promise.all([...calls, patient]);
    expect(replies.map(({ choices }) => choices[0]!.message.content)).toEqual(['yes', 'yes', 'yes']);
  });

  test('who leaves a stream or the queue cancels it', async () => {
    const cancelled = vi.fn();
    const { client, server } = await serve({ write: (_params, { signal, emit }) => (emit({ choice: 0, text: 'a' }), new Promise((_resolve, reject) => signal.addEventListener('abort', () => (cancelled(), reject(signal.reason as Error))))) });
    const stream = await client.chat.completions.create({ ...ask, stream: true });
    const queued = new AbortController();
    const waiting = client.chat.completions.create(ask, { signal: queued.signal });
    await vi.waitFor(() => expect(server.models.get('talker').admission.waiting).toBe(1));
    queued.abort();
    await expect(waiting).rejects.toThrow();
    await vi.waitFor(() => expect(server.models.get('talker').admission.waiting).toBe(0));
    expect(cancelled).not.toHaveBeenCalled();
    for await (const _ of stream) break;
    await vi.waitFor(() => expect(cancelled).toHaveBeenCalledOnce());
    await vi.waitFor(() => expect(server.models.get('talker').admission.active).toBe(0));
  });
});

describe('completions', () => {
  test('several prompts, echo, log-probabilities, and the stream of them', async () => {
    const { client, asked } = await serve('Hello there');
    const reply = await client.completions.create({ model: 'talker', prompt: ['One', 'Two'], n: 2, echo: true, logprobs: 1 });
    expect(reply.choices.map(({ index, text }) => [index, text])).toEqual([[0, 'OneHello there'], [1, 'OneHello there'], [2, 'TwoHello there'], [3, 'TwoHello there']]);
    expect(reply.choices[3]!.logprobs).toEqual({ tokens: ['Hello ', 'there'], token_logprobs: [-0.5, -0.5], top_logprobs: [{ 'Hello ': -0.5 }, { there: -0.5 }], text_offset: [3, 9] });
    expect(reply.usage).toEqual({ prompt_tokens: 14, completion_tokens: 8, total_tokens: 22 });
    expect(asked.map(({ prompt, options }) => [prompt, options.maxNewTokens])).toEqual([[{ kind: 'text', text: 'One' }, 16], [{ kind: 'text', text: 'Two' }, 16]]);
    let text = '';
    for await (const { choices } of await client.completions.create({ model: 'talker', prompt: 'One', echo: true, stream: true })) text += choices[0]!.text;
    expect(text).toBe('OneHello there');
    await client.completions.create({ model: 'talker', prompt: [1, 2, 3] });
    expect(asked.at(-1)!.prompt).toEqual({ kind: 'tokens', tokens: [1, 2, 3] });
    await expect(client.completions.create({ model: 'talker', prompt: 'a', suffix: 'b' })).rejects.toMatchObject({ status: 400, param: 'suffix' });
    await expect(client.completions.create({ model: 'talker', prompt: Array<string>(100).fill('a'), n: 2 })).rejects.toMatchObject({ status: 400, param: 'n' });
  });
});

describe('embeddings', () => {
  const words: FakeMethods = { embed: async ({ texts }) => ({ embeddings: texts.map((text) => Float32Array.of(text.length, 0.1, -2)), tokens: texts.length * 3 }) };

  test('as numbers and as bytes', async () => {
    const { client } = await serve(words);
    // The client asks for base64 by itself and reads it.
    const reply = await client.embeddings.create({ model: 'words', input: ['a', 'bc'] });
    expect(reply.data.map(({ embedding }) => embedding)).toEqual([[1, Math.fround(0.1), -2], [2, Math.fround(0.1), -2]]);
    expect(reply.usage).toEqual({ prompt_tokens: 6, total_tokens: 6 });
    const plain = await client.embeddings.create({ model: 'words', input: 'abc', encoding_format: 'float' });
    expect(plain.data[0]).toEqual({ object: 'embedding', index: 0, embedding: [3, Math.fround(0.1), -2] });
    for (const wrong of [{ input: '' }, { input: [] }, { input: ['a', ''] }, { input: Array(2049).fill('a') as string[] }, { input: [[1, 2]] }, { input: 'a', dimensions: 2 }]) {
      await expect(client.embeddings.create({ model: 'words', ...(wrong as { input: string }) })).rejects.toMatchObject({ status: 400 });
    }
  });
});
