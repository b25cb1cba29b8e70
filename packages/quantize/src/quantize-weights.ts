/** Weight-only quantization without data: rounding to the nearest grid point per block, of grids from their range or fitted. */
import type { Pass, Value, WeightRecord } from '@penjing/core';
import { describeMethod, finishWeights, planWeights, type WeightOptions, weightSettings } from './plan-weights.js';
import { describeScheme } from './scheme.js';

export interface QuantizeWeightsOptions extends WeightOptions {
  /**
   * `rtn`: the nearest value of the grid. `hqq`: of the grid that half-quadratic splitting finds (Badri and Shaji 2023), which forgives
   * outliers: better at 2 and 3 bits, some twenty times slower. `rtn` when absent.
   */
  readonly method?: 'rtn' | 'hqq';
}

/**
 * A lazy pass: rewrites the graph and the expressions; the rounding happens when the model is saved or loaded, and
 * its error is measured then. Throws `E_OPTION` for a scheme without a kernel, `E_NOTHING_TO_DO` when no weight fits.
 */
export function quantizeWeights({ method = 'rtn', ...options }: QuantizeWeightsOptions = {}): Pass {
  const settings = weightSettings(options, method);
  const { scheme, form } = settings;

  return {
    name: `quantize ${describeScheme(scheme)}`,
    async run(model, { signal }) {
      const plan = planWeights(model, settings);
      const records: WeightRecord[] = [...plan.leftAlone];
      const changed = new Set<Value>();
      for (const { matrix, nearest, record, ...choice } of plan.planned) {
        signal?.throwIfAborted();
        const measuredBy = form.apply(matrix, nearest, { ...plan.context, scheme: choice.scheme }).name;
        records.push({ ...record, method: describeMethod(choice.dataFree, choice.scheme, settings), measuredBy });
        changed.add(matrix.weight);
      }
      return { model, modified: true, records, warnings: finishWeights(model, changed, plan, settings) };
    },
  };
}
