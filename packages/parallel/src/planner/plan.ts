/** Chooses a layout for a model and a goal: every candidate is simulated, the best one that fits is explained. */
import { type Model, PenjingError, type TaskOptions } from '@penjing/core';
import type { Sizes } from '../cost/bind-sizes.js';
import { costBook } from '../cost/cost-book.js';
import { type ModelTime, timedBook } from '../cost/model-times.js';
import type { Device, Link } from '../plan/device.js';
import type { Forecast, Goal, Layout, Plan } from '../plan/plan.js';
import { forecastOf, type Span } from '../simulate/forecast.js';
import { devicesOf } from '../simulate/layout-tasks.js';
import { type Topology, topology } from '../simulate/topology.js';
import { type Candidate, candidates, orderDevices, type Planned } from './candidates.js';
import { explain } from './explain.js';
import { rank, type Trial, withTrials, worthTrying } from './rank.js';
import { reasonOf } from './reason-of.js';
import { bytesText } from './units.js';

export interface PlanOptions extends Omit<TaskOptions, 'seed'> {
  readonly model: Model;
  readonly devices: readonly Device[];
  readonly links?: readonly Link[];
  /** `latency` when absent. */
  readonly goal?: Goal;
  /** Of one request, by symbol (`completeSizes`). */
  readonly sizes?: Sizes;
  /** What the plan calls the model. */
  readonly name?: string;
  /** What one engine on the first device takes for the model; forecasts follow from kinds of work alone when absent. */
  readonly times?: readonly ModelTime[];
  /** Allows shards across hosts. */
  readonly force?: boolean;
  /** Runs the few layouts that may be the best; the order then follows from what they gave. */
  readonly trials?: Trials;
}

export interface Trials {
  readonly most: number;
  /** Likeliest first. What cannot run is told as `failed`. */
  readonly run: (candidates: readonly Planned[]) => Promise<readonly Trial[]>;
}

export interface PlanResult {
  readonly plan: Plan;
  /** What happens when during one request, in the layout chosen. */
  readonly timeline: readonly Span[];
  /** All layouts with a forecast, best first. */
  readonly ranked: readonly Planned[];
}

/** Throws `E_MEMORY` when no layout fits, saying how much is short, `E_PLAN` for devices and links that make no sense and where nothing that fits runs, and what `completeSizes` throws. */
export async function plan(options: PlanOptions): Promise<Plan> {
  return (await planInDetail(options)).plan;
}

/** As `plan`, with what else was looked at. */
export async function planInDetail({ model, devices, links = [], goal = 'latency', sizes, times = [], name = model.graph.name || 'model', force, trials, signal, onProgress }: PlanOptions): Promise<PlanResult> {
  if (devices.length === 0) throw new PenjingError('E_PLAN', 'there are no devices to plan for');
  const place = topology(devices, links);
  const book = timedBook(costBook(model, sizes ? { sizes } : {}), times, place, orderDevices(devices)[0]!.name);
  const all = [...candidates({ book, place, ...(force !== undefined && { force }) })];
  const fitting: Planned[] = [];
  const refused: Candidate[] = all.filter(({ layout }) => !layout);
  const shortages: Shortage[] = [];
  let alone: number | undefined;
  for (const [index, candidate] of all.entries()) {
    // Lets a signal come through: simulations of many devices take seconds.
    await new Promise((resolve) => { setTimeout(resolve); });
    signal?.throwIfAborted();
    onProgress?.({ phase: 'plan', done: index, total: all.length, unit: 'layouts', item: candidate.name });
    const { layout } = candidate;
    if (!layout) continue;
    try {
      const { forecast, timeline } = forecastOf({ layout, book, place, ...(alone !== undefined && { alone }) });
      // The first candidate is one device, whether the model fits there or not.
      alone ??= forecast.throughput;
      const shortage = shortageOf(layout, forecast, place);
      if (shortage) {
        shortages.push(shortage);
        refused.push({ ...candidate, refused: `needs ${bytesText(shortage.needed)} on ${shortage.device}, which has ${bytesText(shortage.needed - shortage.short)}` });
      } else fitting.push({ ...candidate, layout, forecast, timeline });
    } catch (error) {
      refused.push({ ...candidate, refused: reasonOf(error) });
    }
  }
  const tried = withTrials(fitting, trials ? await trials.run(worthTrying(rank(fitting, goal), goal, trials.most)) : []);
  refused.push(...tried.refused);
  const [best, ...others] = rank(tried.fitting, goal);
  if (!best) throw nothingFits(shortages, refused, name);
  const ranked = [best, ...others];
  return {
    ranked,
    timeline: best.timeline,
    plan: {
      version: 1,
      goal,
      model: { name, weightBytes: book.weightBytes(book.whole), sizes: book.sizes },
      devices,
      links,
      layout: best.layout,
      forecast: best.forecast,
      reasons: explain({ best, others, refused, goal, book, place }),
      considered: [...ranked.map(({ name: layout, forecast, measured }) => ({ name: layout, forecast, ...(measured && { measured }) })), ...refused.map((each) => ({ name: each.name, refused: each.refused ?? '' }))].slice(0, MAX_CONSIDERED),
    },
  };
}

/** As many as a plan file may hold (`read-plan.ts`). */
const MAX_CONSIDERED = 256;

interface Shortage {
  readonly device: string;
  readonly needed: number;
  readonly short: number;
}

/** The device that lacks most; one whose engine takes the cores of others has their memory too. */
function shortageOf(layout: Layout, { memory }: Forecast, place: Topology): Shortage | undefined {
  const threads = layout.kind === 'device' ? layout.threads : undefined;
  const short = devicesOf(layout).map((device): Shortage => {
    const room = place.occupies(device, threads).reduce((sum, index) => sum + place.devices[index]!.memoryBytes, 0);
    const needed = memory[device] ?? 0;
    return { device, needed, short: needed - room };
  });
  return short.filter((each) => each.short > 0).sort((a, b) => b.short - a.short)[0];
}

function nothingFits(shortages: readonly Shortage[], refused: readonly Candidate[], name: string): PenjingError {
  // Memory is not what is missing where some fit: they were run, and each failed.
  const [failure] = refused.filter(({ failed }) => failed !== undefined);
  if (failure) {
    return new PenjingError('E_PLAN', `no layout of ${name} that fits runs: ${failure.name} ${failure.refused}`, {
      hint: 'Run the model on one device first: what fails there fails in every layout. Without trials the plan follows from forecasts alone.',
      details: { failed: Object.fromEntries(refused.flatMap((each) => (each.failed === undefined ? [] : [[each.name, each.failed]]))) },
    });
  }
  const least = [...shortages].sort((a, b) => a.short - b.short)[0];
  const why = refused.find((each) => each.refused)?.refused ?? 'no layout is possible';
  if (!least) return new PenjingError('E_PLAN', `no layout of ${name} is possible: ${why}`, { hint: 'List devices and the links between them; `considered` of a plan for one device says what each layout needs.' });
  return new PenjingError('E_MEMORY', `${name} fits into no layout: the closest one is ${bytesText(least.short)} short on ${least.device}, where it needs ${bytesText(least.needed)}`, {
    hint: 'Add devices or memory, use a smaller batch, or quantize the model.',
    details: { device: least.device, needed: least.needed, short: least.short },
  });
}
