/** What a fleet calibrates, and asks a teacher, is the same bytes as from one machine, also when workers die on the way. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRng, denseOf, GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { noNats, startNats } from '../packages/parallel/src/nats/testing/nats-server.js';
import { Processes } from './support/fleet.js';
import { penjing } from './support/penjing-process.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-fleet-calibrate-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const WIDTH = 32;
const CLASSES = 4;

async function writeNetwork(path: string, layers: number, seed: number): Promise<void> {
  const rng = createRng(seed);
  const normal = (rows: number, cols: number) => denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / 6));
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  let x = b.input('x', tensorType('float32', ['n', WIDTH]));
  for (let i = 0; i < layers; i++) x = b.op('Relu', [b.op('MatMul', [x, b.initializer(`w${i}`, normal(WIDTH, WIDTH))])]);
  b.output(b.op('MatMul', [x, b.initializer('head', normal(WIDTH, CLASSES))], {}, { outputs: ['logits'] }), 'logits', tensorType('float32', ['n', CLASSES]));
  await saveFile(path, serializeOnnx(model));
}

const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  await writeNetwork(at('model.onnx'), 3, 1);
  await writeNetwork(at('teacher.onnx'), 4, 2);
  const rng = createRng(5);
  const row = (): number[] => Array.from({ length: WIDTH }, () => rng.normal());
  writeFileSync(at('data.jsonl'), Array.from({ length: 40 }, (_, i) => JSON.stringify({ x: [row()], label: i % CLASSES })).join('\n'));
  cpSync(new URL('../models/sapling', import.meta.url), at('sapling'), { recursive: true });
});

const common = ['--threads', '1', '--json'];

async function filesOf(path: string): Promise<Map<string, Buffer>> {
  const names = await readdir(path, { recursive: true, withFileTypes: true });
  return new Map(names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).map((file) => [file.slice(path.length), readFileSync(file)]));
}

/** The run has statistics of a block. */
async function calibrating(output: string): Promise<void> {
  for (let i = 0; i < 3_000; i++) {
    if ((await readdir(join(`${output}.penjing`, 'calibration', 'entries')).catch(() => [])).length > 0) return;
    await sleep(10);
  }
  throw new Error('no statistics');
}

describe.skipIf(noNats !== undefined)(`a fleet that calibrates${noNats ? ` (${noNats})` : ''}`, () => {
  it('has workers ask the teacher of a student', async () => {
    await using server = await startNats();
    await using processes = new Processes();
    const distill = (output: string, ...more: string[]): string[] => ['distill', at('teacher.onnx'), '--student', at('model.onnx'), '--data', at('data.jsonl'), '-o', at(output), '--steps', '8', '--batch', '6', '--cache-teacher', ...common, ...more];
    const [worker, alone] = await Promise.all([processes.worker(server.url, folder), penjing(distill('taught-alone.onnx'))]);
    const together = await penjing(distill('taught.onnx', '--join', server.url, '--root', folder));
    expect([alone, together]).toMatchObject([{ code: 0 }, { code: 0 }]);
    expect(Buffer.compare(readFileSync(at('taught.onnx')), readFileSync(at('taught-alone.onnx')))).toBe(0);
    worker.process.kill('SIGTERM');
    const { stdout } = await worker.ended;
    // Seven parts of the answers, and what is written.
    expect(Number(/^(\d+) jobs done/m.exec(stdout)?.[1])).toBeGreaterThanOrEqual(8);
  });

  it('goes on when workers die, from a recipe', async () => {
    await using server = await startNats();
    await using processes = new Processes();
    writeFileSync(at('recipe.yaml'), `steps:\n  - quantize: { bits: 4, method: gptq, data: ${at('sapling/heldout.txt')}, samples: 24 }\n`);
    const apply = (output: string): string[] => ['apply', at('recipe.yaml'), at('sapling'), '-o', at(output), ...common];
    const alone = await penjing(apply('alone'));
    expect(alone).toMatchObject({ code: 0 });
    const workers = await Promise.all([1, 2, 3].map(() => processes.worker(server.url, folder, { more: ['--ack-wait', '2'] })));
    const running = processes.start([...apply('together'), '--join', server.url, '--root', folder, '--ack-wait', '2']);
    await calibrating(at('together'));
    workers[0]?.process.kill('SIGKILL');
    workers[1]?.process.kill('SIGSTOP');
    const together = await running.ended;
    expect(together).toMatchObject({ code: 0 });
    const expected = await filesOf(at('alone'));
    const found = await filesOf(at('together'));
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, bytes] of expected) expect([name, Buffer.compare(bytes, found.get(name)!)]).toEqual([name, 0]);
    expect(expected.size).toBeGreaterThan(3);
    expect((await readdir(folder)).filter((name) => name.endsWith('.penjing'))).toEqual([]);
    // One that was stopped comes back to jobs that others have done: nothing of it counts.
    workers[1]?.process.kill('SIGCONT');
    workers[1]?.process.kill('SIGTERM');
    expect(await workers[1]?.ended).toMatchObject({ code: 0 });
    expect((await readdir(folder)).filter((name) => name.endsWith('.penjing'))).toEqual([]);
  });
});
