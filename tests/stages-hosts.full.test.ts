/** Real models in three stages on three hosts (network namespaces), through the command line: the bytes of one engine, a plug that is pulled, and who is turned away. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DenseTensor, inferShapes, memorySource } from '@penjing/core';
import { readNpy, readOnnx } from '@penjing/graph-io';
import type { Plan } from '@penjing/parallel';
import { planEpoch } from '@penjing/parallel/grpc';
import { openLayout } from '@penjing/parallel/node';
import { runRecipe } from '@penjing/recipe';
import { ortEngine, randomFeeds } from '@penjing/runtime';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { root } from './architecture/sources.js';
import { makeNamespaces, type Namespaces, noNamespaces } from './support/namespaces.js';
import { penjing, type Running, startPenjing } from './support/penjing-process.js';
import { planInStages } from './support/plan-in-stages.js';
import { stageIsReady, startStageProcess, type StageProcess } from './support/stage-processes.js';
import { testData } from './tools/test-data.js';

const token = 'a-token-of-the-stages-of-this-test';
const env = { PENJING_STAGE_TOKEN: token };
const STAGES = 3;
const FRONT = 3;

describe.skipIf(noNamespaces !== undefined)(`three hosts${noNamespaces ? ` (${noNamespaces})` : ''}`, () => {
  let folder = '';
  let hosts: Namespaces;
  const workers: Running[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'penjing-hosts-'));
    hosts = makeNamespaces(STAGES + 1);
  });
  afterEach(async () => {
    const ending = workers.splice(0);
    for (const { process: child } of ending) child.kill('SIGTERM');
    expect((await Promise.all(ending.map(({ ended }) => ended))).map(({ code }) => code)).toEqual(ending.map(() => 0));
  });
  afterAll(async () => {
    hosts?.[Symbol.dispose]();
    if (folder !== '') await rm(folder, { recursive: true, force: true });
  });

  /** Writes a plan and starts its stages, all at a time: each waits for the one after it. Gives what a run needs to use them. */
  async function start(model: string): Promise<{ readonly plan: Plan; readonly options: readonly string[] }> {
    const plan = await planInStages(model, STAGES);
    const path = join(folder, 'plan.json');
    await writeFile(path, JSON.stringify(plan));
    const at = (i: number): string => `${hosts.addresses[i]}:7000`;
    for (let i = 0; i < STAGES; i++) {
      const next = i < STAGES - 1 ? ['--next', at(i + 1)] : [];
      workers.push(startPenjing(['worker', model, '--plan', path, '--stage', String(i), '--listen', at(i), ...next], { env, under: hosts.on(i), milliseconds: 300_000 }));
    }
    await Promise.all(workers.map(stageIsReady));
    return { plan, options: ['--plan', path, '--stages', at(0)] };
  }

  async function sameAsOneEngine(model: string, inputs: readonly string[]): Promise<void> {
    const { options } = await start(model);
    const [whole, staged] = [join(folder, 'whole'), join(folder, 'staged')];
    const common = ['--seed', '7', '--force', ...inputs];
    const runs = await Promise.all([
      penjing(['run', model, ...common, '--threads', '1', '-o', whole]),
      penjing(['run', model, ...common, ...options, '-o', staged], { env, under: hosts.on(FRONT) }),
    ]);
    expect(runs.map(({ code, stderr }) => [code, stderr])).toEqual(runs.map(({ stderr }) => [0, stderr]));
    const names = (await readdir(whole)).sort();
    expect((await readdir(staged)).sort()).toEqual(names);
    for (const name of names) expect((await readFile(join(staged, name))).equals(await readFile(join(whole, name))), name).toBe(true);
    await rm(whole, { recursive: true });
    await rm(staged, { recursive: true });
  }

  test('a language model, whose caches come and go at every stage, gives the bytes of one engine; who has no token or another plan is turned away', async () => {
    await runRecipe({ input: join(root, 'models', 'sapling'), output: join(folder, 'sapling'), steps: [{ convert: {} }] }, { check: false });
    const model = join(folder, 'sapling', 'onnx', 'model.onnx');
    const past = [0, 1, 2, 3].flatMap((layer) => ['key', 'value'].flatMap((kind) => ['--shape', `past_key_values.${layer}.${kind}=1,4,5,32`]));
    await sameAsOneEngine(model, ['-i', 'input_ids=[[5,6,7]]', '-i', 'attention_mask=[[1,1,1,1,1,1,1,1]]', '-i', 'position_ids=[[5,6,7]]', ...past]);

    const stages = ['--stages', `${hosts.addresses[0]}:7000`];
    const refused = await penjing(['run', model, '--json', ...stages, '--plan', join(folder, 'plan.json')], { under: hosts.on(FRONT) });
    expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining('E_KEY')]);
    const other = join(folder, 'other.json');
    const plan = await planInStages(model, STAGES);
    await writeFile(other, JSON.stringify({ ...plan, model: { ...plan.model, weightBytes: 1 } }));
    const wrong = await penjing(['run', model, '--json', ...stages, '--plan', other], { env, under: hosts.on(FRONT) });
    expect([wrong.code, wrong.stdout]).toEqual([1, expect.stringContaining('E_EPOCH')]);
  }, 240_000);

  const faces = join(testData ?? '', 'models', 'ultraface', 'version-RFB-320.onnx');
  test.skipIf(testData === undefined)('a detector of faces gives the bytes of the same stages in one process; a plug that is pulled while requests are under way', async () => {
    // Not those of one engine over the whole: it joins convolutions across the cuts, and rounds in another order.
    const { plan, options } = await start(faces);
    const model = await readOnnx(memorySource(await readFile(faces)));
    inferShapes(model);
    await using here = await openLayout(model, plan.layout, { engine: ortEngine() });
    const expected = await here.run(randomFeeds(here.inputs, { seed: 7 }));
    const output = join(folder, 'faces');
    expect(await penjing(['run', faces, '--seed', '7', '--quiet', '-o', output, ...options], { env, under: hosts.on(FRONT) })).toMatchObject({ code: 0 });
    for (const [name, tensor] of Object.entries(expected)) expect(Buffer.from(readNpy(await readFile(join(output, `${name}.npy`))).bytes).equals((tensor as DenseTensor).bytes), name).toBe(true);

    const front = await startStageProcess({ kind: 'front', address: `${hosts.addresses[0]}:7000`, epoch: planEpoch(plan), token, requests: 4, keepAlive: { intervalMs: 500, timeoutMs: 1500 } }, hosts.on(FRONT));
    try {
      await reaches(front, ({ answered }) => answered >= 8);
      for (const host of [1, 0]) {
        const { failed } = await front.ask();
        hosts.link(host, 'down');
        await reaches(front, (said) => said.failed > failed);
        hosts.link(host, 'up');
        const { answered } = await front.ask();
        await reaches(front, (said) => said.answered >= answered + 8);
      }
      expect((await front.ask()).different).toBe(0);
    } finally {
      await front.kill();
    }
  }, 240_000);
});

type Said = Awaited<ReturnType<StageProcess['ask']>>;

async function reaches(front: StageProcess, holds: (said: Said) => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const said = await front.ask();
    if (holds(said)) return;
    if (Date.now() > end) throw new Error(`the front stands still: ${JSON.stringify(said)}`);
  }
}
