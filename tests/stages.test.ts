/** Stages over gRPC in one process: the same numbers as one engine, bounded windows, cancellations, and what is refused. */
import { connect } from 'node:http2';
import { Client, credentials } from '@grpc/grpc-js';
import { DenseTensor, encodeText, type Feeds, GraphBuilder, Model, StringTensor, tensorType } from '@penjing/core';
import { extractModel } from '@penjing/core/calibrate';
import { referenceEngine } from '@penjing/core/reference';
import { openStages, serveStage } from '@penjing/parallel/grpc';
import { describe, expect, test } from 'vitest';
import { certificates, hasOpenssl } from './support/certificates.js';
import { affine, floats, numbersOf, openChain, threeAffine, threeOf, until } from './support/staged.js';

const failure = async (promise: Promise<unknown>): Promise<{ code?: string; message?: string }> => promise.then(() => ({}), (error: unknown) => error as { code: string });

describe('a chain of stages', () => {
  test('gives what one engine gives, bit by bit, with values that pass by a stage', async () => {
    const model = skipping();
    const engine = referenceEngine();
    await using whole = await engine.load(model);
    const cuts: [string[], string[]][] = [[['x'], ['a']], [['a'], ['b', 'early']], [['b', 'x', 'bias'], ['y']]];
    const executors = await Promise.all(cuts.map(([inputs, outputs]) => engine.load(extractModel(model, inputs, outputs))));
    await using chain = await openChain(executors.map((executor) => ({ executor })));
    expect(chain.front.inputs.map(({ name }) => name).sort()).toEqual(['bias', 'x']);
    expect(chain.front.outputs.map(({ name }) => name).sort()).toEqual(['early', 'y']);
    for (let seed = 1; seed < 6; seed++) {
      const feeds = { x: noise([seed, 8], seed), bias: noise([8], seed + 100) };
      expect(plain(await chain.front.run(feeds))).toEqual(plain(await whole.run(feeds)));
      expect(Object.keys(await chain.front.run(feeds, { outputs: ['early'] }))).toEqual(['early']);
    }
  });

  test('answers many requests at a time, each with its own', async () => {
    await using chain = await openChain(threeAffine());
    const answers = await Promise.all(Array.from({ length: 150 }, (_, i) => chain.front.run({ x: floats(i, -i) })));
    answers.forEach(({ y }, i) => expect(numbersOf(y)).toEqual([threeOf(i), threeOf(-i)].map(Math.fround)));
  });

  test('carries tensors larger than a frame, many of them, of several types', async () => {
    const names = ['a', 'b', 'c', 'text', 'half', 'none'];
    await using chain = await openChain([{ executor: echo(names), limits: { frameBytes: 1000 } }], { limits: { frameBytes: 777 } });
    const feeds: Feeds = {
      a: noise([7, 211], 1), b: noise([3], 2), c: noise([250], 3), text: new StringTensor([300], Array.from({ length: 300 }, (_, i) => encodeText(`text ${i}`))),
      half: new DenseTensor('float16', [600], new Uint8Array(1200).map((_, i) => i * 7)), none: new DenseTensor('int64', [0, 4], new Uint8Array()),
    };
    for (let i = 0; i < 3; i++) expect(plain(await chain.front.run(feeds))).toEqual(plain(feeds));
  });

  test('never has more requests than its window, and drops none', async () => {
    let held = 0;
    let most = 0;
    const slow = async (): Promise<void> => {
      most = Math.max(most, ++held);
      await new Promise((resolve) => setTimeout(resolve, 2));
      held--;
    };
    await using chain = await openChain(threeAffine({ y: slow }).map((link) => ({ ...link, limits: { window: 3 } })));
    let highest = 0;
    const watch = setInterval(() => (highest = Math.max(highest, ...chain.stages.map(({ underWay }) => underWay))), 1);
    const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => chain.front.run({ x: floats(i) })));
    clearInterval(watch);
    expect(answers.map(({ y }) => numbersOf(y)[0])).toEqual(Array.from({ length: 60 }, (_, i) => threeOf(i)));
    expect(highest).toBeLessThanOrEqual(3);
    expect(most).toBe(1); // an executor runs once at a time
  });

  test('refuses what would wait too long, by its code', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    await using chain = await openChain(threeAffine({ h: () => held }), { limits: { window: 1, waiting: 2 } });
    const runs = Array.from({ length: 5 }, (_, i) => chain.front.run({ x: floats(i) }).then(() => 'done', (error: { code: string }) => error.code));
    await until(() => chain.stages[0]!.underWay === 1, 'a request under way');
    release();
    expect((await Promise.all(runs)).sort()).toEqual(['E_OVERLOADED', 'E_OVERLOADED', 'done', 'done', 'done']);
  });
});

describe('cancellation', () => {
  test('goes down the chain to where the request is, and gives its place back', async () => {
    const stopped: unknown[] = [];
    let begun = 0;
    const hang = (_: Feeds, signal?: AbortSignal): Promise<void> => new Promise((_resolve, reject) => {
      begun++;
      signal!.addEventListener('abort', () => {
        stopped.push(signal!.reason);
        reject(signal!.reason as Error);
      });
    });
    let hanging = true;
    await using chain = await openChain(threeAffine({ y: (feeds, signal) => (hanging ? hang(feeds, signal) : undefined) }).map((link) => ({ ...link, limits: { window: 1 } })));
    const controller = new AbortController();
    const run = chain.front.run({ x: floats(1) }, { signal: controller.signal });
    await until(() => begun === 1, 'the last stage to begin');
    controller.abort(new Error('enough'));
    await expect(run).rejects.toThrow('enough');
    await until(() => stopped.length === 1 && chain.stages.every(({ underWay }) => underWay === 0), 'the last stage to stop');
    expect(stopped[0]).toMatchObject({ code: 'E_CANCELLED' });
    hanging = false;
    expect(numbersOf((await chain.front.run({ x: floats(4) }))['y'])).toEqual([threeOf(4)]);
  });

  test('a request that was cancelled before it began is not sent', async () => {
    await using chain = await openChain(threeAffine());
    await expect(chain.front.run({ x: floats(1) }, { signal: AbortSignal.abort(new Error('never')) })).rejects.toThrow('never');
    expect(chain.stages[0]!.underWay).toBe(0);
  });

  test('a front that leaves takes its requests with it', async () => {
    let aborted = false;
    await using chain = await openChain(threeAffine({ y: (_, signal) => new Promise((_resolve, reject) => signal!.addEventListener('abort', () => {
      aborted = true;
      reject(signal!.reason as Error);
    })) }));
    const run = failure(chain.front.run({ x: floats(1) }));
    await until(() => chain.stages[2]!.underWay === 1, 'the request at the last stage');
    await chain.front[Symbol.asyncDispose]();
    expect(await run).toMatchObject({ code: 'E_DISPOSED' });
    await until(() => aborted && chain.stages.every(({ underWay }) => underWay === 0), 'all stages to let go');
  });
});

describe('failures', () => {
  test('of an executor come back with their code, and only to their request', async () => {
    await using chain = await openChain(threeAffine({ g: (feeds) => {
      if (numbersOf(feeds['h'])[0] === 5) throw Object.assign(new Error('no fives'), { code: 'E_ENGINE', hint: 'Take sixes.', details: {} });
    } }));
    const runs = await Promise.allSettled([1, 2, 3].map((x) => chain.front.run({ x: floats(x) })));
    expect(runs.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((runs[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'E_ENGINE', message: 'no fives', hint: 'Take sixes.' });
  });

  test('what is not an error of ours is not told to the other side', async () => {
    await using chain = await openChain(threeAffine({ y: () => {
      throw new Error('the password is swordfish');
    } }));
    const error = await failure(chain.front.run({ x: floats(1) }));
    expect(error.code).toBe('E_INTERNAL');
    expect(error.message).not.toContain('swordfish');
  });

  test('inputs that are missing or unknown, outputs that do not exist, types that V2 cannot carry', async () => {
    await using chain = await openChain(threeAffine());
    expect(await failure(chain.front.run({}))).toMatchObject({ code: 'E_INPUT', message: 'input x is missing' });
    expect(await failure(chain.front.run({ x: floats(1), z: floats(1) }))).toMatchObject({ code: 'E_INPUT' });
    expect(await failure(chain.front.run({ x: floats(1) }, { outputs: ['h'] }))).toMatchObject({ code: 'E_INPUT' });
    expect(await failure(chain.front.run({ x: new DenseTensor('int4', [2], Uint8Array.of(1)) }))).toMatchObject({ code: 'E_DTYPE' });
    expect(numbersOf((await chain.front.run({ x: floats(1) }))['y'])).toEqual([threeOf(1)]);
  });

  test('an executor that lost its thread is opened anew, and the request is sent again with replay', async () => {
    let opened = 0;
    const open = async (): Promise<ReturnType<typeof affine>> => {
      const mine = ++opened;
      return affine({ input: 'x', output: 'y', factor: 2, before: () => {
        if (mine === 1) throw Object.assign(new Error('the thread ended'), { code: 'E_WORKER', details: {} });
      } });
    };
    await using chain = await openChain([{ open }], { replay: true });
    expect(numbersOf((await chain.front.run({ x: floats(1) }))['y'])).toEqual([3]);
    expect(opened).toBe(2);
  });

  test('a stage that is lost fails its requests at once; with replay they are sent again when it is back', async () => {
    const executor = affine({ input: 'x', output: 'y', factor: 2, before: () => new Promise((resolve) => setTimeout(resolve, 50)) });
    const last = await serveStage({ epoch: 1, listen: '127.0.0.1:0', graceMs: 0, open: async () => executor });
    await using first = await serveStage({ epoch: 1, listen: '127.0.0.1:0', graceMs: 0, next: last.address, open: async () => affine({ input: 'w', output: 'x', factor: 1 }) });
    await using hasty = await openStages({ address: first.address, epoch: 1 });
    await using patient = await openStages({ address: first.address, epoch: 1, replay: true });
    const lost = failure(hasty.run({ w: floats(1) }));
    const saved = Promise.all([1, 2, 3].map((w) => patient.run({ w: floats(w) })));
    await until(() => last.underWay > 2, 'requests at the last stage');
    await last[Symbol.asyncDispose]();
    expect(await lost).toMatchObject({ code: 'E_UNAVAILABLE', details: { retryAfter: 1 } });
    await until(() => 'code' in hasty.state, 'the front to know');
    expect(await failure(hasty.run({ w: floats(1) }))).toMatchObject({ code: 'E_UNAVAILABLE' });
    await using _again = await serveStage({ epoch: 1, listen: last.address, graceMs: 0, open: async () => executor });
    expect((await saved).map(({ y }) => numbersOf(y)[0])).toEqual([5, 7, 9]);
  });
});

describe('places and executors that fail', () => {
  test('an address that is none, or a place that throws, is a failed try', async () => {
    await using chain = await openChain(threeAffine());
    const told: unknown[] = [];
    const place = (turn: number): { address: string; epoch: number } => {
      if (turn === 1) throw new Error('nobody answers');
      return { address: turn === 0 ? 'nonsense' : chain.stages[0]!.address, epoch: 1 };
    };
    await using front = await openStages({ address: place, epoch: 1, onChange: (state) => told.push('code' in state ? `${state.code} ${state.message}` : 'ready') });
    expect(told).toEqual([expect.stringMatching(/^E_UNAVAILABLE .*nonsense/), expect.stringMatching(/^E_UNAVAILABLE .*nobody answers/), 'ready']);
    expect(numbersOf((await front.run({ x: floats(1) }))['y'])).toEqual([threeOf(1)]);
  });

  test('one lost thread leaves the runs of others alone: they end, then the executor is disposed of', async () => {
    const opened: { disposed: boolean; release: () => void; given: unknown[] }[] = [];
    const open = async (): Promise<ReturnType<typeof affine>> => {
      const mine = { disposed: false, release: (): void => {}, given: [] as unknown[] };
      const held = new Promise<void>((resolve) => (mine.release = resolve));
      opened.push(mine);
      const inner = affine({ input: 'x', output: 'y', factor: 2, before: async (feeds) => {
        if (opened.length > 1) return;
        if (numbersOf(feeds['x'])[0] === 13) throw Object.assign(new Error('the thread ended'), { code: 'E_WORKER', details: {} });
        await held;
        if (mine.disposed) throw Object.assign(new Error('too late'), { code: 'E_DISPOSED', details: {} });
      } });
      return {
        ...inner,
        run: (feeds, options) => {
          mine.given.push(options?.transfer);
          return inner.run(feeds, options);
        },
        [Symbol.asyncDispose]: async () => void (mine.disposed = true),
      };
    };
    await using chain = await openChain([{ open, parallel: 2 }]);
    const healthy = chain.front.run({ x: floats(4) });
    await until(() => opened[0]!.given.length === 1, 'the healthy run to begin');
    expect(await failure(chain.front.run({ x: floats(13) }))).toMatchObject({ code: 'E_UNAVAILABLE' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([opened.length, opened[0]!.disposed]).toEqual([1, false]);
    opened[0]!.release();
    expect(numbersOf((await healthy)['y'])).toEqual([9]);
    await until(() => !('code' in chain.front.state) && opened.length === 2, 'the new executor');
    expect(opened[0]).toMatchObject({ disposed: true, given: [undefined, undefined] });
    expect(numbersOf((await chain.front.run({ x: floats(5) }))['y'])).toEqual([11]);
  });

  test('a stage that cannot begin leaves no executor open', async () => {
    let open = 0;
    const counted = async (): Promise<ReturnType<typeof affine>> => {
      open++;
      return { ...affine({ input: 'x', output: 'y', factor: 1 }), [Symbol.asyncDispose]: async () => void open-- };
    };
    const bad = { ca: 'no certificate', cert: 'none', key: 'none' };
    expect(await failure(serveStage({ epoch: 1, listen: '127.0.0.1:0', next: 'nowhere', open: counted }))).toMatchObject({ code: 'E_OPTION' });
    expect((await failure(serveStage({ epoch: 1, listen: '127.0.0.1:0', next: '127.0.0.1:1', tls: bad, open: counted }))).message).toBeTruthy();
    expect(open).toBe(0);
  });

  test('a stage never says that it takes requests before the next one does', async () => {
    const told: boolean[] = [];
    await using stage = await serveStage({ epoch: 1, listen: '127.0.0.1:0', graceMs: 0, next: () => undefined, open: async () => affine({ input: 'x', output: 'y', factor: 1 }), onChange: (state) => told.push('code' in state) });
    expect('code' in stage.state).toBe(true);
    await until(() => told.length > 1, 'a try');
    expect(told).not.toContain(false);
  });
});

describe('refused', () => {
  test('another epoch, of the front or between stages', async () => {
    await using chain = await openChain(threeAffine());
    expect(await failure(openStages({ address: chain.stages[0]!.address, epoch: 2 }))).toMatchObject({ code: 'E_EPOCH' });
    await using before = await serveStage({ epoch: 2, listen: '127.0.0.1:0', next: chain.stages[0]!.address, graceMs: 0, open: async () => affine({ input: 'w', output: 'x', factor: 1 }) });
    expect(await failure(openStages({ address: before.address, epoch: 2 }))).toMatchObject({ code: 'E_EPOCH' });
  });

  test('a wrong token and none', async () => {
    const token = 'a-token-of-some-length';
    await using chain = await openChain(threeAffine().map((link) => ({ ...link, token })), { token });
    const { address } = chain.stages[0]!;
    expect(await failure(openStages({ address, epoch: 1, token: 'another-token-of-some-length' }))).toMatchObject({ code: 'E_KEY', message: expect.stringContaining('not that of the stage') as string });
    expect(await failure(openStages({ address, epoch: 1 }))).toMatchObject({ code: 'E_KEY', message: expect.stringContaining('wants a token') as string });
    expect(numbersOf((await chain.front.run({ x: floats(1) }))['y'])).toEqual([threeOf(1)]);
  });

  test('to listen for everybody', async () => {
    const open = async (): Promise<never> => {
      throw new Error('not to be opened');
    };
    for (const listen of ['0.0.0.0:0', '[::]:0', '192.0.2.1:0']) expect(await failure(serveStage({ epoch: 1, listen, open }))).toMatchObject({ code: 'E_OPTION' });
    expect(await failure(serveStage({ epoch: 1, listen: '127.0.0.1:0', token: 'short', open }))).toMatchObject({ code: 'E_OPTION' });
    expect(await failure(serveStage({ epoch: 1, listen: 'nowhere', open }))).toMatchObject({ code: 'E_OPTION' });
    await using forced = await serveStage({ epoch: 1, listen: '0.0.0.0:0', force: true, graceMs: 0, open: async () => affine({ input: 'x', output: 'y', factor: 1 }) });
    expect(forced.address).toMatch(/^0\.0\.0\.0:\d+$/);
  });

  test('a request larger than the stage takes, before it is sent', async () => {
    await using chain = await openChain(threeAffine().map((link) => ({ ...link, limits: { requestBytes: 1000 } })));
    expect(await failure(chain.front.run({ x: noise([251], 1) }))).toMatchObject({ code: 'E_LIMIT' });
    expect(Object.keys(await chain.front.run({ x: noise([250], 1) }))).toEqual(['y']);
  });

  test('an address where nobody listens, in the time given', async () => {
    expect(await failure(openStages({ address: '127.0.0.1:1', epoch: 1, waitMs: 300 }))).toMatchObject({ code: 'E_UNAVAILABLE' });
  });
});

test.skipIf(!hasOpenssl)('TLS with certificates of both sides; a client without one is refused', async () => {
  const tls = await certificates();
  const secured = threeAffine().map((link) => ({ ...link, tls }));
  await using chain = await openChain(secured, { tls });
  expect(numbersOf((await chain.front.run({ x: floats(3) }))['y'])).toEqual([threeOf(3)]);
  const { address } = chain.stages[0]!;
  expect(await failure(openStages({ address, epoch: 1, tls: { ca: tls.ca }, waitMs: 700 }))).toMatchObject({ code: 'E_UNAVAILABLE' });
  expect(await failure(openStages({ address, epoch: 1, waitMs: 700 }))).toMatchObject({ code: 'E_UNAVAILABLE' });
});

test('probes are told whether the stages take requests', async () => {
  const health = (address: string): Promise<number> => new Promise((resolve, reject) => {
    const client = new Client(address, credentials.createInsecure());
    client.makeUnaryRequest('/grpc.health.v1.Health/Check', (bytes: Buffer) => bytes, (bytes: Buffer) => bytes, Buffer.alloc(0), (error, bytes) => {
      client.close();
      if (error || !bytes) reject(error ?? new Error('no answer'));
      else resolve(bytes[1]!);
    });
  });
  await using chain = await openChain(threeAffine());
  expect(await health(chain.stages[0]!.address)).toBe(1);
  await chain.stages[2]![Symbol.asyncDispose]();
  await until(() => 'code' in chain.stages[0]!.state, 'the first stage to know');
  expect(await health(chain.stages[0]!.address)).toBe(2);
});

test('megabytes may be on their way to a stage, not only 64 KB', async () => {
  await using chain = await openChain(threeAffine());
  const session = connect(`http://${chain.stages[0]!.address}`);
  try {
    await until(() => (session.state.remoteWindowSize ?? 0) > 1 << 20, 'the window of the connection');
    expect(session.remoteSettings.initialWindowSize).toBeGreaterThan(1 << 20);
  } finally {
    session.destroy();
  }
});

/** x and bias pass by the first stage, early is an output of the second one. */
function skipping(): Model {
  const model = new Model();
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['rows', 8]));
  const bias = b.input('bias', tensorType('float32', [8]));
  const [a] = b.nodes('Tanh', [x], {}, { outputs: ['a'] });
  const [early] = b.nodes('Neg', [a!], {}, { outputs: ['early'] });
  const [c] = b.nodes('Mul', [a!, a!], {}, { outputs: ['b'] });
  const [y] = b.nodes('Add', [b.op('Mul', [c!, x]), bias], {}, { outputs: ['y'] });
  model.graph.outputs.push(y!, early!);
  return model;
}

function noise(shape: readonly number[], seed: number): DenseTensor {
  const data = new Float32Array(shape.reduce((product, dim) => product * dim, 1));
  for (let i = 0, state = seed; i < data.length; i++) data[i] = ((state = (state * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff) * 4 - 2;
  return DenseTensor.of('float32', shape, data);
}

function plain(values: Feeds): object {
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, tensor]) => [name, [tensor.dtype, [...tensor.shape], tensor.kind === 'dense' ? Buffer.from(tensor.bytes).toString('hex') : tensor.values.map((value) => Buffer.from(value).toString())]]));
}

function echo(names: readonly string[]): ReturnType<typeof affine> {
  const values = names.map((name) => ({ name: `${name}`, type: { kind: 'tensor' as const } }));
  return { inputs: values, outputs: values, run: async (feeds) => ({ ...feeds }), async [Symbol.asyncDispose]() {} };
}
