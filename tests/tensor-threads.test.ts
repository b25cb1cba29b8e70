/** Tensor parallelism in threads of ONNX Runtime: exact, and with an end for everyone when a shard dies. */
import { fileURLToPath } from 'node:url';
import { type JobHost, type Model } from '@penjing/core';
import { convertHuggingFace, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { openLayout, openTensor } from '@penjing/parallel/node';
import { ortEngine, ortJobs } from '@penjing/runtime';
import { expect, test } from 'vitest';
import { liveSessionHosts } from '../packages/runtime/src/session-host.js';
import { relativeDifference } from '../packages/parallel/src/testing/relative-difference.js';
import { decoderFeeds } from './support/decoder-feeds.js';
import { dyingShardJob } from './support/dying-shard-job.js';

const folder = fileURLToPath(new URL('../models/sapling', import.meta.url));
const sapling = async (): Promise<Model> => convertHuggingFace(await openHuggingFaceFolder(openFolder(folder)));
const feeds = (model: Model, seq: number, past: number) => decoderFeeds(model, { seq, past, vocab: 4096 });

test('sapling on two threads: one engine to 1e-5, and the same bits again', async () => {
  const model = await sapling();
  await using whole = await ortEngine({ threads: 1 }).load(model);
  await using jobs = ortJobs({ parallel: 2, threads: 1 });
  await using parts = await openTensor(model, { jobs });
  for (const [seq, past] of [[3, 0], [1, 3], [200, 0], [1, 200]] as const) {
    const got = await parts.run(feeds(model, seq, past));
    expect(relativeDifference(got, await whole.run(feeds(model, seq, past)))).toBeLessThan(1e-5);
    expect(relativeDifference(await parts.run(feeds(model, seq, past)), got)).toBe(0);
  }
  // given up at once, and in the middle: shards then stand at different exchanges; 300 tokens need larger memory
  for (const [seq, ms] of [[200, 0], [200, 3], [300, 5], [300, 9], [300, 17]] as const) {
    const stop = new AbortController();
    const run = parts.run(feeds(model, seq, 0), { signal: stop.signal });
    // a fast machine may be done before
    const ended = run.then(() => {}, (error: unknown) => expect(error).toMatchObject({ message: 'enough' }));
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
    stop.abort(new Error('enough'));
    await ended;
    const got = await parts.run(feeds(model, 2, 0), { outputs: ['logits'] });
    expect(Object.keys(got)).toEqual(['logits']);
    expect(relativeDifference(got, await whole.run(feeds(model, 2, 0), { outputs: ['logits'] }))).toBeLessThan(1e-5);
  }
});

test('a shard whose thread dies ends the run of all, and the model', async () => {
  const model = await sapling();
  const before = liveSessionHosts();
  {
    await using jobs = ortJobs({ parallel: 3, threads: 1 });
    const deadly: JobHost = { ...jobs, run: (job, input, options) => jobs.run((input as { readonly shard: number }).shard === 1 ? ({ ...job, module: dyingShardJob.module, name: dyingShardJob.name }) : job, input, options) };
    await using parts = await openTensor(model, { jobs: deadly });
    await parts.run(feeds(model, 2, 0));
    await expect(parts.run(feeds(model, 2, 0))).rejects.toMatchObject({ code: 'E_WORKER', message: expect.stringContaining('shard 1 is gone') as string });
    await expect(parts.run(feeds(model, 2, 0))).rejects.toMatchObject({ code: 'E_WORKER' });
    // the host of the jobs has threads for another one
    await using whole = await ortEngine({ threads: 1 }).load(model);
    await using again = await openTensor(model, { jobs });
    expect(relativeDifference(await again.run(feeds(model, 2, 0)), await whole.run(feeds(model, 2, 0)))).toBeLessThan(1e-5);
  }
  expect(liveSessionHosts()).toBe(before);
});

test('a layout of replicas that are cut into shards; a shard that dies is replaced with its threads', async () => {
  const model = await sapling();
  const before = liveSessionHosts();
  let opened = 0;
  {
    await using whole = await ortEngine({ threads: 1 }).load(model);
    const jobs = (options: { readonly parallel: number; readonly threads: number }): JobHost & AsyncDisposable => {
      const host = ortJobs(options);
      const run: JobHost['run'] = (job, input, more) => host.run((input as { readonly shard: number }).shard === 1 && opened === 1 ? { ...job, module: dyingShardJob.module, name: dyingShardJob.name } : job, input, more);
      return opened++ === 0 ? { ...host, run, [Symbol.asyncDispose]: () => host[Symbol.asyncDispose]() } : host;
    };
    const tensor = { kind: 'tensor', devices: ['a', 'b'] } as const;
    await using parts = await openLayout(model, { kind: 'data', reduction: 'concat', replicas: [tensor, tensor] }, { engine: ortEngine({ threads: 1 }), jobs });
    for (let i = 0; i < 4; i++) expect(relativeDifference(await parts.run(feeds(model, 2, 0)), await whole.run(feeds(model, 2, 0)))).toBeLessThan(1e-5);
    expect(opened).toBeGreaterThanOrEqual(2);
  }
  expect(liveSessionHosts()).toBe(before);
  await expect(openLayout(model, { kind: 'tensor', devices: ['a', 'b'] }, { engine: ortEngine() })).rejects.toMatchObject({ code: 'E_OPTION' });
});
