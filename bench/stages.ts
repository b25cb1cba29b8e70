/**
 * What a hop between pipeline stages costs: round trips of an activation through a process that sends it back, over a stage's stream (gRPC), raw TCP and HTTP/1.1;
 * and three stages on loopback, whose executors only hand on what they get. `node … bench/stages.ts [--seconds N]`.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, createServer as createHttpServer, request as httpRequest } from 'node:http';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DenseTensor, type Executor, tensorType } from '@penjing/core';
import { openStages, serveStage } from '@penjing/parallel/grpc';
import { median } from './timed.js';

const sizes = [64 << 10, 1 << 20, 4 << 20];
const type = tensorType('uint8', ['n']);

/** Gives back what it gets. */
const echo = (input: string, output: string): Executor => ({
  inputs: [{ name: input, type }], outputs: [{ name: output, type }],
  run: async (feeds) => ({ [output]: feeds[input]! }),
  async [Symbol.asyncDispose]() {},
});

/** The other process: one server of each kind, or a stage of a chain. */
const roles: Readonly<Record<string, (next: string | undefined, at: string) => Promise<string>>> = {
  grpc: async (next, at) => (await serveStage({ listen: '127.0.0.1:0', epoch: 1, open: async () => echo(`v${at}`, `v${Number(at) + 1}`), ...(next !== undefined && { next }) })).address,
  async tcp() {
    const server = createServer((socket) => void socket.setNoDelay(true).pipe(socket));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return `127.0.0.1:${(server.address() as { port: number }).port}`;
  },
  async http() {
    const server = createHttpServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part)).on('end', () => response.writeHead(200, { 'content-length': String(request.headers['content-length']) }).end(Buffer.concat(parts)));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return `127.0.0.1:${(server.address() as { port: number }).port}`;
  },
};

interface Way extends AsyncDisposable {
  readonly send: (bytes: Uint8Array) => Promise<unknown>;
}

const ways: Readonly<Record<string, (address: string) => Promise<Way>>> = {
  async grpc(address) {
    const stages = await openStages({ address, epoch: 1 });
    const { name } = stages.inputs[0]!;
    return { send: (bytes) => stages.run({ [name]: new DenseTensor('uint8', [bytes.length], bytes) }), [Symbol.asyncDispose]: () => Promise.resolve(stages[Symbol.asyncDispose]()) };
  },
  async tcp(address) {
    const socket = connect(Number(address.split(':')[1]), '127.0.0.1').setNoDelay(true);
    await once(socket, 'connect');
    const waiting: { left: number; readonly done: () => void }[] = [];
    socket.on('data', (part) => {
      for (let rest = part.length; rest > 0; ) {
        const first = waiting[0]!;
        const taken = Math.min(rest, first.left);
        rest -= taken;
        first.left -= taken;
        if (first.left === 0) waiting.shift()!.done();
      }
    });
    return {
      send: (bytes) => new Promise<void>((done) => {
        waiting.push({ left: bytes.length, done });
        socket.write(bytes);
      }),
      async [Symbol.asyncDispose]() {
        socket.destroy();
      },
    };
  },
  async http(address) {
    const agent = new Agent({ keepAlive: true });
    return {
      send: (bytes) => new Promise<void>((resolve, reject) => {
        httpRequest({ host: '127.0.0.1', port: Number(address.split(':')[1]), method: 'POST', agent, headers: { 'content-length': bytes.length } }, (response) => {
          response.on('data', () => {}).on('end', resolve);
        }).on('error', reject).end(bytes);
      }),
      async [Symbol.asyncDispose]() {
        agent.destroy();
      },
    };
  },
};

async function start(role: string, next?: string, at = '0'): Promise<{ readonly address: string; readonly end: () => void }> {
  const child = fork(fileURLToPath(import.meta.url), ['--role', role, '--at', at, ...(next === undefined ? [] : ['--next', next])], { execArgv: process.execArgv });
  const [address] = (await once(child, 'message')) as [string];
  return { address, end: () => child.kill('SIGKILL') };
}

/** Median round trip alone, and MB per second one way with four on the way. */
async function measure(send: (bytes: Uint8Array) => Promise<unknown>, size: number, seconds: number): Promise<{ readonly ms: number; readonly megabytes: number; readonly perSecond: number }> {
  const bytes = new Uint8Array(size).fill(7);
  for (let i = 0; i < 5; i++) await send(bytes);
  const times: number[] = [];
  for (const until = performance.now() + seconds * 500; performance.now() < until || times.length < 5; ) {
    const started = performance.now();
    await send(bytes);
    times.push(performance.now() - started);
  }
  const started = performance.now();
  let done = 0;
  const until = started + seconds * 500;
  await Promise.all(Array.from({ length: 4 }, async () => {
    do {
      await send(bytes);
      done++;
    } while (performance.now() < until);
  }));
  const perSecond = (done / (performance.now() - started)) * 1000;
  return { ms: median(times), megabytes: (perSecond * size) / 1e6, perSecond };
}

const row = (name: string, { ms, megabytes, perSecond }: Awaited<ReturnType<typeof measure>>): void => console.log(`| ${name} | ${ms.toFixed(3)} | ${perSecond.toFixed(0)} | ${megabytes.toFixed(0)} |`);

async function main(seconds: number): Promise<void> {
  console.log('| one hop and back | median ms | round trips/s, 4 on the way | MB/s one way |\n|---|---|---|---|');
  for (const [name, open] of Object.entries(ways)) {
    const server = await start(name);
    {
      await using way = await open(server.address);
      for (const size of sizes) row(`${name}, ${size >> 10} KB`, await measure(way.send, size, seconds));
    }
    server.end();
  }
  console.log('\n| three stages | median ms | requests/s, 4 on the way | MB/s one way |\n|---|---|---|---|');
  const chain: Awaited<ReturnType<typeof start>>[] = [];
  for (const at of ['2', '1', '0']) chain.unshift(await start('grpc', chain[0]?.address, at));
  {
    await using way = await ways['grpc']!(chain[0]!.address);
    for (const size of sizes) row(`over gRPC, ${size >> 10} KB`, await measure(way.send, size, seconds));
  }
  for (const { end } of chain) end();
}

const { values } = parseArgs({ options: { role: { type: 'string' }, next: { type: 'string' }, at: { type: 'string' }, seconds: { type: 'string', default: '4' } } });
if (values.role !== undefined) {
  process.on('disconnect', () => process.exit(0));
  process.send!(await roles[values.role]!(values.next, values.at!));
} else await main(Number(values.seconds));
