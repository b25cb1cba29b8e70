/** Shards of one model that meet over gRPC: the bits of shards in one process, and an end for all of a run that one of them fails, leaves or is cut off from. */
import { createRng, denseOf, type DenseTensor, type Engine, type Executor, GraphBuilder, Model, PenjingError, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { openShardsInTurn, shardModel, type ShardedModel } from '@penjing/parallel';
import { type JoinedShard, joinShards, type JoinShardsOptions, openFirstShard, openStages, type RemoteStages, serveStage, ShardHub, type Stage, type StageOptions } from '@penjing/parallel/grpc';
import { describe, expect, test } from 'vitest';
import { startFaultProxy } from './support/fault-proxy.js';
import { until } from './support/staged.js';

const WIDTH = 16;
const token = 'a-token-of-the-shards-of-this-test';
const keepAlive = { intervalMs: 200, timeoutMs: 400 };

/** Feed-forward layers with a residual, a cut output beside the whole one, and names that messages use themselves. The input may have fewer columns than what shards add up. */
function network(seed = 3, columns = WIDTH): Model {
  const rng = createRng(seed);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number): Value => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / 4)));
  let x: Value = b.input('run', tensorType('float32', ['n', columns]));
  if (columns !== WIDTH) x = b.op('MatMul', [x, weight('widen', columns, WIDTH)]);
  let hidden = x;
  for (let i = 0; i < 3; i++) {
    hidden = b.op('Relu', [b.op('MatMul', [x, weight(`up${i}`, WIDTH, 24)])]);
    x = b.op('Add', [x, b.op('MatMul', [hidden, weight(`down${i}`, 24, WIDTH)])]);
  }
  b.output(x, '0', tensorType('float32', ['n', WIDTH]));
  b.output(hidden, 'hidden', tensorType('float32', ['n', 24]));
  return model;
}

const cut = (shards: number, seed?: number): ShardedModel => shardModel(network(seed), { shards, threshold: 0 });
const feeds = (rows: number, columns = WIDTH): { readonly run: DenseTensor } => ({ run: denseOf('float32', [rows, columns], Array.from({ length: rows * columns }, (_, i) => Math.sin(i))) });
const bytesOf = (values: Awaited<ReturnType<Executor['run']>>): [string, string][] => Object.entries(values).map(([name, tensor]): [string, string] => [name, Buffer.from((tensor as DenseTensor).bytes).toString('hex')]).sort();
const codeOf = (run: Promise<unknown>): Promise<string> => run.then(() => 'done', (error: PenjingError) => error.code);

/** The reference engine, whose runs may be watched. */
function watched(onRun: () => void | Promise<void>): Engine {
  const reference = referenceEngine();
  return {
    name: 'watched',
    async load(model, options) {
      const executor = await reference.load(model, options);
      return {
        ...executor,
        async run(given, more) {
          await onRun();
          return executor.run(given, more);
        },
      };
    },
  };
}

interface Group extends AsyncDisposable {
  readonly stage: Stage;
  readonly front: RemoteStages;
  readonly members: (JoinedShard | undefined)[];
  /** Shard `shard` comes again. */
  join(shard: number, more?: Partial<JoinShardsOptions>): Promise<void>;
}

interface GroupOptions {
  readonly stage?: Partial<StageOptions>;
  /** By shard, from 1. */
  readonly members?: Readonly<Record<number, Partial<JoinShardsOptions>>>;
  readonly engine?: Engine;
  readonly replay?: boolean;
}

async function group(shards: number, { stage: more, members: own = {}, engine = referenceEngine(), replay = false }: GroupOptions = {}): Promise<Group> {
  const sharded = cut(shards);
  const hub = new ShardHub(sharded);
  const stage = await serveStage({ open: () => openFirstShard({ sharded, hub, engine }), shards: hub, listen: '127.0.0.1:0', epoch: 1, token, keepAlive, graceMs: 0, ...more });
  const members: (JoinedShard | undefined)[] = [];
  const join = async (shard: number, options: Partial<JoinShardsOptions> = {}): Promise<void> => {
    members[shard] = await joinShards({ sharded, shard, engine: referenceEngine(), first: stage.address, epoch: 1, token, keepAlive, ...options });
  };
  for (let shard = 1; shard < shards; shard++) await join(shard, own[shard]);
  const front = await openStages({ address: stage.address, epoch: 1, token, keepAlive, replay });
  return {
    stage, front, members, join,
    async [Symbol.asyncDispose]() {
      await front[Symbol.asyncDispose]();
      for (const member of members) await member?.[Symbol.asyncDispose]();
      await stage[Symbol.asyncDispose]();
    },
  };
}

describe('shards over gRPC', () => {
  test.each([2, 3, 4])('%i give the bits of shards in one process, as shapes grow and shrink', async (shards) => {
    await using here = await openShardsInTurn(cut(shards), referenceEngine());
    await using apart = await group(shards);
    for (const rows of [1, 5, 300, 2]) expect(bytesOf(await apart.front.run(feeds(rows)))).toEqual(bytesOf(await here.run(feeds(rows))));
    expect(Object.keys(await apart.front.run(feeds(3), { outputs: ['hidden'] }))).toEqual(['hidden']);
    const together = await Promise.all([4, 1, 3].map((rows) => apart.front.run(feeds(rows))));
    for (const [i, rows] of [4, 1, 3].entries()) expect(bytesOf(together[i]!)).toEqual(bytesOf(await here.run(feeds(rows))));
  });

  test('take no requests before all are there', async () => {
    const sharded = cut(3);
    const hub = new ShardHub(sharded);
    await using stage = await serveStage({ open: () => openFirstShard({ sharded, hub, engine: referenceEngine() }), shards: hub, listen: '127.0.0.1:0', epoch: 1, token, keepAlive });
    expect(stage.state).toMatchObject({ code: 'E_UNAVAILABLE', message: 'shard 1, shard 2 are not there' });
    await using one = await joinShards({ sharded, shard: 2, engine: referenceEngine(), first: stage.address, epoch: 1, token });
    await until(() => (stage.state as PenjingError).message === 'shard 1 is not there', 'shard 2');
    expect(one.state).toBe('ready');
    expect(await codeOf(openStages({ address: stage.address, epoch: 1, token, waitMs: 300 }))).toBe('E_UNAVAILABLE');
    await using other = await joinShards({ sharded, shard: 1, engine: referenceEngine(), first: stage.address, epoch: 1, token });
    await until(() => !('code' in stage.state), 'all shards');
    expect(other.state).toBe('ready');
  });

  test('a shard that fails ends the run for all with its error, and the next run works', async () => {
    let fails = 0;
    const engine = watched(() => {
      if (fails-- > 0) throw new PenjingError('E_ENGINE', 'no memory');
    });
    await using apart = await group(3, { members: { 2: { engine } } });
    const expected = bytesOf(await apart.front.run(feeds(2)));
    for (const at of [1, 2]) {
      fails = at;
      await expect(apart.front.run(feeds(2))).rejects.toMatchObject({ code: 'E_ENGINE', message: expect.stringContaining('shard 2: no memory') as string });
      fails = 0;
      expect(bytesOf(await apart.front.run(feeds(2)))).toEqual(expected);
    }
    await expect(apart.front.run({ run: denseOf('float32', [2, 3], [1, 2, 3, 4, 5, 6]) })).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
    expect(bytesOf(await apart.front.run(feeds(2)))).toEqual(expected);
  });

  test('a run that the first shard fails, or that is cancelled, is left by the others', async () => {
    let runs = 0;
    let release = (): void => {};
    let held: Promise<void> | undefined;
    let fails = false;
    const engine = watched(async () => {
      runs++;
      if (fails) throw new PenjingError('E_ENGINE', 'no memory');
      await held;
    });
    await using apart = await group(2, { engine });
    const expected = bytesOf(await apart.front.run(feeds(2)));
    fails = true;
    expect(await codeOf(apart.front.run(feeds(2)))).toBe('E_ENGINE');
    fails = false;
    expect(bytesOf(await apart.front.run(feeds(2)))).toEqual(expected);
    held = new Promise((resolve) => (release = resolve));
    const before = runs;
    const controller = new AbortController();
    const cancelled = codeOf(apart.front.run(feeds(2), { signal: AbortSignal.any([controller.signal]) }));
    await until(() => runs > before, 'the first shard to compute');
    controller.abort(new PenjingError('E_CANCELLED', 'enough'));
    expect(await cancelled).toBe('E_CANCELLED');
    release();
    held = undefined;
    expect(bytesOf(await apart.front.run(feeds(2)))).toEqual(expected);
  });

  test('one that is lost in a run fails it at once, and its return makes the stage ready; with replay the front does not notice', async () => {
    let runs = 0;
    let hangs = true;
    const engine = watched(() => (++runs > 1 && hangs ? new Promise<void>(() => {}) : undefined));
    await using apart = await group(3, { members: { 1: { engine } } });
    const lost = codeOf(apart.front.run(feeds(2)));
    await until(() => runs > 1, 'shard 1 to compute');
    // The connection is gone at once; what it computes ends never.
    void apart.members[1]![Symbol.asyncDispose]();
    expect(await lost).toBe('E_UNAVAILABLE');
    await until(() => 'code' in apart.stage.state, 'the stage to notice');
    hangs = false;
    await apart.join(1);
    await until(() => !('code' in apart.stage.state), 'shard 1 to be back');
    const expected = bytesOf(await apart.front.run(feeds(2)));

    await using front = await openStages({ address: apart.stage.address, epoch: 1, token, keepAlive, replay: true });
    await apart.members[2]![Symbol.asyncDispose]();
    const waiting = front.run(feeds(2));
    await apart.join(2);
    expect(bytesOf(await waiting)).toEqual(expected);
  });

  test('a network that goes silent, or turns bits over, loses runs and never answers wrongly', async () => {
    const sharded = cut(2);
    const hub = new ShardHub(sharded);
    await using stage = await serveStage({ open: () => openFirstShard({ sharded, hub, engine: referenceEngine() }), shards: hub, listen: '127.0.0.1:0', epoch: 1, token, keepAlive, graceMs: 0 });
    await using proxy = await startFaultProxy(stage.address);
    await using _member = await joinShards({ sharded, shard: 1, engine: referenceEngine(), first: proxy.address, epoch: 1, token, keepAlive });
    await using front = await openStages({ address: stage.address, epoch: 1, token, keepAlive });
    const expected = bytesOf(await front.run(feeds(40)));
    const again = async (): Promise<void> => {
      await until(() => !('code' in stage.state) && !('code' in front.state), 'the shard to be back');
      expect(bytesOf(await front.run(feeds(40)))).toEqual(expected);
    };
    proxy.faults.blackHole = true;
    expect(await codeOf(front.run(feeds(40)))).toBe('E_UNAVAILABLE');
    proxy.faults.blackHole = false;
    proxy.reset();
    await again();
    proxy.faults.flipEvery = 3000;
    for (let i = 0; i < 4; i++) {
      await until(() => !('code' in front.state), 'the shard to be back');
      const answer = await front.run(feeds(40)).then(bytesOf, (error: PenjingError) => error.code);
      expect([expect.stringMatching(/^E_/), expected]).toContainEqual(answer);
    }
    expect(proxy.flipped).toBeGreaterThan(0);
    proxy.faults.flipEvery = 0;
    proxy.reset();
    await again();
  }, 60_000);

  test('a message that is damaged or too large ends its run with the reason, and the next one works', async () => {
    const sharded = shardModel(network(3, 4), { shards: 2, threshold: 0 });
    const hub = new ShardHub(sharded);
    // Greetings are rare: nothing but the message itself says that it was damaged.
    const patient = { epoch: 1, token, keepAlive: { intervalMs: 30_000, timeoutMs: 30_000 } };
    await using stage = await serveStage({ ...patient, open: () => openFirstShard({ sharded, hub, engine: referenceEngine() }), shards: hub, listen: '127.0.0.1:0', graceMs: 0, limits: { requestBytes: 50_000 } });
    await using proxy = await startFaultProxy(stage.address);
    await using _member = await joinShards({ ...patient, sharded, shard: 1, engine: referenceEngine(), first: proxy.address });
    await using front = await openStages({ ...patient, address: stage.address });
    const expected = bytesOf(await front.run(feeds(400, 4)));
    // 19 KB go into the stage, and 77 KB would go from shard to shard.
    await expect(front.run(feeds(1200, 4))).rejects.toMatchObject({ code: 'E_LIMIT', message: expect.stringContaining('shard 1: ') as string });
    expect(bytesOf(await front.run(feeds(400, 4)))).toEqual(expected);
    for (let seen = 0, tries = 0; seen === 0 && tries < 20; tries++) {
      proxy.faults.flipEvery = 20_000 + 997 * tries;
      const answer = await front.run(feeds(400, 4)).then(bytesOf, (error: PenjingError) => error.code);
      proxy.faults.flipEvery = 0;
      if (typeof answer === 'string') seen++;
      else expect(answer).toEqual(expected);
      await until(() => !('code' in front.state), 'the shard to be there');
    }
    expect(proxy.flipped).toBeGreaterThan(0);
    expect(bytesOf(await front.run(feeds(400, 4)))).toEqual(expected);
  }, 60_000);

  test('what another shard lost is no reason to open the first one anew', async () => {
    let loads = 0;
    let dies = false;
    const counted: Engine = { name: 'counted', load: (model, options) => (loads++, referenceEngine().load(model, options)) };
    const dying = watched(() => {
      if (dies) throw new PenjingError('E_WORKER', 'killed');
    });
    await using apart = await group(2, { engine: counted, members: { 1: { engine: dying } } });
    const expected = bytesOf(await apart.front.run(feeds(2)));
    const before = loads;
    dies = true;
    expect(await codeOf(apart.front.run(feeds(2)))).toBe('E_UNAVAILABLE');
    dies = false;
    expect(bytesOf(await apart.front.run(feeds(2)))).toEqual(expected);
    expect(loads).toBe(before);
  });

  test('a first shard that was closed says so, twice too', async () => {
    const sharded = cut(2);
    const executor = await openFirstShard({ sharded, hub: new ShardHub(sharded), engine: referenceEngine() });
    await executor[Symbol.asyncDispose]();
    await executor[Symbol.asyncDispose]();
    expect(await codeOf(executor.run(feeds(1)))).toBe('E_DISPOSED');
  });

  test('who has no token, another plan, another cut or a number that is taken does not take part', async () => {
    await using apart = await group(3);
    const expected = bytesOf(await apart.front.run(feeds(2)));
    const base = { sharded: cut(3), shard: 1, engine: referenceEngine(), first: apart.stage.address, epoch: 1, token };
    const otherCut = shardModel(network(), { shards: 3, threshold: 1e9 });
    async function turnedAway(more: Partial<JoinShardsOptions>, why: string): Promise<void> {
      const said: string[] = [];
      await using _stranger = await joinShards({ ...base, ...more, onChange: (state) => void said.push(state === 'ready' ? state : `${state.code} ${state.message}`) });
      await until(() => said.length > 0, why);
      expect(said[0]).toContain(why);
    }
    await turnedAway({ token: 'another-token-than-theirs' }, 'E_KEY');
    await turnedAway({}, 'shard 1 is there already');
    await turnedAway({ sharded: cut(4), shard: 3 }, 'E_UNSUPPORTED');
    expect(bytesOf(await apart.front.run(feeds(2)))).toEqual(expected);
    await apart.members[1]![Symbol.asyncDispose]();
    await turnedAway({ epoch: 2 }, 'E_EPOCH');
    await turnedAway({ sharded: otherCut }, 'E_PLAN');
    // who cannot take part does not keep the place of who can
    await using _other = await joinShards({ ...base, sharded: otherCut });
    await apart.join(1);
    await until(() => !('code' in apart.front.state), 'all shards');
    expect(bytesOf(await apart.front.run(feeds(2)))).toEqual(expected);
    await expect(joinShards({ ...base, shard: 0 })).rejects.toMatchObject({ code: 'E_OPTION' });
    await expect(joinShards({ ...base, shard: 3 })).rejects.toMatchObject({ code: 'E_OPTION' });
    await expect(joinShards({ ...base, first: 'nonsense' })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('no address') as string });
  });
});
