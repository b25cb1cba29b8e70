/** Ranks that meet over loopback: the same bits on all, in bounded pieces, and an end for all when one is lost. */
import { createServer } from 'node:net';
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { isPenjingError, type PenjingError } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import { encodeFrame, jsonFrame } from './frame.js';
import { TRAINING_PATH } from './frame-stream.js';
import { joinTraining, type JoinTrainingOptions } from './join-training.js';
import type { Mean, TrainingExchange } from './training-exchange.js';
import { CHUNK } from './vector-tape.js';

async function freeAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

interface Group extends AsyncDisposable {
  readonly ranks: readonly TrainingExchange[];
}

async function group(world: number, more: (rank: number) => Partial<JoinTrainingOptions> = () => ({})): Promise<Group> {
  const address = await freeAddress();
  const ranks = await Promise.all(Array.from({ length: world }, (_, rank) => joinTraining({ address, rank, world, joinMs: 20_000, ...more(rank) })));
  return { ranks, [Symbol.asyncDispose]: async () => void (await Promise.all(ranks.map((rank) => rank[Symbol.asyncDispose]()))) };
}

const outcome = (promise: Promise<unknown>): Promise<PenjingError> => promise.then(() => expect.fail('it went well'), (error: unknown) => (isPenjingError(error) ? error : expect.fail(String(error))));

/** In float32, one rank after the other. */
const mean: Mean = (parts) => parts[0]!.map((_, i) => parts.reduce((sum, part) => Math.fround(sum + Math.fround(Math.fround(1 / parts.length) * part[i]!)), 0));

/** Bit for bit; `toEqual` takes seconds for as many numbers. */
function same(vectors: readonly Float32Array[], expected: readonly Float32Array[]): void {
  const bytes = (all: readonly Float32Array[]): Buffer => Buffer.concat(all.map(({ buffer }) => Buffer.from(buffer as ArrayBuffer)));
  expect(Buffer.compare(bytes(vectors), bytes(expected))).toBe(0);
}

describe('rounds', () => {
  test.each([2, 3, 4])('%i ranks get the mean in the order of ranks, what all say, and what rank 0 has', async (world) => {
    await using joined = await group(world);
    // two vectors across the border of a chunk, a small one, an empty one
    const sizes = [CHUNK - 5, CHUNK + 7, 3, 0];
    const vectorsOf = (rank: number): Float32Array[] => sizes.map((size, v) => Float32Array.from({ length: size }, (_, i) => Math.sin(i * (rank + 1) + v)));
    const expected = sizes.map((size, v) => {
      const sum = new Float32Array(size);
      for (let rank = 0; rank < world; rank++) {
        const part = vectorsOf(rank)[v]!;
        // each product and each sum is rounded to a float
        for (let i = 0; i < size; i++) sum[i] = Math.fround(sum[i]! + Math.fround(Math.fround(1 / world) * part[i]!));
      }
      return sum;
    });
    for (const { vectors, said } of await Promise.all(joined.ranks.map((exchange) => exchange.round({ vectors: vectorsOf(exchange.rank), take: 'mean', mean, said: { rank: exchange.rank } })))) {
      expect(said).toEqual(Array.from({ length: world }, (_, rank) => ({ rank })));
      same(vectors, expected);
    }
    for (const { vectors } of await Promise.all(joined.ranks.map((exchange) => exchange.round({ vectors: vectorsOf(exchange.rank), take: 'first', said: null })))) same(vectors, vectorsOf(0));
    for (const { said } of await Promise.all(joined.ranks.map((exchange) => exchange.round({ vectors: [], take: 'first', said: exchange.rank })))) expect(said).toEqual([...Array(world).keys()]);
  });

  test('vectors of other sizes end it on every rank', async () => {
    await using joined = await group(3);
    const errors = await Promise.all(joined.ranks.map((exchange) => outcome(exchange.round({ vectors: [new Float32Array(exchange.rank === 2 ? 4 : 3)], take: 'mean', mean, said: null }))));
    for (const { code, message } of errors) expect([code, message]).toEqual(['E_OPTION', 'rank 2 trains other weights than rank 0']);
  });
});

describe('a lost rank', () => {
  test('that says why ends the round of all others, and every later one', async () => {
    await using joined = await group(3);
    const [first, second, third] = joined.ranks as [TrainingExchange, TrainingExchange, TrainingExchange];
    const rounds = [first, second].map((exchange) => outcome(exchange.round({ vectors: [new Float32Array(9)], take: 'mean', mean, said: null })));
    third.fail(Object.assign(new Error('the disk is full'), { code: 'E_DISK_FULL' }));
    for (const error of await Promise.all(rounds)) expect(error).toMatchObject({ code: 'E_PEER', message: expect.stringContaining('E_DISK_FULL: the disk is full') as string });
    expect((await outcome(first.round({ vectors: [], take: 'first', said: null }))).code).toBe('E_PEER');
    expect((await outcome(second.round({ vectors: [], take: 'first', said: null }))).code).toBe('E_PEER');
  });

  test.each([0, 1])('rank %i that just ends is noticed by who waits', async (gone) => {
    const joined = await group(3);
    const others = joined.ranks.filter(({ rank }) => rank !== gone);
    const rounds = others.map((exchange) => outcome(exchange.round({ vectors: [new Float32Array(9)], take: 'mean', mean, said: null })));
    await joined.ranks[gone]![Symbol.asyncDispose]();
    for (const error of await Promise.all(rounds)) expect(error).toMatchObject({ code: 'E_PEER', hint: expect.stringContaining('--resume') as string });
    await joined[Symbol.asyncDispose]();
  });
});

describe('joining', () => {
  const token = 'a token of sixteen characters or more';

  test('takes a token, and ranks that come before rank 0', async () => {
    const address = await freeAddress();
    const join = (rank: number): Promise<TrainingExchange> => joinTraining({ address, rank, world: 2, security: { token: token.replaceAll(' ', '-') }, joinMs: 20_000 });
    const notes: string[] = [];
    const early = joinTraining({ address, rank: 1, world: 2, security: { token: token.replaceAll(' ', '-') }, joinMs: 20_000, onNote: (text) => notes.push(text) });
    await expect.poll(() => notes, { timeout: 10_000 }).toEqual([`rank 0 is not at ${address} yet`]);
    const ranks = await Promise.all([join(0), early]);
    expect((await Promise.all(ranks.map((exchange) => exchange.round({ vectors: [], take: 'first', said: 1 })))).map(({ said }) => said)).toEqual([[1, 1], [1, 1]]);
    for (const rank of ranks) await rank[Symbol.asyncDispose]();
  });

  test('refuses another token, another number of ranks, and a rank that is there already', async () => {
    const address = await freeAddress();
    const secret = token.replaceAll(' ', '-');
    const notes: string[] = [];
    const join = (more: Partial<JoinTrainingOptions>): Promise<TrainingExchange> => joinTraining({ address, rank: 1, world: 3, security: { token: secret }, joinMs: 20_000, ...more });
    const hub = join({ rank: 0, onNote: (text) => notes.push(text) });
    expect((await outcome(join({ security: { token: `${secret}-` } }))).code).toBe('E_KEY');
    expect((await outcome(join({ security: {} }))).code).toBe('E_KEY');
    expect(await outcome(join({ world: 2 }))).toMatchObject({ code: 'E_OPTION', message: 'rank 0 was asked for 2 ranks, there are 3' });
    const first = join({});
    await expect.poll(() => notes, { timeout: 10_000 }).toEqual(['2 of 3 ranks are there']);
    expect(await outcome(join({}))).toMatchObject({ code: 'E_PEER', message: 'rank 1 is there already' });
    const ranks = await Promise.all([hub, first, join({ rank: 2 })]);
    expect(await outcome(join({}))).toMatchObject({ code: 'E_PEER' });
    for (const rank of ranks) await rank[Symbol.asyncDispose]();
  });

  test('names the ranks that did not come, and takes no rank, world or address that is none', async () => {
    const address = await freeAddress();
    const [hub, member] = await Promise.all([outcome(joinTraining({ address, rank: 0, world: 3, joinMs: 1500 })), outcome(joinTraining({ address, rank: 2, world: 3, joinMs: 20_000 }))]);
    expect(hub.message).toBe('rank 1 did not come within 1.5 seconds');
    expect(member).toMatchObject({ code: 'E_PEER', message: hub.message });
    for (const wrong of [{ rank: 3 }, { rank: -1 }, { world: 1 }, { world: 1.5 }, { address: 'nowhere' }, { address: '0.0.0.0:9' }]) expect((await outcome(joinTraining({ address, rank: 0, world: 3, ...wrong }))).code).toBe('E_OPTION');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(joinTraining({ address, rank: 0, world: 2, signal })).rejects.toThrow('enough');
    const controller = new AbortController();
    const waiting = joinTraining({ address: await freeAddress(), rank: 0, world: 2, signal: controller.signal });
    setTimeout(() => controller.abort(new Error('later')), 50);
    await expect(waiting).rejects.toThrow('later');
    // Between two tries; and while the signal has fired already when the waiting begins.
    for (const fire of [(abort: () => void) => setTimeout(abort, 50), (abort: () => void) => abort()]) {
      const other = new AbortController();
      const looking = joinTraining({ address: await freeAddress(), rank: 1, world: 2, joinMs: 20_000, signal: other.signal, onNote: () => fire(() => other.abort(new Error('no more'))) });
      await expect(looking).rejects.toThrow('no more');
    }
    const atOnce = new AbortController();
    const begun = joinTraining({ address: await freeAddress(), rank: 0, world: 2, joinMs: 20_000, signal: atOnce.signal });
    atOnce.abort(new Error('at once'));
    await expect(begun).rejects.toThrow('at once');
  });

  test('a message with a flipped bit, or that is none, ends the stream with its reason', async () => {
    const address = await freeAddress();
    const hub = outcome(joinTraining({ address, rank: 0, world: 2, joinMs: 2500 }));
    const send = (message: Buffer): Promise<string> => new Promise((resolve) => {
      const client = new Client(address, credentials.createInsecure());
      const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(TRAINING_PATH, (bytes: Buffer) => bytes, (bytes: Buffer) => bytes, new Metadata(), { deadline: Date.now() + 3000 });
      call.on('data', (bytes: Buffer) => {
        resolve(bytes.subarray(16).toString());
        client.close();
      });
      call.on('error', (error) => resolve(String(error)));
      call.write(message);
    });
    const hello = encodeFrame(jsonFrame('hello', 0, { protocol: 1, rank: 1, world: 2 }));
    hello[20]! ^= 4;
    expect(await send(hello)).toContain('E_CHECKSUM');
    for (const message of [Buffer.alloc(3), encodeFrame({ kind: 'chunk', round: 1, index: 0, bytes: Buffer.alloc(8) }), encodeFrame({ kind: 'hello', round: 0, index: 0, bytes: Buffer.from('{') })]) expect(await send(message)).toContain('E_REQUEST');
    expect(await send(encodeFrame(jsonFrame('hello', 0, null)))).toMatch(/E_/);
    expect((await hub).code).toBe('E_PEER');
  });
});
