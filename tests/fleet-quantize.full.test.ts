/** A checkpoint that four machines quantize is the same file as from one, also when two of them are lost on the way. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noNats, startNats } from '../packages/parallel/src/nats/testing/nats-server.js';
import { killAll, startWorker, writeLayers } from './support/fleet.js';
import { penjing, type Running, startPenjing } from './support/penjing-process.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-fleet-quantize-'));
const input = join(folder, 'model.onnx');
beforeAll(() => writeLayers(input, { size: 1536, layers: 12 }));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const quantize = (output: string, ...more: string[]): string[] => ['quantize', input, '-o', join(folder, output), '--bits', '4', '--json', ...more];

describe.skipIf(noNats !== undefined)(`a fleet that quantizes${noNats ? ` (${noNats})` : ''}`, () => {
  it('writes the bytes of one machine, and goes on when half of it dies', async () => {
    await using server = await startNats();
    const join4 = ['--join', server.url, '--root', folder, '--ack-wait', '2'];
    const workers: Running[] = [];
    try {
      const alone = await penjing(quantize('alone.onnx'));
      expect(alone.code).toBe(0);
      workers.push(...(await Promise.all([1, 2, 3, 4].map(() => startWorker(server.url, folder, '--ack-wait', '2')))));
      const together = await penjing(quantize('together.onnx', ...join4));
      expect(together).toMatchObject({ code: 0 });
      const expected = readFileSync(join(folder, 'alone.onnx'));
      expect(Buffer.compare(readFileSync(join(folder, 'together.onnx')), expected)).toBe(0);
      expect((JSON.parse(together.stdout) as { records: unknown }).records).toEqual((JSON.parse(alone.stdout) as { records: unknown }).records);

      const broken = startPenjing(quantize('broken.onnx', ...join4));
      await written(join(folder, 'broken.onnx.penjing', 'journal.jsonl'));
      workers[0]?.process.kill('SIGKILL');
      workers[1]?.process.kill('SIGSTOP');
      expect(await broken.ended).toMatchObject({ code: 0 });
      expect(Buffer.compare(readFileSync(join(folder, 'broken.onnx')), expected)).toBe(0);
      expect((await readdir(folder)).filter((name) => name.endsWith('.penjing'))).toEqual([]);

      // Who is told to end finishes what it has, or gives it back.
      workers[2]?.process.kill('SIGTERM');
      const ended = await workers[2]?.ended;
      expect(ended).toMatchObject({ code: 0, stopped: undefined });
    } finally {
      await killAll(workers);
    }
  });
});

/** The journal has its first finished chunk. */
async function written(journal: string): Promise<void> {
  for (let i = 0; i < 3_000; i++) {
    if (((await stat(journal).catch(() => undefined))?.size ?? 0) > 120) return;
    await sleep(10);
  }
}
