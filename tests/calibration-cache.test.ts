/** The calibration cache: a second run reads it, runs no engine and gives the same; what does not fit is gathered; what is no cache is refused. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng, denseOf, type Feeds, inlineJobs, isPenjingError, type JobHost, type Model } from '@penjing/core';
import { calibrateBlocks, calibrateLayers, layerGroups, type StatisticName, weightMatrices } from '@penjing/core/calibrate';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { openCalibrationStore, ortJobs } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chain, normal, WIDTH, writeSamples as writeSamplesTo } from './support/cached-runs.js';
import { readJob } from './support/read-job.js';

let folder: string;
const host = ortJobs({ threads: 1 });
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-cache-'));
  await saveFile(join(folder, 'model.onnx'), serializeOnnx(chain()));
  await writeSamples('data.jsonl', 5);
}, 60_000);
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const writeSamples = (name: string, seed: number): Promise<void> => writeSamplesTo(join(folder, name), seed);

/** Counts models that a host is given to run. */
function counting(jobs: JobHost): JobHost & { readonly loads: () => number } {
  let loads = 0;
  return { ...jobs, loads: () => loads, prepare: (...args) => (loads++, jobs.prepare(...args)) };
}

async function* samples(): AsyncGenerator<Feeds> {
  const rng = createRng(8);
  for (let i = 0; i < 4; i++) yield { x: denseOf('float32', [i + 1, WIDTH], normal(rng, (i + 1) * WIDTH)) };
}

interface Sweep {
  readonly file?: string;
  readonly model?: Model;
  readonly statistics?: readonly StatisticName[];
  /** Edits the layer of this block when it is reached. */
  readonly edit?: number;
}

/** What calibration gives for every layer, and how many models were run for it. */
async function sweep({ file, model = chain(), statistics = ['hessian', 'norms', 'magnitudes', 'channelRange'], edit }: Sweep): Promise<{ found: unknown[]; loads: number; note: string | undefined }> {
  const work = await mkdtemp(join(folder, 'work-'));
  const jobs = counting(host);
  const store = await openCalibrationStore({ folder: join(work, 'calibration'), run: 'test', scope: '', ...(file !== undefined && { file: join(folder, file) }) });
  const { groups } = layerGroups(model, weightMatrices(model, ['matmul']).matrices);
  const found: unknown[] = [];
  for await (const { group, statistics: given } of calibrateLayers(model, { jobs, samples: samples(), groups, statistics, calibration: store })) {
    found.push({ ...structuredClone(given), hessian: given.hessian && (await jobs.run(readJob, given.hessian.sums)) });
    if (edit === found.length - 1) group.layers[0]!.weight.tensor = denseOf('float32', [WIDTH, WIDTH], normal(createRng(1), WIDTH ** 2));
  }
  return { found, loads: jobs.loads(), note: await store.save() };
}

describe('calibration cache', () => {
  test('gives what was gathered, without running the model', async () => {
    const first = await sweep({ file: 'one.cache' });
    expect(first.loads).toBe(2);
    expect(first.note).toMatch(/^12 statistics were gathered and written to /);
    const again = await sweep({ file: 'one.cache' });
    expect(again.loads).toBe(0);
    expect(again.note).toMatch(/^all 12 statistics came from /);
    expect(again.found).toEqual(first.found);
    // Blocks run up to the first that misses something, and no further.
    const more = await sweep({ file: 'one.cache', statistics: ['hessian', 'range'] });
    expect(more.note).toMatch(/^3 statistics came from .*, 3 were gathered and added$/);
    expect((await sweep({ file: 'one.cache', statistics: ['range', 'norms'] })).loads).toBe(0);
  });

  test('takes what lies before an edited block, and gathers what lies behind', async () => {
    const plain = await sweep({ file: 'two.cache', statistics: ['hessian'] });
    const edited = await sweep({ file: 'two.cache', statistics: ['hessian'], edit: 0 });
    expect(edited.note).toMatch(/^1 statistics came from .*, 2 were gathered/);
    expect(edited.found[0]).toEqual(plain.found[0]);
    expect(edited.found).toEqual((await sweep({ statistics: ['hessian'], edit: 0 })).found);
    expect(await sweep({ file: 'two.cache', statistics: ['hessian'], edit: 0 })).toMatchObject({ found: edited.found, loads: 0 });
    expect((await sweep({ file: 'two.cache', statistics: ['hessian'], model: chain(4) })).note).toMatch(/fits nothing of this model, these samples or this method/);
  });

  test('refuses files that are no caches, and never replaces them', async () => {
    const good = (await sweep({ file: 'good.cache' }), await readFile(join(folder, 'good.cache')));
    const refused = async (bytes: Buffer): Promise<string> => {
      await writeFile(join(folder, 'bad.cache'), bytes);
      const error: unknown = await sweep({ file: 'bad.cache' }).then(() => undefined, (cause: unknown) => cause);
      expect(Buffer.compare(await readFile(join(folder, 'bad.cache')), bytes) === 0 || error === undefined).toBe(true);
      expect(error === undefined || isPenjingError(error)).toBe(true);
      return isPenjingError(error) ? error.code : 'taken';
    };
    const header = good.subarray(8, 8 + Number(good.readBigUInt64LE())).toString('utf8');
    const withHeader = (text: string): Buffer => {
      const bytes = Buffer.from(text);
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(bytes.length));
      return Buffer.concat([length, bytes, good.subarray(8 + Number(good.readBigUInt64LE()))]);
    };
    expect(await refused(Buffer.from(''))).toBe('E_TRUNCATED');
    expect(await refused(good.subarray(0, -1))).toBe('E_TRUNCATED');
    expect(await refused(await readFile(join(folder, 'model.onnx')))).toMatch(/^E_(LIMIT|TRUNCATED|SAFETENSORS)$/);
    expect(await refused(withHeader(header.replace('penjing-calibration', 'something else')))).toBe('E_DATA');
    expect(await refused(withHeader(header.replaceAll('\\"statistic\\":\\"norms\\"', '\\"statistic\\":\\"range\\"')))).toBe('E_DATA');
    expect(await refused(withHeader(header.replaceAll('\\"channels\\":32', '\\"channels\\":31')))).toBe('E_DATA');
    expect(await refused(withHeader(header.replaceAll('\\"rows\\":10', '\\"rows\\":\\"x\\"')))).toBe('E_DATA');
    expect(await refused(withHeader(header.replaceAll(/[0-9a-f]{64}\.squares/g, (name) => name.replace('squares', 'circles'))))).toBe('E_DATA');
    // Any byte may be another: an error with a code, or statistics that can be used.
    const rng = createRng(12);
    for (let i = 0; i < 40; i++) {
      const bytes = Buffer.from(good);
      for (let k = 0; k < 3; k++) bytes[Math.floor(rng.uniform() * Math.min(bytes.length, 8 + header.length + 64))] = Math.floor(rng.uniform() * 256);
      await refused(bytes);
    }
  }, 120_000);

  test('needs a host that tells models apart', async () => {
    const work = await mkdtemp(join(folder, 'work-'));
    const calibration = await openCalibrationStore({ folder: work, run: '', scope: '' });
    const blocks = calibrateBlocks(chain(), { jobs: inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() }), samples: samples(), calibration });
    await expect(blocks.next()).rejects.toMatchObject({ code: 'E_ENGINE' });
  });
});
