/** Load on a server: wrk for throughput, and one connection that asks again and again for latency. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { encodeInferRequest, type InferRequest } from '@penjing/graph-io/v2';

export interface Body {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

export interface Load {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that were not 200, and connections that failed. */
  readonly failed: number;
}

/** A request for the outputs in the same form, unless `asJson` says otherwise. */
export function inferBody(request: InferRequest, binary: boolean, asJson = !binary): Body {
  const { parts, headerLength, contentType } = encodeInferRequest({ ...request, ...(!asJson && { parameters: { binary_data_output: true } }) }, { binary });
  return { path: '/v2/models/model/infer', headers: { 'Content-Type': contentType, ...(headerLength !== undefined && { 'Inference-Header-Content-Length': String(headerLength) }) }, bytes: Buffer.concat(parts) };
}

/** Requests a second of `clients` connections, by wrk with one thread. */
export async function wrk(url: string, { path, headers, bytes }: Body, clients: number, seconds: number): Promise<Load> {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-wrk-'));
  try {
    await writeFile(join(folder, 'body'), bytes);
    await writeFile(join(folder, 'ask.lua'), [
      `local file = io.open(${JSON.stringify(join(folder, 'body'))}, "rb")`, 'wrk.body = file:read("*a")', 'wrk.method = "POST"',
      ...Object.entries(headers).map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`),
      'done = function(summary, latency) local e = summary.errors; io.write(string.format("\\n{\\"requests\\":%d,\\"micros\\":%d,\\"p50\\":%f,\\"p99\\":%f,\\"failed\\":%d}\\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.status + e.connect + e.read + e.write + e.timeout)) end',
    ].join('\n'));
    const { stdout } = await promisify(execFile)('wrk', ['-t1', `-c${clients}`, `-d${seconds}s`, '--timeout', '20s', '-s', join(folder, 'ask.lua'), `${url}${path}`]);
    const { requests, micros, p50, p99, failed } = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<'requests' | 'micros' | 'p50' | 'p99' | 'failed', number>;
    return { perSecond: requests / (micros / 1e6), p50Ms: p50 / 1000, p99Ms: p99 / 1000, failed };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Milliseconds of each of `count` requests, one after the other on one connection without a client library. */
export async function askInTurn(url: string, { path, headers, bytes }: Body, count: number): Promise<number[]> {
  const { hostname, port } = new URL(url);
  const lines = [`POST ${path} HTTP/1.1`, `Host: ${hostname}:${port}`, `Content-Length: ${bytes.length}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)];
  const message = Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), bytes]);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  const times: number[] = [];
  let fail: (error: Error) => void = () => {};
  socket.on('error', (error) => fail(error));
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    await new Promise<void>((resolve, reject) => {
      fail = reject;
      let seen = Buffer.alloc(0);
      const onData = (chunk: Buffer): void => {
        seen = Buffer.concat([seen, chunk]);
        const end = seen.indexOf('\r\n\r\n');
        if (end < 0) return;
        const head = seen.subarray(0, end).toString('latin1');
        if (!head.startsWith('HTTP/1.1 200')) reject(new Error(seen.toString('latin1')));
        if (seen.length < end + 4 + Number(/content-length: (\d+)/i.exec(head)![1])) return;
        socket.off('data', onData);
        resolve();
      };
      socket.on('data', onData);
      socket.write(message);
    });
    times.push(performance.now() - started);
  }
  socket.destroy();
  return times;
}

export function percentile(list: readonly number[], share: number): number {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
