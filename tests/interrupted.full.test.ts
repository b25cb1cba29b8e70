/** Ctrl-C of the verbs of parallel work, by the real command line: an end soon with 130, no output in part, no process that stays. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { noNats, startNats } from '../packages/parallel/src/nats/testing/nats-server.js';
import { hasResults, killAll, resultsOf, startWorker, writeLayers, writeRows } from './support/fleet.js';
import { type Running, startPenjing } from './support/penjing-process.js';
import { planInStages } from './support/plan-in-stages.js';
import { stageIsReady } from './support/stage-processes.js';

const env = { PENJING_STAGE_TOKEN: 'a-token-of-the-stages-of-this-test' };
const SIZE = 1024;
let folder: string;
const at = (name: string): string => join(folder, name);
let started = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-interrupted-'));
  await writeLayers(at('model.onnx'), { size: SIZE, layers: 48 });
  const plan = await planInStages(at('model.onnx'), 2);
  if (plan.layout.kind !== 'pipeline') throw new Error('no pipeline');
  await writeFile(at('stages.json'), JSON.stringify(plan));
  const here = plan.devices.map((device) => ({ ...device, host: 'here' }));
  await writeFile(at('here.json'), JSON.stringify({ ...plan, devices: here, layout: { ...plan.layout, microBatches: 64 } }));
  await writeFile(at('devices.json'), JSON.stringify({ version: 1, devices: plan.devices.map((device) => ({ ...device, host: hostname() || 'localhost' })), links: plan.links }));
  writeRows(at('rows.jsonl'), { size: SIZE, rows: 3_000 });
  writeRows(at('some.jsonl'), { size: SIZE, rows: 400 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Interrupted {
  readonly ended: Awaited<Running['ended']>;
  readonly milliseconds: number;
}

/** Sends SIGINT when `busy` settles, and looks whether anything of it stays. */
async function interrupt(argv: readonly string[], busy: (run: Running) => Promise<unknown>): Promise<Interrupted> {
  const mark = `interrupted-${process.pid}-${started++}`;
  const run = startPenjing(argv, { env: { ...env, PENJING_TEST_MARK: mark }, milliseconds: 90_000 });
  await Promise.race([busy(run), run.ended.then(({ code, stdout, stderr }) => Promise.reject(new Error(`it ended too soon with ${String(code)}: ${stdout}${stderr}`)))]);
  const sent = performance.now();
  run.process.kill('SIGINT');
  const ended = await run.ended;
  const milliseconds = performance.now() - sent;
  expect(processesOf(mark)).toEqual([]);
  return { ended, milliseconds };
}

/** Of what a command started, whoever their parent is now. */
function processesOf(mark: string): string[] {
  return readdirSync('/proc').filter((id) => {
    try {
      return /^\d+$/.test(id) && readFileSync(`/proc/${id}/environ`, 'latin1').includes(`PENJING_TEST_MARK=${mark}\0`);
    } catch {
      return false;
    }
  });
}

function expectInterrupted({ ended, milliseconds }: Interrupted): void {
  expect([ended.code, ended.signal, ended.stdout]).toEqual([130, null, '']);
  expect(ended.stderr).toMatch(/interrupted\n$/);
  expect(ended.stderr).not.toContain('E_');
  // A second or two where nothing else runs. What ONNX Runtime has begun, a session of 100 MB or a piece of a batch, it ends first, which other work makes as long as it likes; a signal that is lost costs minutes.
  expect(milliseconds).toBeLessThan(30_000);
}

const says = (pattern: RegExp) => (run: Running): Promise<void> => {
  let said = '';
  return new Promise((resolve) => run.process.stderr!.on('data', (chunk) => pattern.test((said += String(chunk))) && resolve()));
};
const exists = (path: string) => async (run: Running): Promise<void> => {
  while (run.process.exitCode === null && !existsSync(path)) await sleep(2);
};
/** It has used so many more seconds of processors: nothing else tells that a model runs. */
async function computes({ process: child }: Running, seconds: number): Promise<void> {
  const used = (): number => {
    const [user, system] = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]!.split(' ').slice(11, 13).map(Number);
    return (user! + system!) / 100;
  };
  for (const before = used(); used() < before + seconds; ) await sleep(20);
}

const here = (): string[] => ['--devices', at('devices.json'), '--size', 'batch=512'];
test.each<[string, () => string[]]>([
  ['plan', () => [at('model.onnx')]],
  ['plan --measure', () => [at('model.onnx'), ...here()]],
  ['plan --try 2', () => [at('model.onnx'), '--goal', 'throughput', ...here()]],
  ['doctor --links', () => []],
])('%s', async (name, more) => {
  const output = `${name.replaceAll(' ', '')}.json`;
  const [verb, ...options] = name.split(' ');
  expectInterrupted(await interrupt([verb!, ...more(), ...options, '-o', at(output)], says(/measure|try/)));
  expect(existsSync(at(output))).toBe(false);
});

test.each([['--stages', '3'], ['--tensor', '2']])('split %s', async (...how) => {
  const output = at(`split${how[0]}`);
  expectInterrupted(await interrupt(['split', at('model.onnx'), ...how, '-o', output], exists(`${output}.penjing`)));
  expect(readdirSync(folder).filter((entry) => entry.startsWith(`split${how[0]}`) && !entry.endsWith('.penjing'))).toEqual([]);
});

test('batch', async () => {
  const output = at('batch.jsonl');
  expectInterrupted(await interrupt(['batch', at('rows.jsonl'), '-m', at('model.onnx'), '-o', output, '--rows-per-job', '2'], () => hasResults(output, 5)));
  expect(readdirSync(folder).filter((entry) => entry.startsWith('batch.jsonl'))).toEqual(['batch.jsonl.penjing']);
});

test('run --plan', async () => {
  // Opening takes some five seconds of processors, the run half a minute.
  expectInterrupted(await interrupt(['run', at('model.onnx'), '--plan', at('here.json'), '--shape', `x=32768,${SIZE}`, '-o', at('planned')], (run) => computes(run, 10)));
  expect(existsSync(at('planned'))).toBe(false);
});

test('run --stages: the stages go on', async () => {
  const stage = (i: number, ...more: string[]): Running => startPenjing(['worker', at('model.onnx'), '--plan', at('stages.json'), '--stage', String(i), '--listen', '127.0.0.1:0', ...more], { env, milliseconds: 120_000 });
  const stages: Running[] = [];
  try {
    stages.push(stage(1));
    const next = await addressOf(stages[0]!);
    stages.push(stage(0, '--next', next));
    const [first] = await Promise.all([addressOf(stages[1]!), stageIsReady(stages[1]!)]);
    expectInterrupted(await interrupt(['run', at('model.onnx'), '--plan', at('stages.json'), '--stages', first, '--shape', `x=8192,${SIZE}`, '-o', at('staged')], () => computes(stages[1]!, 1.5)));
    expect(existsSync(at('staged'))).toBe(false);
    const again = startPenjing(['run', at('model.onnx'), '--plan', at('stages.json'), '--stages', first, '--shape', `x=2,${SIZE}`, '--quiet'], { env });
    expect(await again.ended).toMatchObject({ code: 0 });
    // Told to end by a terminal, a stage ends as by SIGTERM.
    for (const { process: child } of stages) child.kill('SIGINT');
    expect((await Promise.all(stages.map(({ ended }) => ended))).map(({ code }) => code)).toEqual([0, 0]);
  } finally {
    await killAll(stages);
  }
});

test.skipIf(noNats !== undefined)(`worker --join, and batch --join${noNats ? ` (${noNats})` : ''}`, async () => {
  await using server = await startNats();
  const worker = await startWorker(server.url, folder);
  const workers = [worker];
  try {
    const output = at('joined.jsonl');
    expectInterrupted(await interrupt(['batch', at('rows.jsonl'), '-m', at('model.onnx'), '-o', output, '--rows-per-job', '2', '--join', server.url, '--root', folder], () => hasResults(output, 5)));
    expect(readdirSync(folder).filter((entry) => entry.startsWith('joined.jsonl'))).toEqual(['joined.jsonl.penjing']);
    // It finishes what it has, and that is no failure; another one does the rest.
    const shared = at('shared.jsonl');
    const batch = startPenjing(['batch', at('some.jsonl'), '-m', at('model.onnx'), '-o', shared, '--rows-per-job', '4', '--join', server.url, '--root', folder], { env });
    workers.push(batch);
    await hasResults(shared, 5);
    worker.process.kill('SIGINT');
    expect(await worker.ended).toMatchObject({ code: 0, stopped: undefined });
    const done = await resultsOf(shared);
    expect(done).toBeLessThan(100);
    workers.push(await startWorker(server.url, folder));
    expect(await batch.ended).toMatchObject({ code: 0 });
    const rows = readFileSync(shared, 'utf8').trimEnd().split('\n');
    expect([rows.length, rows.filter((row) => row.includes('error'))]).toEqual([400, []]);
  } finally {
    await killAll(workers);
  }
});

async function addressOf({ process: child }: Running): Promise<string> {
  let said = '';
  return new Promise((resolve) => child.stderr!.on('data', (chunk) => {
    const found = /listens on (\S+)/.exec((said += String(chunk)));
    if (found) resolve(found[1]!);
  }));
}
