import { rm } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { PenjingError } from '@penjing/core';
import { createServer } from '@penjing/server';
import { afterEach, expect, test } from 'vitest';
import { tinyDecoder } from '../../../../packages/runtime/src/testing/tiny-decoder.js';
import { writeModelFolder } from '../../../../packages/runtime/src/testing/model-folder.js';
import { fakeHosts } from '../../../server/src/testing/fake-host.js';
import { converse, type ConverseOptions } from './converse.js';
import { localPartner } from './local-partner.js';
import type { Message, Partner } from './partner.js';
import { serverPartner } from './server-partner.js';

const aborts: AbortController[] = [];
afterEach(() => aborts.splice(0).forEach((abort) => abort.abort()));

const sampling = { maxNewTokens: 8, temperature: undefined, topK: undefined, topP: undefined, minP: undefined, repetitionPenalty: undefined, frequencyPenalty: undefined, presencePenalty: undefined, stop: [], seed: undefined };
const never = new AbortController().signal;

/** Says back the last line; holds `most` messages. */
function echo(most = Infinity, asked: (readonly Message[])[] = []): Partner {
  return {
    async reply(messages, { onText }) {
      asked.push(messages);
      if (messages.length > most) throw new PenjingError('E_CONTEXT', 'it is too long');
      const text = `<${messages.at(-1)!.content}>`;
      onText(text);
      return { text, finish: 'end' };
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

function talk(partner: Partner, more: Partial<ConverseOptions> = {}): { readonly input: PassThrough; readonly out: { text: string; notes: string[]; screen: string }; readonly screen: Writable; readonly done: (more?: Partial<ConverseOptions>) => Promise<readonly Message[]> } {
  const input = new PassThrough();
  const out = { text: '', notes: [] as string[], screen: '' };
  const screen = new Writable({ write: (chunk, _encoding, then) => ((out.screen += String(chunk)), then()) });
  const abort = new AbortController();
  aborts.push(abort);
  const done = (own: Partial<ConverseOptions> = {}): Promise<readonly Message[]> =>
    converse({ partner, system: undefined, input, screen: undefined, dropOldest: false, write: (text) => void (out.text += text), note: (text) => void out.notes.push(text), signal: abort.signal, ...more, ...own });
  return { input, out, screen, done };
}

test('lines of a pipe are turns, with what was said before them', async () => {
  const asked: (readonly Message[])[] = [];
  const { input, out, done } = talk(echo(Infinity, asked), { system: 'be brief' });
  input.end('one\n\n/help\ntwo\n//three\n/reset\nfour\n/exit\nfive\n');
  const said = await done();
  expect(out.text).toBe('<one>\n<two>\n</three>\n<four>\n');
  expect(asked.map((messages) => messages.map(({ content }) => content).join(' '))).toEqual(['be brief one', 'be brief one <one> two', 'be brief one <one> two <two> /three', 'be brief four']);
  expect(said.map(({ role, content }) => `${role} ${content}`)).toEqual(['user four', 'assistant <four>']);
});

test('what no longer fits is dropped only where that was allowed, and told', async () => {
  const refused = talk(echo(3));
  refused.input.end('one\ntwo\nthree\n');
  await expect(refused.done()).rejects.toMatchObject({ code: 'E_CONTEXT', hint: expect.stringContaining('--drop-oldest') as string });
  const allowed = talk(echo(3), { dropOldest: true });
  allowed.input.end('one\ntwo\nthree\n');
  expect((await allowed.done()).map(({ content }) => content)).toEqual(['two', '<two>', 'three', '<three>']);
  expect(allowed.out.notes).toEqual(["(the oldest turn was forgotten: the model's context holds no more)"]);
  // What is too long by itself is not helped by forgetting.
  const alone = talk(echo(0), { dropOldest: true });
  alone.input.end('one\n');
  await expect(alone.done()).rejects.toMatchObject({ code: 'E_CONTEXT' });
});

test('a person is asked before turns are dropped, and goes on after a refusal', async () => {
  const { input, out, screen, done } = talk(echo(3));
  const talking = done({ screen });
  for (const line of ['one', 'two', 'three', 'n', 'four', 'y', '/exit']) input.write(`${line}\n`);
  expect((await talking).map(({ content }) => content)).toEqual(['two', '<two>', 'four', '<four>']);
  expect(out.screen).toContain('it is too long. Forget the oldest turns? [y/N] ');
  expect(out.notes[0]).toMatch(/^E_CONTEXT/);
});

test('Ctrl-C stops the reply first, and then ends', async () => {
  let begun: () => void = () => {};
  const writing = new Promise<void>((resolve) => (begun = resolve));
  const endless: Partner = {
    reply: (_messages, { signal, onText }) => new Promise((_resolve, reject) => {
      onText('so');
      signal.addEventListener('abort', () => reject(signal.reason as Error));
      begun();
    }),
    [Symbol.asyncDispose]: async () => {},
  };
  const { input, out, screen, done } = talk(endless);
  const talking = done({ screen });
  input.write('one\n');
  await writing;
  input.write('\x03');
  await expect.poll(() => out.notes).toEqual(['(stopped)']);
  input.write('\x03');
  expect((await talking).map(({ content }) => content)).toEqual(['one', 'so']);
  expect(out.text).toBe('so\n');
});

test('a model folder answers, turn by turn, and tells when its context is full', async () => {
  const folder = await writeModelFolder({ '': tinyDecoder({ context: 64 }) });
  try {
    await using partner = await localPartner(folder, { variant: undefined, device: undefined, threads: 1, sampling, signal: never });
    const { input, out, done } = talk(partner, { dropOldest: true });
    input.end('abc\ndef\nghi\njkl\nmno\n');
    const said = await done();
    expect(said.at(-2)).toEqual({ role: 'user', content: 'mno' });
    expect(said.length).toBeLessThan(10);
    expect(out.notes.join()).toContain('forgotten');
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a server answers in pieces; what it refuses is told', async () => {
  const hosts = fakeHosts({
    async write({ prompt, options }, { emit }) {
      const messages = prompt.kind === 'chat' ? prompt.messages : [];
      if (messages.length > 3) throw new PenjingError('E_CONTEXT', 'the prompt has too many tokens');
      const text = `${String(messages.at(-1)!.content)}, ${options.temperature}, ${options.topK}`;
      for (const letter of text) emit({ choice: 0, text: letter });
      return { promptTokens: 3, texts: [{ text, tokens: 9, finishReason: 'length' }], prefillMs: 1, decodeMs: 1 };
    },
  });
  await using server = createServer({ port: 0, log: { level: 'silent' }, models: [{ name: 'fake', path: '/fake' }] }, { createHost: hosts.create });
  await server.load();
  const { main: { url } } = await server.listen();
  await using partner = await serverPartner(`${url}/v1/`, { model: undefined, apiKey: undefined, sampling: { ...sampling, topK: 3 }, signal: never });
  const { input, out, done } = talk(partner);
  input.end('one\ntwo\nthree\n');
  await expect(done()).rejects.toMatchObject({ code: 'E_CONTEXT' });
  expect(out.text).toBe('one, 0, 3\ntwo, 0, 3\n');
  expect(out.notes[0]).toContain('cut');
  await using unknown = await serverPartner(url, { model: 'nobody', apiKey: undefined, sampling, signal: never });
  await expect(unknown.reply([{ role: 'user', content: 'a' }], { signal: never, onText: () => {} })).rejects.toMatchObject({ code: 'E_SERVER', details: { status: 404 } });
});

test('a server that dies in a reply, or speaks no JSON, is told as one: E_SERVER', async () => {
  const http = createHttpServer((request, response) => {
    if (request.url === '/v1/models') return void response.end('<html>');
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n', () => (wild ? void response.end('data: <html>\n\n') : setTimeout(() => response.destroy(), 20)));
  });
  let wild = false;
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const options = { apiKey: undefined, sampling, signal: never };
    await expect(serverPartner(url, { ...options, model: undefined })).rejects.toMatchObject({ code: 'E_SERVER', message: expect.stringContaining('no JSON') as string });
    await using partner = await serverPartner(url, { ...options, model: 'a' });
    const reply = (): Promise<unknown> => partner.reply([{ role: 'user', content: 'a' }], { signal: never, onText: () => {} });
    await expect(reply()).rejects.toMatchObject({ code: 'E_SERVER', message: expect.stringContaining('broke off') as string });
    wild = true;
    await expect(reply()).rejects.toMatchObject({ code: 'E_SERVER', message: expect.stringContaining('no JSON') as string });
    const abort = new AbortController();
    await expect(partner.reply([{ role: 'user', content: 'a' }], { signal: abort.signal, onText: () => abort.abort(new Error('enough')) })).rejects.toThrow('enough');
  } finally {
    http.close();
  }
});
