/**
 * How far forecasts of layouts are from what is measured, and whether the planner takes the best one:
 * `PENJING_TESTDATA=… npx tsx --conditions=@penjing/source bench/parallel-forecast.ts [--devices FILE] [--only NAME] [--seconds 0.6] [-o FILE]`
 */
import { readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { Executor, Feeds, Model } from '@penjing/core';
import { type Goal, type Layout, planInDetail } from '@penjing/parallel';
import { openLayout, openTensor } from '@penjing/parallel/node';
import { measureDevices, readDevicesFile } from '@penjing/recipe';
import { machine, ortEngine, ortJobs, randomFeeds } from '@penjing/runtime';
import { parallelModels, prepareModels } from './parallel-models.js';
import { median } from './timed.js';

interface Case {
  readonly name: string;
  readonly model: string;
  readonly sizes: Readonly<Record<string, number>>;
  readonly devices: number;
  readonly goal: Exclude<Goal, 'memory'>;
}

interface Measured {
  readonly layout: string;
  /** Seconds of a request, or requests per second. */
  readonly forecast: number;
  readonly measured: number;
}

const { values } = parseArgs({ options: { devices: { type: 'string' }, only: { type: 'string' }, seconds: { type: 'string', default: '0.6' }, output: { type: 'string', short: 'o' }, quick: { type: 'boolean' } } });
const seconds = Number(values.seconds);
const data = process.env['PENJING_TESTDATA'] ?? '../shared/data';
const { cases } = JSON.parse(await readFile(new URL('parallel-cases.json', import.meta.url), 'utf8')) as { readonly cases: readonly Case[] };
const started = performance.now();

await using _models = await prepareModels();
const list = values.devices === undefined ? await measureDevices() : await readDevicesFile(values.devices);
console.log(`${JSON.stringify(machine())}, load ${loadavg()[0]!.toFixed(1)}, ${list.devices.length} devices, measured in ${((performance.now() - started) / 1000).toFixed(0)} s`);

const models = new Map<string, Model>();
const results: { name: string; chosen: string; best: string; ofBest: number; rows: Measured[] }[] = [];
for (const each of cases.filter(({ name }) => values.only === undefined || name.includes(values.only))) {
  const model = models.get(each.model) ?? (await parallelModels[each.model]!(data));
  models.set(each.model, model);
  const devices = list.devices.slice(0, each.devices);
  const { ranked, plan } = await planInDetail({ model, devices, links: list.links, goal: each.goal, sizes: sizesOf(model, each.sizes), name: each.model });
  const rows: Measured[] = [];
  for (const candidate of ranked) {
    try {
      await using executor = await openCandidate(model, candidate.layout, devices);
      const feeds = randomFeeds(executor.inputs, { dims: plan.model.sizes });
      rows.push({
        layout: candidate.name,
        forecast: each.goal === 'latency' ? candidate.forecast.latency : candidate.forecast.throughput,
        measured: each.goal === 'latency' ? await latency(executor, feeds) : await throughput(executor, feeds, 2 * each.devices + 2),
      });
    } catch (error) {
      console.log(`  ${each.name}: ${candidate.name} does not run: ${(error as Error).message}`);
    }
  }
  if (rows.length === 0) continue;
  // The planner's choice, or the next one on its list where this version cannot run it.
  const better = (a: Measured, b: Measured): boolean => (each.goal === 'latency' ? a.measured < b.measured : a.measured > b.measured);
  const best = rows.reduce((first, row) => (better(row, first) ? row : first));
  const chosen = rows[0]!;
  const ofBest = each.goal === 'latency' ? best.measured / chosen.measured : chosen.measured / best.measured;
  results.push({ name: each.name, chosen: chosen.layout, best: best.layout, ofBest, rows });
  console.log(`${each.name}: chosen ${chosen.layout}, best ${best.layout}, ${(100 * ofBest).toFixed(0)} % of it`);
  for (const row of rows) console.log(`    ${row.layout.padEnd(36)} forecast ${show(row.forecast, each.goal)}  measured ${show(row.measured, each.goal)}  ${signed(row.forecast / row.measured - 1)}`);
}
summarize();
if (values.output !== undefined) await writeFile(values.output, JSON.stringify({ machine: machine(), devices: list, results }, undefined, 1));

/** Sizes by the words of the cases; models whose sizes are fixed take none. */
function sizesOf(model: Model, wanted: Case['sizes']): Readonly<Record<string, number>> {
  const dims = model.graph.inputs.flatMap(({ type }) => (type?.kind === 'tensor' ? (type.shape ?? []) : []));
  return Object.fromEntries(Object.entries(wanted).flatMap(([word, size]) => {
    const symbol = dims.find((dim) => typeof dim === 'string' && dim.startsWith(word));
    return typeof symbol === 'string' ? [[symbol, size]] : [];
  }));
}

async function openCandidate(model: Model, layout: Layout, devices: typeof list.devices): Promise<Executor> {
  if (layout.kind !== 'tensor') return openLayout(model, layout, { engine: ortEngine(), devices });
  const jobs = ortJobs({ parallel: layout.devices.length, threads: 1 });
  try {
    const executor = await openTensor(model, { shards: layout.devices.length, jobs });
    return { ...executor, run: (feeds, options) => executor.run(feeds, options), [Symbol.asyncDispose]: async () => { await executor[Symbol.asyncDispose](); await jobs[Symbol.asyncDispose](); } };
  } catch (error) {
    await jobs[Symbol.asyncDispose]();
    throw error;
  }
}

async function latency(executor: Executor, feeds: Feeds): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 2; i++) await executor.run(feeds);
  const end = performance.now() + 1000 * seconds;
  while (times.length < 3 || performance.now() < end) {
    const from = performance.now();
    await executor.run(feeds);
    times.push(performance.now() - from);
  }
  return median(times) / 1000;
}

/** With always so many requests under way. */
async function throughput(executor: Executor, feeds: Feeds, under: number): Promise<number> {
  await Promise.all(Array.from({ length: under }, () => executor.run(feeds)));
  let done = 0;
  const from = performance.now();
  const end = from + 1000 * seconds;
  let last = from;
  await Promise.all(Array.from({ length: under }, async () => {
    do {
      await executor.run(feeds);
      done++;
      last = performance.now();
    } while (performance.now() < end);
  }));
  return done / ((last - from) / 1000);
}

function summarize(): void {
  const errors = results.flatMap(({ rows }) => rows.map(({ forecast, measured }) => Math.abs(forecast / measured - 1)));
  // How much a layout gains over one device, forecast and measured: what a choice rests on.
  const gains = results.flatMap(({ rows }) => {
    const one = rows.find(({ layout }) => layout === 'one device');
    return one ? rows.filter((row) => row !== one).map((row) => Math.abs(row.forecast / one.forecast / (row.measured / one.measured) - 1)) : [];
  });
  const right = results.filter(({ ofBest }) => ofBest >= 0.95).length;
  const share = (list: readonly number[]): string => `${list.filter((error) => error <= 0.2).length} of ${list.length} within 20 %, median ${(100 * median(list)).toFixed(0)} %, worst ${(100 * Math.max(...list)).toFixed(0)} %`;
  console.log(`\nforecasts: ${share(errors)}\ngains over one device: ${share(gains)}\nchoices: ${right} of ${results.length} are the best or within 5 % of it\n${((performance.now() - started) / 1000).toFixed(0)} s`);
}

function show(value: number, goal: Goal): string {
  return goal === 'latency' ? `${(1000 * value).toPrecision(3)} ms` : `${value.toPrecision(3)} /s`;
}

function signed(error: number): string {
  return `${error >= 0 ? '+' : '−'}${(100 * Math.abs(error)).toFixed(0)} %`;
}
