/** Stages that are found through a NATS server, by the command line: in any order, on free ports, from another port after one was lost, and while the server is away. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort, noNats, startNats } from '../packages/parallel/src/nats/testing/nats-server.js';
import { killAll, writeLayers } from './support/fleet.js';
import { penjing, type Running, startPenjing } from './support/penjing-process.js';
import { planInStages } from './support/plan-in-stages.js';
import { stageIsReady } from './support/stage-processes.js';

const env = { PENJING_STAGE_TOKEN: 'a-token-of-the-stages-of-this-test' };

/** Resolves when the server that tells of itself on this port has so many clients; the test ends where that never comes. */
async function isJoinedBy(monitor: number, clients: number): Promise<void> {
  for (;;) {
    const { num_connections: connections } = (await (await fetch(`http://127.0.0.1:${monitor}/connz`)).json()) as { readonly num_connections: number };
    if (connections === clients) return;
    await sleep(50);
  }
}

describe.skipIf(noNats !== undefined)(`stages that join a server${noNats ? ` (${noNats})` : ''}`, () => {
  let folder = '';
  let model = '';
  let plan = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'penjing-stages-join-'));
    model = join(folder, 'model.onnx');
    plan = join(folder, 'plan.json');
    await writeLayers(model, { size: 32, layers: 3 });
    await writeFile(plan, JSON.stringify(await planInStages(model, 3)));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const worker = (url: string, stage: number): Running => startPenjing(['worker', model, '--plan', plan, '--stage', String(stage), '--listen', '127.0.0.1:0', '--join', url], { env, milliseconds: 240_000 });
  const run = async (...where: string[]): Promise<Buffer> => {
    const output = join(folder, 'output');
    const ended = await penjing(['run', model, '--shape', 'x=4,32', '--seed', '5', '--force', '-o', output, ...where], { env });
    expect([ended.code, ended.stderr]).toEqual([0, expect.not.stringContaining('E_')]);
    return readFile(join(output, 'y.npy'));
  };

  test('give what one engine gives, follow a stage that moves, and leave the list when they end', async () => {
    const monitor = await freePort();
    await using server = await startNats({ config: `http: "127.0.0.1:${monitor}"` });
    const found = ['--plan', plan, '--join', server.url];
    const workers = [0, 1, 2].map((stage) => worker(server.url, stage));
    try {
      await Promise.all(workers.map(stageIsReady));
      const whole = await run('--threads', '1');
      expect((await run(...found)).equals(whole)).toBe(true);

      // Another process takes the place of the one in the middle, on another port.
      workers[1]!.process.kill('SIGKILL');
      workers.push(worker(server.url, 1));
      await stageIsReady(workers[3]!);
      expect((await run(...found)).equals(whole)).toBe(true);

      // The way that stages have found stays theirs; who comes anew must wait for the server.
      await server.kill();
      await server.start();
      expect((await run(...found)).equals(whole)).toBe(true);

      workers[0]!.process.kill('SIGTERM');
      expect(await workers[0]!.ended).toMatchObject({ code: 0 });
      // The two that are left have found the server again; a third one that is joined has its handlers and waits for a first stage.
      await isJoinedBy(monitor, 2);
      const late = startPenjing(['run', model, '--shape', 'x=4,32', '--json', ...found], { env, milliseconds: 240_000 });
      workers.push(late);
      await isJoinedBy(monitor, 3);
      expect(await Promise.race([late.ended, sleep(5_000, 'it waits')])).toBe('it waits');
      late.process.kill('SIGINT');
      const { code, stdout } = await late.ended;
      expect([code, stdout]).toEqual([130, expect.stringContaining('E_INTERRUPTED')]);
    } finally {
      await killAll(workers);
    }
  });

  test('are refused where others could not find them, and options that say two things', async () => {
    const stage = ['worker', model, '--plan', plan, '--stage', '1', '--json', '--join', 'nats://127.0.0.1:4'];
    const refused = async (...argv: string[]): Promise<unknown> => {
      const { code, stdout } = await penjing(argv, { env });
      return [code, (JSON.parse(stdout) as { error: { code: string; message: string } }).error];
    };
    const answers = await Promise.all([
      refused(...stage, '--listen', '0.0.0.0:7000'),
      refused(...stage, '--listen', '127.0.0.1:0', '--next', '127.0.0.1:7001'),
      refused(...stage, '--listen', '127.0.0.1:0'),
      refused('run', model, '--json', '--plan', plan, '--join', 'nats://127.0.0.1:4', '--stages', '127.0.0.1:7000'),
      refused('run', model, '--json', '--join', 'nats://127.0.0.1:4'),
    ]);
    const error = (code: string, message: string): unknown => [1, expect.objectContaining({ code, message: expect.stringContaining(message) as string })];
    expect(answers).toEqual([
      error('E_OPTION', 'others cannot find a stage at 0.0.0.0:7000'), error('E_OPTION', '--next'), error('E_BROKER', 'no NATS server answers'),
      error('E_OPTION', '--stages and --join'), error('E_OPTION', '--plan'),
    ]);
  });
});
