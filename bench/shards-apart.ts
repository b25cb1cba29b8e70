/**
 * What shards over gRPC cost beside shards in one process: `MODEL` (an .onnx file) as `--plan FILE` says, whose layout is `tensor`, on one engine of one thread, in shards on threads of this process, and in
 * shards that `penjing worker --shard` serves and `--stages HOST:PORT` names, in turn; medians and shortest times, ms.
 * `node … bench/shards-apart.ts MODEL --plan plan.json --stages 127.0.0.1:7000 [--seconds N] [--shape NAME=1,3 …]`
 */
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import type { Executor } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { fileSource, openExternalFile } from '@penjing/graph-io/node';
import { readPlan } from '@penjing/parallel';
import { openLayout } from '@penjing/parallel/node';
import { openPlannedStages } from '@penjing/recipe';
import { ortEngine, ortJobs, randomFeeds } from '@penjing/runtime';
import { median } from './timed.js';

const { values, positionals: [path] } = parseArgs({ allowPositionals: true, options: { plan: { type: 'string' }, stages: { type: 'string' }, seconds: { type: 'string', default: '2' }, shape: { type: 'string', multiple: true, default: [] } } });
if (path === undefined || values.plan === undefined || values.stages === undefined) throw new Error('give a model, --plan and --stages');
const shapes = Object.fromEntries(values.shape.map((text) => {
  const [name, dims] = text.split('=') as [string, string];
  return [name, dims.split(',').map(Number)];
}));
const plan = readPlan(await readFile(values.plan, 'utf8'), values.plan);
await using file = await fileSource(path);
const model = await readOnnx(file, { externalSource: (location) => openExternalFile(dirname(path), location) });
const ways: Readonly<Record<string, Executor>> = {
  'one engine': await ortEngine({ threads: 1 }).load(model),
  'shards here': await openLayout(model, plan.layout, { engine: ortEngine(), jobs: ortJobs, devices: plan.devices }),
  'shards over gRPC': await openPlannedStages({ plan: values.plan, stages: [values.stages], token: process.env['PENJING_STAGE_TOKEN'] }),
};
try {
  const feeds = randomFeeds(ways['one engine']!.inputs, { seed: 7, shapes });
  const times = Object.fromEntries(Object.keys(ways).map((name): [string, number[]] => [name, []]));
  for (const way of Object.values(ways)) for (let i = 0; i < 10; i++) await way.run(feeds);
  for (const end = performance.now() + 1000 * Number(values.seconds) * Object.keys(ways).length; performance.now() < end; ) {
    for (const [name, way] of Object.entries(ways)) {
      const started = performance.now();
      await way.run(feeds);
      times[name]!.push(performance.now() - started);
    }
  }
  for (const [name, list] of Object.entries(times)) console.log(`${name.padEnd(17)} median ${median(list).toFixed(2)}  shortest ${Math.min(...list).toFixed(2)}  (${list.length} runs)`);
} finally {
  for (const way of Object.values(ways)) await way[Symbol.asyncDispose]();
}
