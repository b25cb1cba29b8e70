/** What a stage does with clients that break the protocol: their stream ends, or their request fails; nobody else notices. */
import { connect, type IncomingHttpHeaders } from 'node:http2';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { DenseTensor } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeFrame, encodeFrame, type Frame } from '../packages/parallel/src/grpc/frame.js';
import { floats, numbersOf, openChain, threeAffine, threeOf, until } from './support/staged.js';

describe('hostile clients', () => {
  const frame = (rest: Partial<Frame>): Frame => ({ kind: 'run', epoch: 1, request: 1, piece: 0, last: true, tensors: [{ name: 'x', tensor: floats(1) }], outputs: ['y'], ...rest });
  const hello = frame({ kind: 'hello', request: 0, tensors: [] });

  test.each<[string, (Frame | Uint8Array)[], RegExp]>([
    ['no hello', [frame({})], /begins with hello/],
    ['another epoch at first', [{ ...hello, epoch: 9 }], /plan 9/],
    ['no frame at all', [Buffer.from('GET / HTTP/1.1\r\n\r\n')], /at byte|field/],
    ['a frame of the other direction', [hello, frame({ kind: 'result' })], /kind|damaged|illegal/],
    ['more requests than the window', [hello, ...Array.from({ length: 5 }, (_, i) => frame({ request: i + 1 }))], /more than 4 requests/],
    ['the same request twice', [hello, frame({}), frame({})], /already/],
    ['a second piece without a first', [hello, frame({ piece: 1 })], /has not begun/],
    ['a request inside another', [hello, frame({ last: false }), frame({ request: 2 })], /begins inside/],
    ['a request that ends inside a tensor', [hello, frame({ tensors: [{ name: 'x', tensor: new DenseTensor('uint8', [4], new Uint8Array(4)), parameters: { of: 'FP32', shape: '2', size: 8, offset: 0 } }] })], /not come whole/],
    ['a message larger than any frame', [hello, new Uint8Array(4 << 20)], /larger than max/],
  ])('%s: the stream ends, others do not notice', async (_, frames, why) => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    await using chain = await openChain(threeAffine({ y: (feeds) => (numbersOf(feeds['g'])[0] === 19 ? undefined : held) }).map((link) => ({ ...link, limits: { window: 4 } })));
    expect(await rawStream(chain.stages[0]!.address, frames)).toMatch(why);
    release();
    expect(numbersOf((await chain.front.run({ x: floats(2.5) }))['y'])).toEqual([threeOf(2.5)]);
    await until(() => chain.stages.every(({ underWay }) => underWay === 0), 'all requests to end');
  });

  test('a frame of another epoch fails its request alone', async () => {
    await using chain = await openChain(threeAffine());
    expect(await rawStream(chain.stages[0]!.address, [hello, frame({ epoch: 5 }), frame({ request: 2 })], 2)).toMatch(/1: E_EPOCH 2: result|2: result 1: E_EPOCH/);
  });

  test('a cancellation of what never was is answered', async () => {
    await using chain = await openChain(threeAffine());
    expect(await rawStream(chain.stages[0]!.address, [hello, frame({ kind: 'cancel', request: 77, tensors: [] })], 1)).toBe('77: E_CANCELLED');
  });

  test('a client that never reads: its stream ends, others do not notice', async () => {
    await using chain = await openChain(threeAffine());
    const session = connect(`http://${chain.stages[0]!.address}`);
    try {
      const stream = session.request({ ':method': 'POST', ':path': '/penjing.Stage/Flow', 'content-type': 'application/grpc', te: 'trailers' });
      let told: unknown;
      stream.on('trailers', (trailers: IncomingHttpHeaders) => (told = trailers['grpc-message']));
      stream.write(grpcMessage(hello));
      const cancels = Buffer.concat(Array.from({ length: 1000 }, () => grpcMessage({ kind: 'cancel', epoch: 1, request: 77, piece: 0, last: true, tensors: [] })));
      for (let i = 0; i < 40; i++) await new Promise((resolve) => stream.write(cancels, resolve));
      let bytes = 0;
      stream.on('data', (some: Buffer) => (bytes += some.length));
      await until(() => told !== undefined, 'the end of the stream');
      expect(decodeURIComponent(String(told))).toMatch(/answers are not read/);
      expect(bytes).toBeLessThan(4 << 20);
    } finally {
      session.destroy();
    }
    expect(numbersOf((await chain.front.run({ x: floats(3) }))['y'])).toEqual([threeOf(3)]);
  });

  test('arbitrary frames after a good start', async () => {
    await using chain = await openChain(threeAffine());
    const arbitrary = fc.record({ request: fc.integer({ min: 0, max: 3 }), piece: fc.integer({ min: 0, max: 2 }), last: fc.boolean(), kind: fc.constantFrom('run', 'cancel', 'hello') }) as fc.Arbitrary<Partial<Frame>>;
    await fc.assert(fc.asyncProperty(fc.array(fc.oneof(arbitrary.map((rest) => frame(rest)), fc.uint8Array({ maxLength: 40 })), { maxLength: 6 }), async (frames) => {
      await rawStream(chain.stages[0]!.address, [hello, ...frames, new Uint8Array(1)]);
    }), { numRuns: 25 });
    expect(numbersOf((await chain.front.run({ x: floats(3) }))['y'])).toEqual([threeOf(3)]);
    await until(() => chain.stages.every(({ underWay }) => underWay === 0), 'all requests to end');
  });
});

/** As it stands in a stream of HTTP/2: not compressed, length, bytes. */
function grpcMessage(frame: Frame): Buffer {
  const bytes = encodeFrame(frame);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** Sends frames as they are; what the stage says of requests, after `answers` of them, or how it ends the stream. */
function rawStream(address: string, frames: readonly (Frame | Uint8Array)[], answers = Infinity): Promise<string> {
  const client = new Client(address, credentials.createInsecure());
  const same = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest('/penjing.Stage/Flow', same, same, new Metadata());
  const told: string[] = [];
  return new Promise<string>((resolve) => {
    call.on('data', (bytes: Buffer) => {
      const { kind, request, facts } = decodeFrame('response', bytes);
      if (request > 0) told.push(`${request}: ${kind === 'error' ? String(facts!['code']) : kind}`);
      if (told.length >= answers) resolve(told.join(' '));
    });
    call.on('error', (error: { details?: string }) => resolve(error.details ?? ''));
    call.on('end', () => resolve('ended'));
    for (const frame of frames) call.write(Buffer.from(frame instanceof Uint8Array ? frame : encodeFrame(frame)));
  }).finally(() => {
    call.cancel();
    client.close();
  });
}
