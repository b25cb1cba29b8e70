/**
 * How far forecasts of layouts are from what is measured, and whether the planner takes the best one: by kinds of work alone (unseen), having run the model on one engine (timed), and the few best layouts besides (tried):
 * `PENJING_TESTDATA=… npx tsx --conditions=@penjing/source bench/parallel-forecast.ts [--devices FILE] [--only NAME] [--seconds 0.2] [--rounds 7] [-o FILE]`
 * The model has its turn on one engine before every round of the layouts, so that both have the same minutes of the machine; the medians count. Of all cases there are as many rounds, at least two, as seem to take half a
 * minute, and `--rounds` at most. Layouts are tried before and apart from the measurement that judges: what was tried is no forecast, and only its choice is told.
 * With `--measured FILE` what an earlier run measured is forecast again, and nothing runs; with `--more` besides, cases that FILE lacks are measured.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { Model } from '@penjing/core';
import { type DeviceList, type Goal, type ModelTime, type PlanOptions, planInDetail, type Trial, worthTrying } from '@penjing/parallel';
import { measureDevices, measureModel, readDevicesFile, shareModel, tryLayouts } from '@penjing/recipe';
import { machine } from '@penjing/runtime';
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
  /** What the layouts gave that were tried for the plan. */
  readonly trials: readonly Trial[];
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

const ways = ['unseen', 'timed', 'tried'] as const;
type Way = (typeof ways)[number];
/** As many as `penjing plan --try` is given in the docs. */
const TRIES = 4;
/** What the rounds of a case may take, by the forecasts. */
const CASE_SECONDS = 30;
/** Requests of a turn, and of those that are under way in it. */
const [RUNS, UNDER_WAY] = [4, 6];

const { values } = parseArgs({ options: { devices: { type: 'string' }, measured: { type: 'string' }, more: { type: 'boolean', default: false }, only: { type: 'string' }, seconds: { type: 'string', default: '0.2' }, rounds: { type: 'string', default: '7' }, output: { type: 'string', short: 'o' } } });
const [seconds, rounds] = [Number(values.seconds), Number(values.rounds)];
const data = process.env['PENJING_TESTDATA'] ?? '../shared/data';
const { cases } = JSON.parse(await readFile(new URL('parallel-cases.json', import.meta.url), 'utf8')) as { readonly cases: readonly Case[] };
const recorded = values.measured === undefined ? undefined : (JSON.parse(await readFile(values.measured, 'utf8')) as Recorded);
const started = performance.now();

const wanted = cases.filter(({ name }) => values.only === undefined || name.includes(values.only));
await using _models = wanted.some(({ model }) => model === 'llama') ? await prepareModels() : undefined;
const list = values.devices !== undefined ? await readDevicesFile(values.devices) : (recorded?.devices ?? (await measureDevices()));
console.log(`${JSON.stringify(machine())}, load ${loadavg()[0]!.toFixed(1)}, ${list.devices.length} devices, ready in ${((performance.now() - started) / 1000).toFixed(0)} s`);

const models = new Map<string, Model>();
const results: CaseResult[] = [];
for (const each of wanted) {
  const earlier = recorded?.results.find(({ name }) => name === each.name);
  if (recorded && !earlier && !values.more) continue;
  const model = models.get(each.model) ?? (await parallelModels[each.model]!(data));
  models.set(each.model, model);
  const devices = list.devices.slice(0, each.devices);
  const sizes = sizesOf(model, each.sizes);
  const plans = async (more: Pick<PlanOptions, 'times' | 'trials'>) => planInDetail({ model, devices, links: list.links, goal: each.goal, sizes, name: each.model, ...more });
  const unseen = await plans({});
  await using shared = earlier ? undefined : shareModel(model);
  const running = { goal: each.goal, sizes: unseen.plan.model.sizes, devices, file: shared?.file };
  const measuring = async (): Promise<readonly ModelTime[]> => measureModel(model, { sizes, devices, file: shared?.file });
  const first = earlier?.times ?? (await measuring());
  const trials = earlier?.trials ?? (await tryLayouts(model, { ...running, candidates: worthTrying((await plans({ times: first })).ranked, each.goal, TRIES) }));
  const all: (readonly ModelTime[])[] = [];
  const measured = earlier?.measured ?? numbersOf(each, await tryLayouts(model, { ...running, candidates: unseen.ranked, rounds: roundsOf(each.goal, (await plans({ times: first })).ranked), seconds, budget: Infinity, beforeRound: async () => void all.push(await measuring()) }));
  const times = earlier?.times ?? mediansOf(all);
  const timed = await plans({ times });
  const tried = await plans({ times: first, trials: { most: TRIES, run: () => Promise.resolve(trials) } });
  const judged = [unseen, timed, tried].map(({ ranked }) => judge(each, ranked, measured));
  if (!judged.every((forecasts) => forecasts !== undefined)) {
    console.log(`${each.name}: left out, none of its layouts was measured`);
    continue;
  }
  const forecasts = Object.fromEntries(ways.map((way, i) => [way, judged[i]!])) as Record<Way, Forecasts>;
  results.push({ name: each.name, times, trials, measured, forecasts });
  show(each, results.at(-1)!);
  await save();
}
for (const way of ways) summarize(way);
console.log(`${((performance.now() - started) / 1000).toFixed(0)} s`);

/** A round of all layouts takes what is asked for, or some runs where those take longer (`tryLayouts`). */
function roundsOf(goal: Case['goal'], ranked: Ranked): number {
  const once = ranked.reduce((sum, { forecast }) => sum + Math.max(seconds, goal === 'latency' ? RUNS * forecast.latency : (RUNS * UNDER_WAY) / forecast.throughput), 0);
  return Math.max(2, Math.min(rounds, Math.floor(CASE_SECONDS / once)));
}

/** Of what was measured in every round. */
function mediansOf(all: readonly (readonly ModelTime[])[]): ModelTime[] {
  const over = (i: number, field: 'seconds' | 'streamed' | 'together'): number | undefined => {
    const found = all.flatMap((times) => times[i]?.[field] ?? []);
    return found.length > 0 ? median(found) : undefined;
  };
  return all[0]!.map(({ threads, rows }, i) => {
    const [streamed, together] = [over(i, 'streamed'), over(i, 'together')];
    return { threads, rows, seconds: over(i, 'seconds')!, ...(streamed !== undefined && { streamed }), ...(together !== undefined && { together }) };
  });
}

/** After every case: what takes minutes may be ended before. */
async function save(): Promise<void> {
  if (values.output !== undefined) await writeFile(values.output, JSON.stringify({ machine: machine(), devices: list, results }, undefined, 1));
}

type Ranked = Awaited<ReturnType<typeof planInDetail>>['ranked'];

/** Those of the layouts that ran. */
function numbersOf({ name, goal }: Case, trials: readonly Trial[]): Numbers {
  for (const { name: layout, failed } of trials) if (failed !== undefined) console.log(`  ${name}: ${layout} does not run: ${failed}`);
  return Object.fromEntries(trials.flatMap(({ name: layout, measured }) => (measured ? [[layout, measured[goal]!]] : [])));
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

function summarize(way: Way): void {
  const errors = results.flatMap(({ measured, forecasts }) => Object.entries(forecasts[way].numbers).map(([layout, forecast]) => Math.abs(forecast / measured[layout]! - 1)));
  // How much a layout gains over one device, forecast and measured: what a choice rests on.
  const gains = results.flatMap(({ measured, forecasts }) => {
    const { 'one device': one, ...others } = forecasts[way].numbers;
    return one === undefined ? [] : Object.entries(others).map(([layout, forecast]) => Math.abs(forecast / one / (measured[layout]! / measured['one device']!) - 1));
  });
  const right = results.filter(({ forecasts }) => forecasts[way].ofBest >= 0.95).length;
  const share = (list: readonly number[]): string => `${list.filter((error) => error <= 0.2).length} of ${list.length} within 20 %, median ${(100 * median(list)).toFixed(0)} %, worst ${(100 * Math.max(...list)).toFixed(0)} %`;
  const choices = `choices ${right} of ${results.length} are the best or within 5 % of it`;
  console.log(way === 'tried' ? `\n${way}: ${choices}` : `\n${way}: forecasts ${share(errors)}; gains over one device ${share(gains)}; ${choices}`);
}

function show({ name, goal }: Case, { trials, measured, forecasts }: CaseResult): void {
  const text = (value: number): string => (goal === 'latency' ? `${(1000 * value).toPrecision(3)} ms` : `${value.toPrecision(3)} /s`);
  console.log(`${name}: ${ways.map((way) => `${way} chooses ${forecasts[way].chosen}, ${(100 * forecasts[way].ofBest).toFixed(0)} % of the best`).join('; ')}`);
  for (const [layout, value] of Object.entries(measured)) console.log(`    ${layout.padEnd(36)} measured ${text(value).padEnd(10)} ${(['unseen', 'timed'] as const).map((way) => `${way} ${forecastText(forecasts[way].numbers[layout], value, text)}`).join('   ')}${triedText(trials, layout, goal, text)}`);
}

/** What an earlier version measured may be no layout that this one considers. */
function forecastText(forecast: number | undefined, measured: number, text: (value: number) => string): string {
  return forecast === undefined ? 'has no forecast' : `${text(forecast)} ${signed(forecast / measured - 1)}`;
}

function triedText(trials: readonly Trial[], layout: string, goal: Case['goal'], text: (value: number) => string): string {
  const value = trials.find(({ name }) => name === layout)?.measured?.[goal];
  return value === undefined ? '' : `   tried ${text(value)}`;
}

function signed(error: number): string {
  return `${error >= 0 ? '+' : '−'}${(100 * Math.abs(error)).toFixed(0)} %`;
}
