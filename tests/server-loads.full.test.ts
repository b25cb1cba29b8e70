/** Loading and unloading a hundred times leaves the memory of all processes of `penjing serve` as it was. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ask as askWith } from './support/overload.js';
import { endServed, processTree, residentBytes, serve, type Served } from './support/served.js';
import { doublingModel, writeModel } from './support/served-models.js';

const CYCLES = Number(process.env['PENJING_LOAD_CYCLES'] ?? 100);
const names = ['a', 'b', 'c', 'd'];

let folder: string;
let server: Served;
const agent = new Agent({ keepAlive: true });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-loads-'));
  const double = await writeModel(join(folder, 'double.onnx'), doublingModel());
  server = await serve([...names.map((name) => `${name}=${double}`), '--threads', '1', '--log-level', 'fatal']);
}, 120_000);
afterAll(async () => {
  agent.destroy();
  await endServed(server);
  await rm(folder, { recursive: true });
});

const ask = (path: string, body: object): ReturnType<typeof askWith> => askWith(agent, `${server.url}${path}`, JSON.stringify(body));

test(`${CYCLES} loads and unloads leave the memory, the processes and the open files as they were`, { timeout: 600_000 }, async () => {
  const cycle = async (name: string): Promise<void> => {
    for (const verb of ['unload', 'load']) expect((await ask(`/v2/repository/models/${name}/${verb}`, {})).status, verb).toBe(200);
    expect((await ask(`/v2/models/${name}/infer`, { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }] })).status).toBe(200);
  };
  const memory = (): Promise<number> => residentBytes(server.process.pid!);
  const processes = async (): Promise<number> => (await processTree(server.process.pid!)).length;
  const files = async (): Promise<number> => (await readdir(`/proc/${server.process.pid}/fd`)).length;
  for (const name of names) await cycle(name);
  const before = { processes: await processes(), files: await files() };
  const weights: number[] = [];
  for (let round = 0; round < CYCLES / names.length; round++) {
    await Promise.all(names.map(cycle));
    await vi.waitFor(async () => expect(await processes()).toBe(before.processes), { timeout: 20_000, interval: 50 });
    weights.push(await memory());
  }
  const mean = (from: number, to: number): number => {
    const some = weights.slice(Math.floor(from * weights.length), Math.floor(to * weights.length));
    return some.reduce((sum, bytes) => sum + bytes, 0) / some.length;
  };
  const [early, late] = [mean(0.2, 0.4), mean(0.8, 1)];
  console.log(`${CYCLES} cycles: ${(early / 2 ** 20).toFixed(0)} MiB in the second fifth, ${(late / 2 ** 20).toFixed(0)} MiB in the last`);
  expect(await files()).toBeLessThan(before.files + 16);
  // Collectors are in no hurry, and means of many hide their moods: that not even one process of a model (some 60 MiB) has stayed can be told of them.
  expect(late - early).toBeLessThan(64 * 2 ** 20);
});
