/** The part that methods of rounding with statistics of activations share: GPTQ and AWQ. */
import { type JobHost, type Model, type Pass, PenjingError, type QuantizedTensors, type TaskOptions, type Value, type WeightRecord } from '@penjing/core';
import { calibrateLayers, type LayerGroup, layerGroups, type StatisticName, type Statistics, orProblem } from '@penjing/core/calibrate';
import { describeMethod, finishWeights, type PlannedWeight, planWeights, type WeightPlan, type WeightSettings } from './plan-weights.js';
import { describeScheme } from './scheme.js';
import { type RoundedMatrix, spilledTensors } from './spill-blocks.js';

export interface RoundTools {
  readonly jobs: JobHost;
  readonly task: TaskOptions;
}

export interface RoundedGroup {
  /** One for each layer. */
  readonly matrices: readonly RoundedMatrix[];
  readonly note: string | undefined;
  /** Edits the graph around the layers before their weights are replaced; what it gives is noted too. */
  readonly prepare?: () => string;
}

/** Rounds layers that read one activation. `E_DATA` that it throws makes them fall back to rounding without data. */
export type RoundGroup<Name extends StatisticName> = (
  layers: readonly PlannedWeight[], statistics: Readonly<Pick<Statistics, Name>>, group: LayerGroup, tools: RoundTools,
) => Promise<RoundedGroup>;

export interface CalibratedRounding<Name extends StatisticName> {
  readonly method: 'gptq' | 'awq';
  readonly statistics: readonly Name[];
  /** Called once, before anything is edited. */
  readonly start: (model: Model, plan: WeightPlan) => RoundGroup<Name>;
}

/** Lookup tables, and matrices that no activation of the main graph reaches, are rounded without data, as their note says. */
export function calibratedWeights<Name extends StatisticName>({ method, statistics: wanted, start }: CalibratedRounding<Name>, settings: WeightSettings): Pass {
  const { scheme, form } = settings;
  const title = method.toUpperCase();
  return {
    name: `${method} ${describeScheme(scheme)}`,
    async run(model, { samples, jobs, ...task }) {
      if (!samples) throw new PenjingError('E_DATA', `${title} needs samples of what the model will read`, { hint: 'Give --data FILE.' });
      if (!jobs) throw new PenjingError('E_ENGINE', `${title} runs the model: it needs a host for jobs`, { hint: 'Give `ortJobs()` of @penjing/runtime as `jobs`.' });
      const plan = planWeights(model, settings);
      const round = start(model, plan);
      const records: WeightRecord[] = [...plan.leftAlone];
      const changed = new Set<Value>();
      const apply = ({ matrix, scheme, dataFree, record }: PlannedWeight, tensors: QuantizedTensors, more: Partial<WeightRecord>): void => {
        const stored = form.apply(matrix, tensors, { ...plan.context, scheme });
        records.push({ ...record, method: describeMethod(dataFree, scheme, settings), ...(more.objective === undefined && { measuredBy: stored.name }), ...more });
        changed.add(matrix.weight);
      };

      const plans = new Map(plan.planned.flatMap((planned) => (planned.method === method ? [[planned.matrix, planned] as const] : [])));
      const { groups, skipped } = layerGroups(model, [...plans.keys()]);
      const plannedOf = ({ layers }: LayerGroup): PlannedWeight[] => layers.map((layer) => plans.get(layer)!);
      for await (const { group, computed: result } of calibrateLayers(model, {
        ...task, jobs, samples, groups, statistics: wanted,
        compute: async ({ group, statistics, problem }, signal) => problem ?? (await orProblem(round(plannedOf(group), statistics, group, { jobs, task: { ...task, signal } }))),
      })) {
        const layers = plannedOf(group);
        if (typeof result === 'string') {
          for (const planned of layers) apply(planned, planned.nearest, { note: `rounded to the nearest: ${result}` });
          continue;
        }
        const notes = [result.note, result.prepare?.()].filter((note) => note !== undefined);
        for (const [i, planned] of layers.entries()) {
          const matrix = result.matrices[i]!;
          apply(planned, await spilledTensors(matrix, jobs), { method: describeMethod(method, planned.scheme, settings), ...measured(matrix), ...(notes.length > 0 && { note: notes.join('; ') }) });
        }
      }
      const reasons = new Map(skipped.map(({ weight, reason }) => [weight, reason]));
      for (const planned of plan.planned) {
        const { weight } = planned.matrix;
        if (changed.has(weight)) continue;
        apply(planned, planned.nearest, planned.method === method ? { note: `rounded to the nearest: ${reasons.get(weight) ?? 'no block of the model computes with it'}` } : {});
      }
      return { model, modified: true, records, warnings: finishWeights(model, changed, plan, settings) };
    },
  };
}


function measured({ objective, stats }: RoundedMatrix): Partial<WeightRecord> {
  return {
    objective,
    snrDb: stats.sumSquaredError === 0 ? Infinity : 10 * Math.log10(stats.sumSquares / stats.sumSquaredError),
    maxError: stats.maxError,
  };
}
