/** Calibration with samples that are together larger than what it may take: memory does not grow with their number. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createRng, denseOf, GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command } from './support/penjing-process.js';

/** Rows and columns of a sample: 1 MiB. */
const SIDE = 512;
const MOST_SAMPLES = 500;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-memory-'));
  const rng = createRng(3);
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const rows = b.op('ReduceMean', [b.input('x', tensorType('float32', [1, SIDE, SIDE]))], { axes: [1], keepdims: 0 });
  const weight = b.initializer('w', denseOf('float32', [SIDE, 32], Array.from({ length: SIDE * 32 }, () => rng.normal())));
  b.output(b.op('MatMul', [b.op('Add', [rows, b.constant('float32', [0.5])]), weight]), 'y', tensorType('float32', [1, 32]));
  await saveFile(join(folder, 'model.onnx'), serializeOnnx(model));
  // The rows are zeros that no disk stores.
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${MOST_SAMPLES}, ${SIDE}, ${SIDE}), }`.padEnd(117) + '\n';
  const file = await open(join(folder, 'samples.npy'), 'w');
  await file.write(Buffer.concat([Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length, 0]), Buffer.from(header, 'latin1')]));
  await file.truncate(10 + header.length + MOST_SAMPLES * SIDE * SIDE * 4);
  await file.close();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Largest resident set of the process, its threads included, in MiB. */
async function peak(samples: number): Promise<number> {
  const output = join(folder, `${samples}.onnx`);
  const child = spawn(process.execPath, [...command, 'quantize', join(folder, 'model.onnx'), '-o', output, '--static', '--data', join(folder, 'samples.npy'), '--samples', String(samples), '--quiet'], { stdio: ['ignore', 'ignore', 'pipe'], cwd: join(import.meta.dirname, '..') });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  let most = 0;
  while (child.exitCode === null && child.signalCode === null) {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
    most = Math.max(most, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
    await setTimeout(50);
  }
  expect([child.exitCode, existsSync(output)], errors).toEqual([0, true]);
  return most;
}

describe.skipIf(process.platform !== 'linux')('memory of calibration', () => {
  test(`does not grow with the number of samples: ${MOST_SAMPLES} MiB of them`, async () => {
    const few = await peak(10);
    const many = await peak(MOST_SAMPLES);
    console.log(`peak with 10 samples ${few.toFixed(0)} MiB, with ${MOST_SAMPLES} ${many.toFixed(0)} MiB`);
    expect(many - few).toBeLessThan(MOST_SAMPLES / 4);
  }, 600_000);
});
