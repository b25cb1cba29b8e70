/** A language model in shards on three hosts (network namespaces), through the command line: one engine's numbers, a shard that is killed, one that is stopped, a plug that is pulled; and shards that find each other through a NATS server. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Fetches } from '@penjing/core';
import { readNpy } from '@penjing/graph-io';
import type { Plan } from '@penjing/parallel';
import { runRecipe } from '@penjing/recipe';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { noNats, startNats } from '../packages/parallel/src/nats/testing/nats-server.js';
import { relativeDifference } from '../packages/parallel/src/testing/relative-difference.js';
import { root } from './architecture/sources.js';
import { killAll } from './support/fleet.js';
import { makeNamespaces, type Namespaces, noNamespaces } from './support/namespaces.js';
import { type Ended, penjing, type Running, startPenjing } from './support/penjing-process.js';
import { planInStages } from './support/plan-in-stages.js';
import { stageIsReady } from './support/stage-processes.js';

const env = { PENJING_STAGE_TOKEN: 'a-token-of-the-shards-of-this-test' };
const SHARDS = 3;
/** The host of the front. */
const FRONT = SHARDS;
const inputs = ['-i', 'input_ids=[[5,6,7]]', '-i', 'attention_mask=[[1,1,1,1,1,1,1,1]]', '-i', 'position_ids=[[5,6,7]]', ...[0, 1, 2, 3].flatMap((layer) => ['key', 'value'].flatMap((kind) => ['--shape', `past_key_values.${layer}.${kind}=1,4,5,32`]))];

let folder = '';
let model = '';
let plan = '';
let whole: Fetches = {};

beforeAll(async () => {
  if (noNamespaces !== undefined && noNats !== undefined) return;
  folder = await mkdtemp(join(tmpdir(), 'penjing-shards-'));
  await runRecipe({ input: join(root, 'models', 'sapling'), output: join(folder, 'sapling'), steps: [{ convert: {} }] }, { check: false });
  model = join(folder, 'sapling', 'onnx', 'model.onnx');
  plan = join(folder, 'plan.json');
  const base = await planInStages(model, SHARDS);
  await writeFile(plan, JSON.stringify({ ...base, layout: { kind: 'tensor', devices: base.devices.map(({ name }) => name) } } satisfies Plan));
  whole = await outputs(['--threads', '1']);
}, 120_000);
afterAll(() => (folder === '' ? undefined : rm(folder, { recursive: true, force: true })));

function run(more: readonly string[], under: readonly string[] = []): { readonly output: string; readonly ended: Promise<Ended> } {
  const output = join(folder, `output-${Math.random().toString(36).slice(2)}`);
  return { output, ended: penjing(['run', model, '--seed', '7', '--json', '-o', output, ...inputs, ...more], { env, under }) };
}

async function outputs(more: readonly string[], under: readonly string[] = []): Promise<Fetches> {
  const { output, ended } = run(more, under);
  const { code, stdout, stderr } = await ended;
  expect([code, code === 0 ? '' : stdout + stderr]).toEqual([0, '']);
  const files = (await readdir(output)).sort();
  return Object.fromEntries(await Promise.all(files.map(async (file) => [file, readNpy(await readFile(join(output, file)))] as const)));
}

/** One engine's numbers to 1e-5, and the same bits each time. */
function sameEachTime(): (got: Fetches) => void {
  let first: string | undefined;
  const text = (values: Fetches): string => JSON.stringify(Object.entries(values).map(([name, tensor]) => [name, tensor.kind === 'dense' ? Buffer.from(tensor.bytes).toString('base64') : '']));
  return (got) => {
    expect(relativeDifference(got, whole)).toBeLessThan(1e-5);
    expect(text(got) === (first ??= text(got))).toBe(true);
  };
}

describe.skipIf(noNamespaces !== undefined)(`three hosts${noNamespaces ? ` (${noNamespaces})` : ''}`, () => {
  let hosts: Namespaces;
  beforeAll(() => void (hosts = makeNamespaces(SHARDS + 1)));
  afterAll(() => hosts?.[Symbol.dispose]());

  test('give what one engine gives; killed, stopped and cut off they fail what is under way, and go on when they are back', async () => {
    const first = `${hosts.addresses[0]}:7000`;
    const worker = (shard: number): Running => startPenjing(['worker', model, '--plan', plan, '--stage', '0', '--shard', String(shard), ...(shard === 0 ? ['--listen', first] : ['--first', first])], { env, under: hosts.on(shard), milliseconds: 300_000 });
    const check = sameEachTime();
    const ask = (): Promise<Fetches> => outputs(['--plan', plan, '--stages', first], hosts.on(FRONT));
    const workers = Array.from({ length: SHARDS }, (_, shard) => worker(shard));
    try {
      await Promise.all(workers.map(stageIsReady));
      check(await ask());

      // Another takes its place; who asks meanwhile waits for it.
      workers[1]!.process.kill('SIGKILL');
      await workers[1]!.ended;
      const waiting = ask();
      workers.push(worker(1));
      check(await waiting);

      // A process that stands still says nothing to anybody: pings find out.
      workers[2]!.process.kill('SIGSTOP');
      const later = ask();
      await new Promise((resolve) => setTimeout(resolve, 8000));
      workers[2]!.process.kill('SIGCONT');
      check(await later);

      hosts.link(1, 'down');
      const cutOff = ask();
      await new Promise((resolve) => setTimeout(resolve, 8000));
      hosts.link(1, 'up');
      check(await cutOff);

      const stranger = await penjing(['run', model, '--json', '--plan', plan, '--stages', first, ...inputs], { env: { PENJING_STAGE_TOKEN: 'another-token-than-theirs' }, under: hosts.on(FRONT) });
      expect([stranger.code, stranger.stdout]).toEqual([1, expect.stringContaining('E_KEY')]);
      for (const at of [0, 2, 3]) workers[at]!.process.kill('SIGTERM');
      expect((await Promise.all([0, 2, 3].map((at) => workers[at]!.ended))).map(({ code }) => code)).toEqual([0, 0, 0]);
    } finally {
      await killAll(workers);
    }
  }, 240_000);
});

describe.skipIf(noNats !== undefined)(`shards that join a server${noNats ? ` (${noNats})` : ''}`, () => {
  test('find the first one, and follow it to another port', async () => {
    await using server = await startNats();
    const worker = (shard: number): Running => startPenjing(['worker', model, '--plan', plan, '--stage', '0', '--shard', String(shard), '--join', server.url, ...(shard === 0 ? ['--listen', '127.0.0.1:0'] : [])], { env, milliseconds: 240_000 });
    const check = sameEachTime();
    const workers = Array.from({ length: SHARDS }, (_, shard) => worker(shard));
    try {
      await Promise.all(workers.map(stageIsReady));
      check(await outputs(['--plan', plan, '--join', server.url]));
      workers[0]!.process.kill('SIGKILL');
      workers.push(worker(0));
      await stageIsReady(workers.at(-1)!);
      check(await outputs(['--plan', plan, '--join', server.url]));
    } finally {
      await killAll(workers);
    }
  }, 240_000);

  test('options that say two things, or too little, are refused', async () => {
    const base = ['worker', model, '--plan', plan, '--stage', '0', '--json'];
    const refused = async (...more: string[]): Promise<unknown> => {
      const { code, stdout } = await penjing([...base, ...more], { env });
      return [code, (JSON.parse(stdout) as { error: { code: string; message: string } }).error];
    };
    const error = (code: string, message: string): unknown => [1, expect.objectContaining({ code, message: expect.stringContaining(message) as string })];
    expect(await Promise.all([
      refused('--listen', '127.0.0.1:0'), refused('--shard', '3', '--first', '127.0.0.1:7000'), refused('--shard', '1'), refused('--shard', '1', '--listen', '127.0.0.1:0'),
      refused('--shard', '1', '--first', '127.0.0.1:7000', '--join', 'nats://127.0.0.1:4'), refused('--shard', '0'), refused('--shard', '0', '--listen', '127.0.0.1:0', '--first', '127.0.0.1:7000'),
    ])).toEqual([
      error('E_PLAN', 'stage 0 lies on host0 and host1 and host2'), error('E_PLAN', 'no shard 3'), error('E_OPTION', 'not told where the first one is'), error('E_OPTION', '--listen'),
      error('E_OPTION', '--first'), error('E_OPTION', '--listen'), error('E_OPTION', '--first'),
    ]);
  });
});
