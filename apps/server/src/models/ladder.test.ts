import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { tinyDecoder } from '../../../../packages/runtime/src/testing/tiny-decoder.js';
import { writeModelFolder } from '../../../../packages/runtime/src/testing/model-folder.js';
import { modelEntrySchema } from '../config/schema.js';
import { createServer, type PenjingServer } from '../create-server.js';
import type { Written } from '../host/protocol.js';
import { type HandClock, handClock } from '../schedule/testing/hand-clock.js';
import { type FakeHosts, fakeHosts } from '../testing/fake-host.js';
import type { Pressure } from './ladder.js';
import { ModelRepository } from './repository.js';
import { folderShelf, namedShelf } from './shelf.js';

const idle: Pressure = { waiting: 0, active: 0, full: false };

describe('a ladder', () => {
  let clock: HandClock;
  let hosts: FakeHosts;
  let pressure: Record<string, Pressure>;
  let models: ModelRepository;
  const variant = (): string => models.getFor('a', 'write').variant!;
  const start = async (overload: object, load?: (variant: string | undefined) => Promise<void>): Promise<void> => {
    hosts = fakeHosts({}, { load: (source) => load?.(source.variant) ?? Promise.resolve() });
    const entry = modelEntrySchema.parse({ name: 'a', path: '/m', maxConcurrent: 4, ladder: [{ variant: 'q8' }, { variant: 'q4', loss: 0.5 }], overload: { waiting: 3, afterMs: 1000, calmMs: 5000, ...overload } });
    models = new ModelRepository(namedShelf([entry]), { createHost: hosts.create, drainMs: 1000, ladders: { clock, pressure: (model) => pressure[model.variant!] ?? idle } });
    await models.load('a');
  };
  beforeEach(() => {
    clock = handClock();
    pressure = {};
  });
  afterEach(() => models.close());

  test('goes down when many have waited for a while, step by step, and up when nothing has', async () => {
    await start({ warm: true });
    expect([variant(), hosts.made.length]).toEqual(['fp32', 3]);
    pressure = { fp32: { waiting: 3, active: 4, full: false } };
    expect(variant()).toBe('fp32');
    await clock.advance(900);
    expect(variant()).toBe('fp32');
    await clock.advance(200);
    expect(variant()).toBe('q8');
    pressure = { fp32: idle, q8: { waiting: 9, active: 4, full: false } };
    await clock.advance(1500);
    expect(variant()).toBe('q4');
    // Nothing waits, but it is busy: a better variant could not do as much.
    pressure = { q4: { waiting: 0, active: 3, full: false } };
    await clock.advance(20_000);
    expect(variant()).toBe('q4');
    pressure = {};
    await clock.advance(4000);
    expect(variant()).toBe('q4');
    await clock.advance(1500);
    expect(variant()).toBe('q8');
    await clock.advance(5000);
    expect(variant()).toBe('fp32');
  });

  test('a wave that passes at once is none, and calm begins anew after each wave', async () => {
    await start({ warm: true });
    for (let i = 0; i < 5; i++) {
      pressure = { fp32: { waiting: 5, active: 4, full: false } };
      variant();
      await clock.advance(800);
      pressure = {};
      variant();
      await clock.advance(300);
    }
    expect(variant()).toBe('fp32');
  });

  test('goes down at once before it refuses, as far as it can', async () => {
    await start({ warm: true });
    pressure = { fp32: { waiting: 64, active: 4, full: true } };
    expect(variant()).toBe('q8');
    pressure['q8'] = { waiting: 64, active: 4, full: true };
    expect(variant()).toBe('q4');
    pressure['q4'] = { waiting: 64, active: 4, full: true };
    expect(variant()).toBe('q4');
  });

  test('loads what is below with the first overload, and stays where it is until that is ready', async () => {
    let ready: () => void = () => {};
    await start({}, (which) => (which === 'q8' ? new Promise((resolve) => (ready = resolve)) : Promise.resolve()));
    expect(hosts.made.length).toBe(1);
    pressure = { fp32: { waiting: 64, active: 4, full: true } };
    expect([variant(), variant(), hosts.made.length]).toEqual(['fp32', 'fp32', 2]);
    ready();
    await vi.waitFor(() => expect(variant()).toBe('q8'));
    // One that dies is not asked.
    hosts.made[1]!.die();
    await vi.waitFor(() => expect(variant()).toBe('fp32'));
  });

  test('a variant that cannot be loaded is not tried at each request', async () => {
    await start({}, (which) => (which === undefined ? Promise.resolve() : Promise.reject(new Error('broken'))));
    pressure = { fp32: { waiting: 64, active: 4, full: true } };
    for (let i = 0; i < 10; i++) {
      expect(variant()).toBe('fp32');
      await clock.advance(100);
    }
    expect(hosts.made.length).toBe(2);
    await clock.advance(31_000);
    variant();
    expect(hosts.made.length).toBe(3);
  });

  test('goes up only to what is ready: one that has died is passed over, and with none it stays', async () => {
    let dead = false;
    await start({ warm: true }, () => (dead ? new Promise(() => {}) : Promise.resolve()));
    pressure = { fp32: { waiting: 64, active: 4, full: true }, q8: { waiting: 64, active: 4, full: true } };
    expect(variant()).toBe('q4');
    dead = true;
    hosts.made[0]!.die();
    hosts.made[1]!.die();
    pressure = {};
    await clock.advance(20_000);
    expect(variant()).toBe('q4');
    dead = false;
    await models.get('a').load();
    expect(variant()).toBe('fp32');
  });

  test('unloading gives all variants back, and none comes back for what is still in flight', async () => {
    await start({ warm: true });
    await models.unload('a');
    expect(hosts.made.map((host) => host.health().state)).toEqual(['ended', 'ended', 'ended']);
    pressure = { fp32: { waiting: 64, active: 4, full: true } };
    expect([variant(), hosts.made.length]).toEqual(['fp32', 3]);
    expect(models.ready).toBe(true);
  });
});

test('a repository tells what variants lost, from their records, and holds students to itself', async () => {
  const root = await mkdtemp(join(tmpdir(), 'penjing-ladder-'));
  try {
    await mkdir(join(root, 'a/reports'), { recursive: true });
    await mkdir(join(root, 'b'));
    await writeFile(join(root, 'a/reports/q4.json'), '{"klDivergence":0.125,"snrDb":20}');
    await writeFile(join(root, 'a/serve.json'), '{"ladder":[{"variant":"q8"},{"variant":"q4"},{"variant":"student","path":"b","loss":0.5}]}');
    const options = { createHost: fakeHosts({}).create, drainMs: 1, ladders: { pressure: () => idle } };
    const models = new ModelRepository(folderShelf(root), options);
    await models.load('a');
    expect(models.ladderOf(models.get('a'))!.rungs.map(({ identity: { rung, path, options: { variant } } }) => [rung!.variant, rung!.loss, path, variant])).toEqual([
      ['fp32', undefined, join(root, 'a'), undefined], ['q8', undefined, join(root, 'a'), 'q8'], ['q4', 0.125, join(root, 'a'), 'q4'], ['student', 0.5, join(root, 'b'), undefined],
    ]);
    await writeFile(join(root, 'a/serve.json'), '{"ladder":[{"variant":"student","path":".."}]}');
    await expect(models.load('a')).rejects.toMatchObject({ code: 'E_PATH' });
  } finally {
    await rm(root, { recursive: true });
  }
});

describe('a server', () => {
  let server: PenjingServer;
  afterEach(() => server.close());
  const post = (path: string, body: object): Promise<Response> => server.fetch(new Request(`http://localhost${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }));

  test('names the variant that answered instead of refusing, counts it, and refuses when none is left', async () => {
    const open: (() => void)[] = [];
    const said: Written = { promptTokens: 1, texts: [{ text: 'hm', tokens: 1, finishReason: 'end' }], prefillMs: 0, decodeMs: 0 };
    const hosts = fakeHosts({ write: (_params, { emit }) => new Promise((resolve) => open.push(() => (emit({ choice: 0, text: 'hm' }), resolve(said)))) });
    server = createServer({ log: { level: 'silent' }, models: [{ name: 'a', path: '/m', maxConcurrent: 1, maxQueue: 1, ladder: [{ variant: 'q4', loss: 0.1 }], overload: { warm: true } }] }, { createHost: hosts.create });
    await server.load();
    const ask = (more: object = {}): Promise<Response> => post('/v1/chat/completions', { model: 'a', messages: [{ role: 'user', content: 'a' }], ...more });
    const replies = [ask(), ask(), ask(), ask({ stream: true }), ask()];
    const refused = await replies.pop()!;
    expect(refused.status).toBe(429);
    for (let i = 0; i < 2; i++) {
      await vi.waitFor(() => expect(open.length).toBe(2));
      for (const answer of open.splice(0)) answer();
    }
    const answered = await Promise.all(replies);
    expect(answered.map(({ status, headers }) => [status, headers.get('x-penjing-variant')])).toEqual([[200, 'fp32'], [200, 'fp32'], [200, 'q4'], [200, 'q4']]);
    expect(await answered[3]!.text()).toContain('hm');
    const metrics = await (await server.fetch(new Request('http://localhost/metrics'))).text();
    expect(metrics).toContain('penjing_variant_requests_total{model="a",variant="fp32"} 2');
    expect(metrics).toMatch(/penjing_ladder_step\{model="a",version="1",variant="fp32"\} 1/);
    expect(await (await server.fetch(new Request('http://localhost/v1/models/a'))).json()).toMatchObject({ variants: [{ variant: 'fp32' }, { variant: 'q4', loss: 0.1 }] });
    expect(await (await server.fetch(new Request('http://localhost/admin/models'))).json()).toMatchObject({ models: [{ answering: 'q4', variants: [{ state: 'READY' }, { state: 'READY' }] }] });
  });

  test.each([['cold', false, /has no variant q9/], ['warm', true, /broken/]] as const)('warns of a variant that there is not, %s', { timeout: 20_000 }, async (_what, warm, reason) => {
    const folder = await writeModelFolder({ '': tinyDecoder({ context: 64 }), _q4: tinyDecoder({ context: 64 }) });
    try {
      const lines: string[] = [];
      const hosts = fakeHosts({}, { load: async ({ variant }) => void (variant === 'q9' && (await Promise.reject(new Error('broken')))) });
      server = createServer({ models: [{ name: 'a', path: folder, ladder: [{ variant: 'q4' }, { variant: 'q9' }], overload: { warm } }] }, { createHost: hosts.create, logger: pino({ level: 'warn' }, { write: (line) => void lines.push(line) }) });
      await server.load();
      expect(lines.map((line) => JSON.parse(line) as object)).toEqual([expect.objectContaining({ level: 40, model: 'a', variant: 'q9', reason: expect.stringMatching(reason) as string })]);
      expect(server.models.ready).toBe(true);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('answers with the other file of the folder, in a process of its own', { timeout: 60_000 }, async () => {
    const folder = await writeModelFolder({ '': tinyDecoder({ context: 64 }), _q4: tinyDecoder({ context: 64 }) });
    try {
      server = createServer({ log: { level: 'silent' }, models: [{ name: 'a', path: folder, threads: 1, maxConcurrent: 1, maxQueue: 0, ladder: [{ variant: 'q4' }], overload: { warm: true } }] });
      await server.load();
      const replies = await Promise.all([1, 2].map((seed) => post('/v1/completions', { model: 'a', prompt: 'abc', seed, max_tokens: 8, ignore_eos: true })));
      expect(replies.map(({ status, headers }) => [status, headers.get('x-penjing-variant')])).toEqual([[200, 'fp32'], [200, 'q4']]);
      const [first, second] = server.models.ladderOf(server.models.get('a'))!.rungs;
      expect(first!.health()!.pid).not.toBe(second!.health()!.pid);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
