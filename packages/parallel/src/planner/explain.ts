/** Why a layout was chosen, in sentences: what it gives, what the next best would, and what stands in the way of more. */
import type { CostBook } from '../cost/cost-book.js';
import type { Forecast, Goal, Layout, Part } from '../plan/plan.js';
import { coresOf } from '../simulate/forecast.js';
import { enginesOf } from '../split/share-threads.js';
import type { Topology } from '../simulate/topology.js';
import type { Candidate, Planned } from './candidates.js';
import { meritOf } from './rank.js';
import { expertsOf } from './shardings.js';
import { bytesText, countText, secondsText } from './units.js';

export interface ExplainOptions {
  readonly best: Planned;
  /** Best first. */
  readonly others: readonly Planned[];
  readonly refused: readonly Candidate[];
  readonly goal: Goal;
  readonly book: CostBook;
  readonly place: Topology;
}

export function explain(options: ExplainOptions): string[] {
  return [chosen, trials, branches, experts, next, alone, bound, memory, refusals].map((sentence) => sentence(options)).filter((text) => text !== undefined);
}

const measures: Readonly<Record<Goal, (forecast: Forecast) => string>> = {
  latency: ({ latency }) => `${secondsText(latency)} for one request`,
  throughput: ({ throughput }) => `${countText(throughput)} requests per second`,
  memory: ({ memory }) => `at most ${bytesText(Math.max(...Object.values(memory)))} on a device`,
};

/** What was measured first, and what was forecast beside it. */
function given({ forecast, measured }: Planned, goal: Goal): string {
  const expected = measures[goal](forecast);
  return measured ? `${measures[goal]({ ...forecast, ...measured })} as measured (forecast ${expected})` : expected;
}

function chosen({ best, goal, place }: ExplainOptions): string {
  const [engines, used, all] = [enginesOf(best.layout).length, coresOf(best.layout, place), place.devices.length];
  const on = `${used} of ${all} ${all === 1 ? 'device' : 'devices'}`;
  return `Chosen for ${goal}: ${best.name}, ${given(best, goal)}, ${engines < used ? `${engines === 1 ? 'one engine' : `${engines} engines`} with the cores of ${on}` : `on ${on}`}.`;
}

/** Which of the numbers are more than forecasts, and what was run in vain: that is never a detail. */
function trials({ best, others, refused }: ExplainOptions): string | undefined {
  const tried = [best, ...others].filter(({ measured }) => measured);
  const failures = refused.filter(({ failed }) => failed !== undefined);
  if (tried.length + failures.length === 0) return undefined;
  const failed = failures.length === 0 ? '' : ` ${failures.map(({ name, failed: why }) => `${capital(name)} was tried and does not run: ${why}`).join('. ')}.`;
  if (tried.length === 0) return `No layout that was tried runs; everything here is forecast.${failed}`;
  return `${tried.length === 1 ? 'One layout was' : `${tried.length} layouts were`} run: ${tried.map(({ name }) => name).join(', ')}; everything else is forecast.${failed}`;
}

/** What a layout of branches does at the same time. */
function branches({ best, place }: ExplainOptions): string | undefined {
  if (best.layout.kind !== 'tasks') return undefined;
  const { parts } = best.layout;
  const computing = best.timeline.filter(({ kind }) => kind === 'compute').reduce((sum, { from, to }) => sum + to - from, 0);
  const alone = parts.filter((part) => parts.every((other) => part === other || leadsTo(parts, part, other) || leadsTo(parts, other, part))).length;
  return `The graph is in ${parts.length} parts, ${parts.length - alone} of which are branches that need nothing of some others and run at the same time on ${coresOf(best.layout, place)} devices: ${secondsText(computing)} of computing in ${secondsText(best.forecast.latency)}.`;
}

/** Who holds which experts, and what happens to tokens. */
function experts({ best, book }: ExplainOptions): string | undefined {
  const shards = expertShards(best.layout);
  if (!shards) return undefined;
  const all = expertsOf(book.model);
  const [few, many] = [Math.floor(all / shards.devices.length), Math.ceil(all / shards.devices.length)];
  const rest = shards.experts === 'only' ? 'all of everything else' : 'a part of every other large matrix';
  return `Of the ${all} experts of a mixture every device holds ${few === many ? few : `${few} or ${many}`} whole, and ${rest}. All devices choose the experts of every token, each computes the tokens that chose one of its own, and a sum over the devices puts them together: it waits for the device with most tokens, which is forecast as if experts were chosen equally often.`;
}

function expertShards(layout: Layout): (Layout & { kind: 'tensor' }) | undefined {
  if (layout.kind === 'tensor') return layout.experts === undefined || layout.experts === 'sliced' ? undefined : layout;
  const inner = layout.kind === 'data' ? layout.replicas : layout.kind === 'pipeline' ? layout.stages.map((stage) => stage.layout) : layout.kind === 'tasks' ? layout.parts.map((part) => part.layout) : [];
  return inner.map(expertShards).find((found) => found !== undefined);
}

function leadsTo(parts: readonly Part[], from: Part, to: Part): boolean {
  const known = new Set(from.outputs);
  for (const part of parts.slice(parts.indexOf(from) + 1)) {
    if (!part.inputs.some((name) => known.has(name))) continue;
    if (part === to) return true;
    part.outputs.forEach((name) => known.add(name));
  }
  return false;
}

function next({ best, others, goal }: ExplainOptions): string | undefined {
  const [second] = others;
  if (!second) return undefined;
  const better = meritOf(second, goal) / meritOf(best, goal);
  const would = second.measured ? 'gave' : 'would give';
  if (better < 1 && best.measured && !second.measured) return `${capital(second.name)}, which was not run, is expected to give ${given(second, goal)}.`;
  if (better < 1) return `${capital(second.name)} ${would} ${given(second, goal)}, which is better by less than ${second.measured ? 'measurements differ' : 'forecasts are wrong by'}, and is less simple.`;
  return `The next best, ${second.name}, ${would} ${given(second, goal)}: ${percent(better - 1)} worse.`;
}

function alone({ best, others, goal }: ExplainOptions): string | undefined {
  const one = others.find(({ name }) => name === 'one device');
  if (!one) return best.name === 'one device' && others.length > 0 ? 'More devices do not pay: what they save is less than what calls and transfers between them cost.' : undefined;
  return `One device ${one.measured ? 'gave' : 'would give'} ${given(one, goal)}; the efficiency of the layout, its throughput over that of as many single devices, is ${percent(best.forecast.efficiency)}.`;
}

/** What limits the layout: waiting in a pipeline, transfers, memory bandwidth, or arithmetic. */
function bound({ best, book, place }: ExplainOptions): string {
  const spent = (kind: string): number => best.timeline.filter((span) => span.kind === kind).reduce((sum, { from, to }) => sum + to - from, 0);
  const [computing, moving] = [spent('compute'), spent('transfer') + spent('collective')];
  if (best.layout.kind === 'pipeline' && best.forecast.bubble > 0.1) {
    return `Its limit is the bubble: devices wait ${percent(best.forecast.bubble)} of one request, because ${book.batchSymbol === undefined ? 'the batch of this model cannot be cut' : `a batch of ${book.batch} gives no more pieces`}; requests that follow each other fill it.`;
  }
  if (moving > computing / 4) return `Its limit is the links: ${secondsText(moving)} of transfers beside ${secondsText(computing)} of computing.`;
  const cost = book.at(book.batch);
  const device = place.devices[0]!;
  // Of a mixture only the experts that are chosen.
  const read = Math.min(cost.weightBytes, [...cost.nodes.values()].reduce((sum, { weightBytes }) => sum + weightBytes, 0));
  const reading = read / device.memoryBandwidth;
  const multiplying = cost.flops / device.flops;
  return reading > multiplying
    ? `Its limit is memory: ${bytesText(read)} of weights are read for ${(cost.flops / 1e9).toPrecision(2)} GFLOP; larger batches or fewer bits per weight would help.`
    : `Its limit is arithmetic: ${(cost.flops / 1e9).toPrecision(3)} GFLOP per request.`;
}

function memory({ best, place }: ExplainOptions): string {
  const [name, bytes] = Object.entries(best.forecast.memory).sort(([, a], [, b]) => b - a)[0]!;
  const taken = place.occupies(name, best.layout.kind === 'device' ? best.layout.threads : undefined);
  const room = bytesText(taken.reduce((sum, index) => sum + place.devices[index]!.memoryBytes, 0));
  return taken.length > 1 ? `Its engine holds ${bytesText(bytes)} of the ${room} of ${taken.length} devices.` : `The fullest device, ${name}, holds ${bytesText(bytes)} of ${room}.`;
}

/** Those that failed stand with the trials. */
function refusals({ refused: all }: ExplainOptions): string | undefined {
  const refused = all.filter(({ failed }) => failed === undefined);
  if (refused.length === 0) return undefined;
  const reasons = new Map<string, string[]>();
  for (const each of refused) reasons.set(each.refused ?? '', [...(reasons.get(each.refused ?? '') ?? []), each.name]);
  const [first] = reasons;
  return `Refused: ${first![1].join(', ')} (${first![0]})${reasons.size > 1 ? `, and ${refused.length - first![1].length} more` : ''}.`;
}

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
