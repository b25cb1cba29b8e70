/** What a step of a training on several machines costs beyond its gradients: rounds of the exchange, over loopback, a process for each rank. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { wasmKernels } from '@penjing/kernels';
import { joinTraining, type Mean } from '@penjing/parallel/grpc';

const [world = 2, rounds = 10, ...sizes] = process.argv.slice(2).filter((word) => !word.startsWith('rank=') && !word.startsWith('at=')).map(Number);
const given = (name: string): string | undefined => process.argv.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
const counts = sizes.length > 0 ? sizes : [1e4, 1e6, 1e7];

async function freeAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

const address = given('at') ?? (await freeAddress());
const rank = Number(given('rank') ?? 0);
const others = rank > 0 ? [] : Array.from({ length: world - 1 }, (_, i) => fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), `at=${address}`, `rank=${i + 1}`], { execArgv: process.execArgv }));
const kernels = wasmKernels({ arenaBytes: 0 });
/** In this thread; a training has it computed in that of its engine. */
const mean: Mean = (parts) => {
  const sum = new Float32Array(parts[0]!.length);
  for (const part of parts) kernels.blend(sum, part, 1, 1 / parts.length);
  return sum;
};
const exchange = await joinTraining({ address, rank, world });
for (const count of counts) {
  const times: number[] = [];
  let vectors: readonly Float32Array[] = [new Float32Array(count).fill(rank)];
  for (let i = 0; i < rounds + 2; i++) {
    const started = performance.now();
    ({ vectors } = await exchange.round({ vectors, take: 'mean', mean, said: null }));
    if (i >= 2) times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  const middle = times[Math.floor(times.length / 2)]!;
  if (rank === 0) console.log(`${world} ranks, ${count} weights: ${middle.toFixed(2)} ms a round (median of ${rounds}), ${((2 * 4 * count * (world - 1)) / middle / 1e6).toFixed(3)} GB/s through rank 0`);
}
await exchange[Symbol.asyncDispose]();
await Promise.all(others.map((child) => once(child, 'exit')));
