/**
 * How far forecasts of layouts are from what is measured, and whether the planner takes the best one, without and with having run the model on one engine before:
 * `PENJING_TESTDATA=… npx tsx --conditions=@penjing/source bench/parallel-forecast.ts [--devices FILE] [--only NAME] [--seconds 0.6] [-o FILE]`
 * With `--measured FILE` what an earlier run measured is forecast again, and nothing runs; with `--more` besides, cases that FILE lacks are measured.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { Executor, Feeds, Model } from '@penjing/core';
import { type DeviceList, type Goal, type Layout, type ModelTime, planInDetail } from '@penjing/parallel';
import { openLayout } from '@penjing/parallel/node';
import { measureDevices, measureModel, readDevicesFile } from '@penjing/recipe';
import { machine, ortEngine, ortJobs, randomFeeds } from '@penjing/runtime';
import { foreignLoad } from './foreign-load.js';
import { parallelModels, prepareModels } from './parallel-models.js';
import { median } from './timed.js';

interface Case {
  readonly name: string;
  readonly model: string;
  readonly sizes: Readonly<Record<string, number>>;
  readonly devices: number;
  readonly goal: Exclude<Goal, 'memory'>;
}

/** Seconds of a request, or requests per second, of layouts by name. */
type Numbers = Readonly<Record<string, number>>;

interface CaseResult {
  readonly name: string;
  /** What one engine takes for the model. */
  readonly times: readonly ModelTime[];
  readonly measured: Numbers;
  readonly forecasts: Readonly<Record<Way, Forecasts>>;
}

interface Forecasts {
  readonly chosen: string;
  readonly ofBest: number;
  readonly numbers: Numbers;
}

interface Recorded {
  readonly devices: DeviceList;
  readonly results: readonly CaseResult[];
}

/** From kinds of work alone, and from times of one engine with the model. */
const ways = ['unseen', 'timed'] as const;
type Way = (typeof ways)[number];
/** Layouts take turns, so that none has a better hour of the machine than another. */
const ROUNDS = 3;
/** Rounds beside other programs (more of the cores than this) are repeated, so often. */
const FOREIGN = 0.3;
const REPEATS = 2;

const { values } = parseArgs({ options: { devices: { type: 'string' }, measured: { type: 'string' }, more: { type: 'boolean', default: false }, only: { type: 'string' }, seconds: { type: 'string', default: '0.6' }, output: { type: 'string', short: 'o' } } });
const seconds = Number(values.seconds);
const data = process.env['PENJING_TESTDATA'] ?? '../shared/data';
const { cases } = JSON.parse(await readFile(new URL('parallel-cases.json', import.meta.url), 'utf8')) as { readonly cases: readonly Case[] };
const recorded = values.measured === undefined ? undefined : (JSON.parse(await readFile(values.measured, 'utf8')) as Recorded);
const started = performance.now();

await using _models = await prepareModels();
const list = values.devices !== undefined ? await readDevicesFile(values.devices) : (recorded?.devices ?? (await measureDevices()));
console.log(`${JSON.stringify(machine())}, load ${loadavg()[0]!.toFixed(1)}, ${list.devices.length} devices, ready in ${((performance.now() - started) / 1000).toFixed(0)} s`);

const models = new Map<string, Model>();
const results: CaseResult[] = [];
for (const each of cases.filter(({ name }) => values.only === undefined || name.includes(values.only))) {
  const earlier = recorded?.results.find(({ name }) => name === each.name);
  if (recorded && !earlier && !values.more) continue;
  const model = models.get(each.model) ?? (await parallelModels[each.model]!(data));
  models.set(each.model, model);
  const devices = list.devices.slice(0, each.devices);
  const sizes = sizesOf(model, each.sizes);
  const plans = async (times: readonly ModelTime[]) => planInDetail({ model, devices, links: list.links, goal: each.goal, sizes, name: each.model, times });
  const times = earlier?.times ?? (await measureModel(model, { sizes, devices }));
  const byWay = { unseen: await plans([]), timed: await plans(times) };
  const measured = earlier?.measured ?? (await measureAll(each, model, byWay.unseen.ranked, devices, byWay.unseen.plan.model.sizes));
  const [unseen, timed] = [judge(each, byWay.unseen.ranked, measured), judge(each, byWay.timed.ranked, measured)];
  if (!unseen || !timed) {
    console.log(`${each.name}: left out, none of its layouts was measured`);
    continue;
  }
  results.push({ name: each.name, times, measured, forecasts: { unseen, timed } });
  show(each, results.at(-1)!);
  await save();
}
for (const way of ways) summarize(way);
console.log(`${((performance.now() - started) / 1000).toFixed(0)} s`);

/** After every case: what takes minutes may be ended before. */
async function save(): Promise<void> {
  if (values.output !== undefined) await writeFile(values.output, JSON.stringify({ machine: machine(), devices: list, results }, undefined, 1));
}

type Ranked = Awaited<ReturnType<typeof planInDetail>>['ranked'];

/** Median over the rounds. */
async function measureAll({ name, goal, devices: count }: Case, model: Model, ranked: Ranked, devices: typeof list.devices, sizes: Readonly<Record<string, number>>): Promise<Numbers> {
  const opened: { readonly layout: string; readonly executor: Executor; readonly rounds: number[] }[] = [];
  try {
    for (const candidate of ranked) {
      try {
        opened.push({ layout: candidate.name, executor: await openCandidate(model, candidate.layout, devices), rounds: [] });
      } catch (error) {
        console.log(`  ${name}: ${candidate.name} does not run: ${(error as Error).message}`);
      }
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const { executor, rounds } of opened) {
        const feeds = randomFeeds(executor.inputs, { dims: sizes });
        const once = (): Promise<number> => (goal === 'latency' ? latency(executor, feeds, seconds / ROUNDS) : throughput(executor, feeds, 2 * count + 2, seconds / ROUNDS));
        rounds.push(await alone(once));
      }
    }
    return Object.fromEntries(opened.map(({ layout, rounds }) => [layout, median(rounds)]));
  } finally {
    for (const { executor } of opened) await executor[Symbol.asyncDispose]();
  }
}

/** The quietest of a few times, the first one that is quiet. */
async function alone(once: () => Promise<number>): Promise<number> {
  let best = { foreign: Infinity, value: 0 };
  for (let i = 0; i < REPEATS && best.foreign > FOREIGN; i++) {
    const foreign = foreignLoad();
    const value = await once();
    const now = foreign();
    if (now < best.foreign) best = { foreign: now, value };
  }
  return best.value;
}

/** The planner's choice, or the next one on its list where this version cannot run it; undefined where it can run none. */
function judge({ goal }: Case, ranked: Ranked, measured: Numbers): Forecasts | undefined {
  const known = ranked.filter(({ name }) => Object.hasOwn(measured, name));
  const numbers = Object.fromEntries(known.map(({ name, forecast }) => [name, goal === 'latency' ? forecast.latency : forecast.throughput]));
  const [chosen] = known;
  if (!chosen) return undefined;
  const of = measured[chosen.name]!;
  const all = known.map(({ name }) => measured[name]!);
  return { chosen: chosen.name, numbers, ofBest: goal === 'latency' ? Math.min(...all) / of : of / Math.max(...all) };
}

/** Sizes by the words of the cases; models whose sizes are fixed take none. */
function sizesOf(model: Model, wanted: Case['sizes']): Readonly<Record<string, number>> {
  const dims = model.graph.inputs.flatMap(({ type }) => (type?.kind === 'tensor' ? (type.shape ?? []) : []));
  return Object.fromEntries(Object.entries(wanted).flatMap(([word, size]) => {
    const symbol = dims.find((dim) => typeof dim === 'string' && dim.startsWith(word));
    return typeof symbol === 'string' ? [[symbol, size]] : [];
  }));
}

function openCandidate(model: Model, layout: Layout, devices: typeof list.devices): Promise<Executor> {
  return openLayout(model, layout, { engine: ortEngine(), jobs: ortJobs, devices });
}

async function latency(executor: Executor, feeds: Feeds, seconds: number): Promise<number> {
  const times: number[] = [];
  await executor.run(feeds);
  const end = performance.now() + 1000 * seconds;
  while (times.length < 3 || performance.now() < end) {
    const from = performance.now();
    await executor.run(feeds);
    times.push(performance.now() - from);
  }
  return median(times) / 1000;
}

/** With always so many requests under way. */
async function throughput(executor: Executor, feeds: Feeds, under: number, seconds: number): Promise<number> {
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

function summarize(way: Way): void {
  const errors = results.flatMap(({ measured, forecasts }) => Object.entries(forecasts[way].numbers).map(([layout, forecast]) => Math.abs(forecast / measured[layout]! - 1)));
  // How much a layout gains over one device, forecast and measured: what a choice rests on.
  const gains = results.flatMap(({ measured, forecasts }) => {
    const { 'one device': one, ...others } = forecasts[way].numbers;
    return one === undefined ? [] : Object.entries(others).map(([layout, forecast]) => Math.abs(forecast / one / (measured[layout]! / measured['one device']!) - 1));
  });
  const right = results.filter(({ forecasts }) => forecasts[way].ofBest >= 0.95).length;
  const share = (list: readonly number[]): string => `${list.filter((error) => error <= 0.2).length} of ${list.length} within 20 %, median ${(100 * median(list)).toFixed(0)} %, worst ${(100 * Math.max(...list)).toFixed(0)} %`;
  console.log(`\n${way}: forecasts ${share(errors)}; gains over one device ${share(gains)}; choices ${right} of ${results.length} are the best or within 5 % of it`);
}

function show({ name, goal }: Case, { measured, forecasts }: CaseResult): void {
  const text = (value: number): string => (goal === 'latency' ? `${(1000 * value).toPrecision(3)} ms` : `${value.toPrecision(3)} /s`);
  console.log(`${name}: ${ways.map((way) => `${way} chooses ${forecasts[way].chosen}, ${(100 * forecasts[way].ofBest).toFixed(0)} % of the best`).join('; ')}`);
  for (const [layout, value] of Object.entries(measured)) console.log(`    ${layout.padEnd(36)} measured ${text(value).padEnd(10)} ${ways.map((way) => `${way} ${forecastText(forecasts[way].numbers[layout], value, text)}`).join('   ')}`);
}

/** What an earlier version measured may be no layout that this one considers. */
function forecastText(forecast: number | undefined, measured: number, text: (value: number) => string): string {
  return forecast === undefined ? 'has no forecast' : `${text(forecast)} ${signed(forecast / measured - 1)}`;
}

function signed(error: number): string {
  return `${error >= 0 ? '+' : '−'}${(100 * Math.abs(error)).toFixed(0)} %`;
}
