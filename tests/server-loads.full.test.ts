/** Loading and unloading a hundred times leaves the memory of all processes of `penjing serve` as it was. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
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

test(`${CYCLES} loads and unloads leave the memory, the processes and the open files as they were`, async () => {
  const cycle = async (name: string): Promise<void> => {
    for (const verb of ['unload', 'load']) expect((await ask(`/v2/repository/models/${name}/${verb}`, {})).status, verb).toBe(200);
    expect((await ask(`/v2/models/${name}/infer`, { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }] })).status).toBe(200);
  };
  const weigh = async (): Promise<{ bytes: number; processes: number; files: number }> => {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return { bytes: await residentBytes(server.process.pid!), processes: (await processTree(server.process.pid!)).length, files: (await readdir(`/proc/${server.process.pid}/fd`)).length };
  };
  for (const name of names) await cycle(name);
  const before = await weigh();
  await Promise.all(names.map(async (name) => {
    for (let i = 0; i < CYCLES / names.length; i++) await cycle(name);
  }));
  const after = await weigh();
  console.log(`${CYCLES} cycles: ${(before.bytes / 2 ** 20).toFixed(0)} MiB before, ${(after.bytes / 2 ** 20).toFixed(0)} MiB after`);
  expect(after.processes).toBe(before.processes);
  expect(after.files).toBeLessThan(before.files + 16);
  // The heap of the server may grow by what its collector has not come to: 0.4 MiB for each cycle, where a model's process takes some 60.
  expect(after.bytes - before.bytes).toBeLessThan(40 * 2 ** 20);
});
