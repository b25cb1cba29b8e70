/** Weight-only quantization by rounding to the nearest grid point per block. */
import type { Pass, Value, WeightRecord } from '@penjing/core';
import { finishWeights, planWeights, type WeightOptions, weightSettings } from './plan-weights.js';
import { describeScheme } from './scheme.js';

export type QuantizeWeightsOptions = WeightOptions;

/**
 * A lazy pass: rewrites the graph and the expressions; the rounding happens when the model is saved or loaded, and
 * its error is measured then. Throws `E_OPTION` for a scheme without a kernel, `E_NOTHING_TO_DO` when no weight fits.
 */
export function quantizeWeights(options: QuantizeWeightsOptions = {}): Pass {
  const settings = weightSettings(options);
  const { scheme, form, format } = settings;
  const method = `rtn ${describeScheme(scheme)} ${format}`;

  return {
    name: `quantize ${describeScheme(scheme)}`,
    async run(model, { signal }) {
      const { planned, leftAlone, context } = planWeights(model, settings);
      const records: WeightRecord[] = [...leftAlone];
      const changed = new Set<Value>();
      for (const { matrix, nearest, record } of planned) {
        signal?.throwIfAborted();
        const measuredBy = form.apply(matrix, nearest, context).name;
        records.push({ ...record, method, measuredBy });
        changed.add(matrix.weight);
      }
      return { model, modified: true, records, warnings: finishWeights(model, changed, settings) };
    },
  };
}
