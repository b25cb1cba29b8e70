/** Processes that train together over loopback: one result, that of as many engines in one process; and an end for all when one is killed. */
import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ended, penjing, type Running, startPenjing } from './support/penjing-process.js';
import { printed, trainingFolder, weightsOf } from './support/training-verbs.js';

let folder: Awaited<ReturnType<typeof trainingFolder>>;
const at = (name: string): string => folder.at(name);

beforeAll(async () => void (folder = await trainingFolder()));
afterAll(() => folder[Symbol.asyncDispose]());

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const argv = (name: string, ...more: string[]): string[] => ['finetune', at('large.onnx'), '-o', at(name), '--data', at('data.jsonl'), '--batch', '24', '--rate', '0.02', '--seed', '5', '--threads', '1', '--no-check', '--json', ...more];

/** Every rank as a process, with an output of its own. */
async function ranks(prefix: string, world: number, ...more: string[]): Promise<{ readonly running: Running[]; readonly names: string[] }> {
  const address = `127.0.0.1:${await freePort()}`;
  const names = Array.from({ length: world }, (_, rank) => `${prefix}-${world}-${rank}.onnx`);
  const running = names.map((name, rank) => startPenjing(argv(name, '--join-training', address, '--rank', String(rank), '--world', String(world), ...more), { env: { PENJING_TRAINING_TOKEN: 'sixteen-characters-or-more' } }));
  return { running, names };
}

const lossesOf = ({ code, stdout, stderr }: Ended): readonly number[] => (code === 0 ? printed(stdout).training[0]!.losses : expect.fail(stderr + stdout));

test.each([2, 3])('%i processes come to the same weights, those of as many engines', async (world) => {
  const { running, names } = await ranks('whole', world, '--steps', '20');
  const [one, ...all] = await Promise.all([penjing(argv(`alone-${world}.onnx`, '--steps', '20', '--engines', String(world))), ...running.map(({ ended }) => ended)]);
  const [expected, first] = [await weightsOf(at(`alone-${world}.onnx`)), await weightsOf(at(names[0]!))];
  for (const [rank, ended] of all.entries()) {
    const losses = lossesOf(ended);
    expect(losses).toHaveLength(20);
    expect(await weightsOf(at(names[rank]!))).toEqual(first);
    expect(losses).toEqual(lossesOf(all[0]!));
  }
  expect(lossesOf(one).at(-1)).toBeLessThan(lossesOf(one)[0]!);
  for (const [name, weights] of Object.entries(expected)) {
    const norm = Math.hypot(...weights);
    expect(Math.hypot(...weights.map((value, i) => value - first[name]![i]!)) / norm).toBeLessThan(1e-5);
  }
}, 120_000);

test('a rank that is killed ends the others with a typed error, and all go on from the checkpoint of rank 0', async () => {
  const { running, names } = await ranks('cut', 2, '--steps', '100000', '--checkpoint-every', '5', '--validate-every', '5');
  // a head and what it tells of: the checkpoint of step 0 is complete
  const kept = (): number => (existsSync(`${at(names[0]!)}.penjing/training`) ? readdirSync(`${at(names[0]!)}.penjing/training`, { recursive: true }).length : 0);
  await expect.poll(kept, { timeout: 60_000, interval: 20 }).toBeGreaterThan(8);
  const killed = performance.now();
  running[1]!.process.kill('SIGKILL');
  const [first] = await Promise.all(running.map(({ ended }) => ended));
  // the rest of a step, and what is cleared up; not the minutes of a timeout
  expect(performance.now() - killed).toBeLessThan(30_000);
  expect(first!.code).toBe(1);
  expect(printed(first!.stdout).error).toMatchObject({ code: 'E_PEER', hint: expect.stringMatching(/--resume.*checkpoint of step \d+ is intact/) as string });
  expect(existsSync(at(names[0]!))).toBe(false);

  const again = await ranks('cut', 2, '--steps', '10', '--resume');
  const ended = await Promise.all(again.running.map((one) => one.ended));
  expect(lossesOf(ended[0]!)).toEqual(lossesOf(ended[1]!));
  expect(printed(ended[1]!.stdout).training[0]).toMatchObject({ resumedAt: (printed(ended[0]!.stdout).training[0] as unknown as { resumedAt: number }).resumedAt });
  expect(await weightsOf(at(names[1]!))).toEqual(await weightsOf(at(names[0]!)));
}, 120_000);
