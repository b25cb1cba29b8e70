/** Layouts inside each other, as the planner proposes them: they run, and give what one engine gives. */
import { fileURLToPath } from 'node:url';
import type { Model } from '@penjing/core';
import { convertHuggingFace, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { type Device, planInDetail, readPlan } from '@penjing/parallel';
import { openLayout } from '@penjing/parallel/node';
import { ortEngine, ortJobs } from '@penjing/runtime';
import { describe, expect, test } from 'vitest';
import { relativeDifference } from '../packages/parallel/src/testing/relative-difference.js';
import { decoderFeeds } from './support/decoder-feeds.js';
import { randomMixtral } from './support/random-mixtral.js';

// on this thread: one of its own takes seconds to start from sources; shards have theirs
const engine = ortEngine({ threads: 1, thread: 'calling' });

const devices = Array.from({ length: 4 }, (_, i): Device => ({ name: `d${i}`, host: 'here', memoryBytes: 1e9, flops: 20e9, memoryBandwidth: 1e10, cores: 1 }));
const links = [{ from: '*', to: '*', latency: 1e-6, bandwidth: 100e9 }];

const models: readonly { readonly name: string; readonly model: () => Promise<Model>; readonly vocab: number; readonly layouts: readonly (readonly [name: string, bits: boolean])[] }[] = [
  {
    name: 'sapling', vocab: 4096,
    model: async () => convertHuggingFace(await openHuggingFaceFolder(openFolder(fileURLToPath(new URL('../models/sapling', import.meta.url))))),
    layouts: [['data: 2 replicas of a pipeline of 2, 2 micro-batches', true], ['data: 2 replicas of tensor 2', false], ['pipeline of 2 of tensor 2, 2 micro-batches', false]],
  },
  {
    name: 'a mixture of five experts', vocab: 96,
    model: async () => convertHuggingFace(await randomMixtral({ experts: 5, hidden: 256, inner: 160 })),
    layouts: [
      ['tensor 2 with whole experts', false], ['expert 4', false], ['data: 2 replicas of expert 2', false], ['pipeline of 2 of expert 2, whole batches', false],
      ['pipeline of 2 of tensor 2 with whole experts, whole batches', false],
    ],
  },
];

describe.each(models)('$name', ({ model: open, vocab, layouts }) => {
  test('combined layouts are proposed, can be read again, run, and are exact', async () => {
    const model = await open();
    const { ranked, plan } = await planInDetail({ model, devices, links, goal: 'throughput', sizes: { batch: 8, sequence: 8 } });
    await using single = await engine.load(model);
    for (const [name, isSameBits] of layouts) {
      const found = ranked.find((each) => each.name === name);
      expect([name, found?.forecast.throughput]).toEqual([name, expect.any(Number)]);
      const { layout } = readPlan(JSON.stringify({ ...plan, layout: found!.layout }));
      expect(layout).toEqual(found!.layout);
      await using executor = await openLayout(model, layout, { engine, jobs: ortJobs, devices });
      for (const batch of [1, 5, 8]) {
        const feeds = decoderFeeds(model, { batch, seq: 8, past: 0, vocab });
        const difference = relativeDifference(await executor.run(feeds), await single.run(feeds));
        expect([name, batch, difference]).toEqual([name, batch, isSameBits ? 0 : difference < 1e-5 ? difference : 0]);
      }
    }
  });
});
