/** What the planner expects of the very runs of bench/parallel.ts: from times of the model in one engine, as `plan --measure` takes them, and from what `doctor --links` wrote. */
import type { Model } from '@penjing/core';
import { costBook, type Forecast, forecastOf, type Layout, type ModelTime, timedBook, topology } from '@penjing/parallel';
import { measureModel, readDevicesFile } from '@penjing/recipe';
import { median } from './timed.js';

interface ForecastRun {
  readonly name: string;
  readonly model: Model;
  /** Of a request. */
  readonly rows: number;
  readonly layout: Layout;
  /** Seconds of a request alone, or of each where the next one waits. */
  readonly seconds: (forecast: Forecast) => number;
}

export interface ParallelRuns {
  readonly model: Model;
  /** Where it is cut in two. */
  readonly cut: string;
  readonly rows: number;
  /** Two such models on one input, which give `a` and `b`; they get half the rows. */
  readonly both: Model;
  readonly microRows: number;
  readonly microBatches: readonly number[];
}

/** Of data and tasks two requests are under way; of a pipeline one, which fills and drains it. */
function runsOf({ model, cut, rows, both, microRows, microBatches }: ParallelRuns, first: string, second: string): ForecastRun[] {
  const on = (device: string, inputs: string, outputs: string) => ({ inputs: [inputs], outputs: [outputs], layout: { kind: 'device', device, threads: 1 } as const });
  const replicas = [on(first, 'x', 'y').layout, on(second, 'x', 'y').layout];
  const stages = [on(first, 'x', cut), on(second, cut, 'y')];
  return [
    { name: 'data', model, rows, layout: { kind: 'data', reduction: 'concat', replicas }, seconds: ({ throughput }) => 1 / throughput },
    { name: 'tasks', model: both, rows: rows / 2, layout: { kind: 'tasks', parts: [on(first, 'x', 'a'), on(second, 'x', 'b')] }, seconds: ({ throughput }) => 1 / throughput },
    ...microBatches.map((count): ForecastRun => ({ name: `pipeline${count}`, model, rows: microRows * count, layout: { kind: 'pipeline', microBatches: count, stages }, seconds: ({ latency }) => latency })),
  ];
}

export interface RunForecaster {
  /** Runs every model on one engine: to be called now and then between the rounds. */
  measure(): Promise<void>;
  /** Milliseconds by name, from the medians of what was measured so far. */
  forecasts(): Record<string, number>;
}

export async function runForecaster(path: string, runs: ParallelRuns): Promise<RunForecaster> {
  const { devices: all, links } = await readDevicesFile(path);
  const devices = all.slice(0, 2);
  const [first, second] = devices.map(({ name }) => name);
  if (first === undefined || second === undefined) throw new Error(`${path} lists fewer than two devices`);
  const place = topology(devices, links);
  const timed = [[runs.model, runs.rows], [runs.both, runs.rows / 2]] as const;
  const known = new Map<Model, ModelTime[][]>(timed.map(([model]) => [model, []]));
  return {
    async measure() {
      for (const [model, rows] of timed) known.get(model)!.push(await measureModel(model, { devices, sizes: { batch: rows } }));
    },
    forecasts() {
      return Object.fromEntries(runsOf(runs, first, second).map(({ name, model, rows, layout, seconds }) => {
        const book = timedBook(costBook(model, { sizes: { batch: rows } }), mediansOf(known.get(model)!), place, first);
        return [name, 1000 * seconds(forecastOf({ layout, book, place }).forecast)];
      }));
    },
  };
}

/** The machine is slower in some rounds: what is compared with medians of rounds is made of medians of rounds. */
function mediansOf(rounds: readonly (readonly ModelTime[])[]): ModelTime[] {
  return rounds[0]!.map(({ threads, rows }, i) => {
    const over = (pick: (time: ModelTime) => number | undefined): number => median(rounds.map((times) => pick(times[i]!) ?? NaN));
    const [streamed, together] = [over((time) => time.streamed), over((time) => time.together)];
    return { threads, rows, seconds: over((time) => time.seconds), ...(streamed > 0 && { streamed }), ...(together > 0 && { together }) };
  });
}
