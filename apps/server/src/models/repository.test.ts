import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ModelEntry } from '../config/schema.js';
import { modelEntrySchema } from '../config/schema.js';
import type { Written } from '../host/protocol.js';
import { type FakeHosts, fakeHosts } from '../testing/fake-host.js';
import { ModelRepository } from './repository.js';
import type { ServedModelOptions } from './served-model.js';
import { folderShelf, namedShelf } from './shelf.js';

const entry = (name: string, path = `/models/${name}`): ModelEntry => modelEntrySchema.parse({ name, path });
const params = { prompt: { kind: 'text', text: '' }, choices: 1, options: {} } as const;
const said = (text: string): Written => ({ promptTokens: 1, texts: [{ text, tokens: 1, finishReason: 'end' }], prefillMs: 0, decodeMs: 0 });
const serving = (hosts: FakeHosts, more: Partial<ServedModelOptions> = {}): ServedModelOptions => ({ createHost: hosts.create, drainMs: 5_000, backoff: { firstMs: 1, mostMs: 20 }, ...more });

describe('a model', () => {
  test('that dies fails what is in flight, is not ready, and is started again until it is', async () => {
    const hosts = fakeHosts({ write: () => new Promise(() => {}) }, { load: async (_source, attempt) => void (attempt > 0 && attempt < 3 && (await Promise.reject(new Error('not yet')))) });
    const models = new ModelRepository(namedShelf([entry('a')]), serving(hosts));
    await models.load('a');
    expect(models.ready).toBe(true);
    const model = models.get('a');
    const call = model.call('write', params);
    hosts.made[0]!.die();
    await expect(call).rejects.toMatchObject({ code: 'E_MODEL_LOST' });
    expect([model.state, models.ready]).toEqual(['UNAVAILABLE', false]);
    await expect(model.call('write', params)).rejects.toMatchObject({ code: 'E_UNAVAILABLE' });
    await vi.waitFor(() => expect(model.state).toBe('READY'));
    expect([hosts.made.length, model.restarts, models.ready]).toEqual([4, 3, true]);
  });

  test('that is loaded anew answers all the time, and the old one ends when nothing is in flight', async () => {
    const open: ((text: string) => void)[] = [];
    const hosts = fakeHosts({ write: () => new Promise((resolve) => open.push((text) => resolve(said(text)))) });
    const models = new ModelRepository(namedShelf([entry('a')]), serving(hosts));
    await models.load('a');
    const first = models.get('a').call('write', params);
    await models.load('a');
    const second = models.get('a').call('write', params);
    expect(hosts.made.map((host) => host.health())).toMatchObject([{ state: 'ready', inFlight: 1 }, { state: 'ready', inFlight: 1 }]);
    open[0]!('old');
    open[1]!('new');
    expect((await first).texts[0]!.text + (await second).texts[0]!.text).toBe('oldnew');
    await vi.waitFor(() => expect(hosts.made[0]!.health().state).toBe('ended'));
    expect(models.get('a').state).toBe('READY');
  });

  test('that fails to load anew stays as it was', async () => {
    const hosts = fakeHosts({ write: async () => said('old') }, { load: async (_source, attempt) => void (attempt === 1 && (await Promise.reject(new Error('broken')))) });
    const models = new ModelRepository(namedShelf([entry('a')]), serving(hosts));
    await models.load('a');
    await expect(models.load('a')).rejects.toThrow('broken');
    expect(models.get('a').state).toBe('READY');
    expect((await models.get('a').call('write', params)).texts[0]!.text).toBe('old');
  });

  test('that is unloaded waits for what is in flight and is not missed', async () => {
    let answer: (result: Written) => void = () => {};
    const hosts = fakeHosts({ write: () => new Promise((resolve) => (answer = resolve)) });
    const models = new ModelRepository(namedShelf([entry('a')]), serving(hosts));
    await models.load('a');
    const call = models.get('a').call('write', params);
    const unloaded = models.unload('a');
    await vi.waitFor(() => expect(models.get('a').state).toBe('UNAVAILABLE'));
    answer(said('yes'));
    expect((await call).texts[0]!.text).toBe('yes');
    await unloaded;
    expect(hosts.made[0]!.health().state).toBe('ended');
    expect(models.ready).toBe(true);
    await models.load('a');
    expect(models.get('a').state).toBe('READY');
  });
});

describe('a repository', () => {
  let root: string;
  beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), 'penjing-repository-'))));
  afterEach(() => rm(root, { recursive: true }));

  test('serves the newest versions of each folder, as its file says', async () => {
    for (const path of ['a/1', 'a/2', 'a/10', 'b', '.hidden', 'no name']) await mkdir(join(root, path), { recursive: true });
    await writeFile(join(root, 'a/serve.json'), '{ "versions": 2, "maxQueue": 3 }');
    const hosts = fakeHosts({});
    const models = new ModelRepository(folderShelf(root), serving(hosts));
    await models.loadAll();
    expect((await models.index()).map(({ name, version, state }) => `${name} ${version} ${state}`)).toEqual(['a 2 READY', 'a 10 READY', 'b 1 READY']);
    expect(models.get('a').identity).toMatchObject({ version: '10', options: { maxQueue: 3 }, path: join(root, 'a/10') });
    expect(models.get('a', '2').identity.version).toBe('2');
    await mkdir(join(root, 'a/11'));
    await models.load('a');
    expect((await models.index()).map(({ name, version }) => `${name} ${version}`)).toEqual(['a 10', 'a 11', 'b 1']);
  });

  test('refuses what leads out of it, and names that are none', async () => {
    await mkdir(join(root, 'inside'));
    await symlink(tmpdir(), join(root, 'inside/1'));
    await symlink('/', join(root, 'link'));
    const models = new ModelRepository(folderShelf(root), serving(fakeHosts({})));
    await expect(models.load('inside')).rejects.toMatchObject({ code: 'E_PATH' });
    await expect(models.load('link')).rejects.toMatchObject({ code: 'E_PATH' });
    for (const name of ['..', '.', '../inside', 'a/b', '', ' ', 'x'.repeat(300), '盆景', 'a\0']) {
      await expect(models.load(name)).rejects.toMatchObject({ code: 'E_MODEL_NOT_FOUND' });
      expect(() => models.get(name)).toThrow(expect.objectContaining({ code: 'E_MODEL_NOT_FOUND' }));
    }
  });

  test('finds the plan of a model in itself, and refuses one elsewhere', async () => {
    await mkdir(join(root, 'a/1'), { recursive: true });
    await writeFile(join(root, 'a/plan.json'), '{}');
    const hosts = fakeHosts({});
    const models = new ModelRepository(folderShelf(root), serving(hosts));
    const load = async (options: object): Promise<void> => {
      await writeFile(join(root, 'a/serve.json'), JSON.stringify(options));
      await models.load('a');
    };
    const addresses = ['10.0.0.5:7000'];
    await load({ plan: 'a/plan.json' });
    await load({ stages: { plan: 'a/plan.json', addresses } });
    expect(hosts.made.map(({ source }) => [source?.plan, source?.stages])).toEqual([[join(root, 'a/plan.json'), undefined], [undefined, { plan: join(root, 'a/plan.json'), addresses }]]);
    for (const plan of ['../../', '..', 'a/../..']) for (const options of [{ plan }, { stages: { plan, addresses } }]) await expect(load(options)).rejects.toMatchObject({ code: 'E_PATH' });
    await expect(load({ plan: 'plan.json' })).rejects.toMatchObject({ code: 'E_CONFIG', message: expect.stringContaining('does not exist') as string });
    expect(hosts.made).toHaveLength(2);
  });

  test('is not ready before it is known what shall be, and without any model once that is known', async () => {
    let ready: () => void = () => {};
    const hosts = fakeHosts({}, { load: ({ path }) => (path.endsWith('b') ? new Promise((resolve) => (ready = resolve)) : Promise.resolve()) });
    const models = new ModelRepository(folderShelf(root), serving(hosts));
    expect(models.ready).toBe(false);
    await models.loadAll();
    expect(models.ready).toBe(true);
    for (const name of ['a', 'b']) await mkdir(join(root, name));
    const others = new ModelRepository(folderShelf(root), serving(hosts));
    const loaded = others.loadAll();
    await vi.waitFor(() => expect(others.get('b').state).toBe('LOADING'));
    expect(others.ready).toBe(false);
    ready();
    await loaded;
    expect(others.ready).toBe(true);
  });

  test('a model that is wrong is listed with what is wrong, and hides no other', async () => {
    for (const name of ['a', 'b']) await mkdir(join(root, name));
    await writeFile(join(root, 'a/serve.json'), '{');
    const models = new ModelRepository(folderShelf(root), serving(fakeHosts({})));
    await expect(models.loadAll()).rejects.toMatchObject({ code: 'E_CONFIG' });
    expect(await models.index()).toMatchObject([{ name: 'a', version: '', state: 'UNAVAILABLE', reason: expect.stringContaining('is not JSON') as string }, { name: 'b', version: '1', state: 'READY' }]);
  });

  test('names a mistake in its files', async () => {
    await mkdir(join(root, 'a'));
    for (const [text, code] of [['{', 'E_CONFIG'], ['{"ladder":[{"variant":"student","path":"nowhere"}]}', 'E_CONFIG'], ['{"maxQueue":-1}', 'E_CONFIG'], ['{"surprise":1}', 'E_CONFIG']] as const) {
      await writeFile(join(root, 'a/serve.json'), text);
      await expect(new ModelRepository(folderShelf(root), serving(fakeHosts({}))).loadAll()).rejects.toMatchObject({ code });
    }
  });
});
