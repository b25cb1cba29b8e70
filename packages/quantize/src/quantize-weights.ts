/** Weight-only quantization by rounding to the nearest grid point per block. */
import { lazy, modelGraphs, Names, type Pass, PenjingError, type Value, type WeightRecord } from '@penjing/core';
import { removeUnusedWeights } from './remove-unused.js';
import { qdqForm } from './qdq.js';
import { qoperatorForm } from './qoperator.js';
import { raiseIrVersion } from './raise-ir-version.js';
import { describeScheme, slowOnCpu, weightScheme } from './scheme.js';
import { weightMatrices } from './select.js';

export interface QuantizeWeightsOptions {
  /** 2, 4 or 8; 4 when absent. */
  readonly bits?: number;
  /** 16, 32, 64, 128 or 256 weights per scale; 32 when absent. */
  readonly blockSize?: number;
  /** True when absent. */
  readonly symmetric?: boolean;
  /** `qoperator`: MatMulNBits and GatherBlockQuantized. `qdq`: standard DequantizeLinear, opset 21. */
  readonly format?: 'qoperator' | 'qdq';
  /** accuracy_level of MatMulNBits: 4 quantizes activations to int8 (fast), 1 keeps them float32. */
  readonly accuracyLevel?: 0 | 1 | 2 | 3 | 4;
  /** Lookup tables too; true when absent. */
  readonly embeddings?: boolean;
  /** Weights to leave alone: exact names, or patterns. */
  readonly exclude?: readonly (string | RegExp)[];
}

const forms = { qoperator: qoperatorForm, qdq: qdqForm } as const;

/**
 * A lazy pass: rewrites the graph and the expressions; the rounding happens when the model is saved or loaded, and
 * its error is measured then. Throws `E_OPTION` for a scheme without a kernel, `E_NOTHING_TO_DO` when no weight fits.
 */
export function quantizeWeights(options: QuantizeWeightsOptions = {}): Pass {
  const scheme = weightScheme(options);
  const { format = 'qoperator', accuracyLevel = 4, embeddings = true, exclude = [] } = options;
  const form = forms[format];
  const method = `rtn ${describeScheme(scheme)} ${format}`;

  return {
    name: `quantize ${describeScheme(scheme)}`,
    async run(model, { signal }) {
      raiseIrVersion(model, form.irVersion(scheme));
      const context = { scheme, accuracyLevel, names: new Names(modelGraphs(model)) };
      const { matrices, skipped } = weightMatrices(model, embeddings);
      const records: WeightRecord[] = skipped.map(({ weight, reason }) => leftAlone(weight, reason));
      const changed = new Set<Value>();
      for (const matrix of matrices) {
        signal?.throwIfAborted();
        const { weight } = matrix;
        const bytesBefore = weight.tensor!.byteLength;
        const quantized = lazy.quantize(matrix.matrix, { ...scheme, layout: form.layout }, matrix.matrix.dtype);
        const { values, scales, zeroPoints } = quantized;
        const bytesAfter = values.byteLength + scales.byteLength + (zeroPoints?.byteLength ?? 0);
        const reason = exclude.some((rule) => matches(rule, weight.name))
          ? 'excluded'
          : bytesAfter >= bytesBefore
            ? 'quantized it would be larger'
            : form.refuse(matrix, scheme);
        if (reason !== undefined) {
          records.push(leftAlone(weight, reason));
          continue;
        }
        const [rows, cols] = matrix.matrix.shape as [number, number];
        const measuredBy = form.apply(matrix, quantized, context).name;
        records.push({ name: weight.name, method, elements: rows * cols, bytesBefore, bytesAfter, measuredBy });
        changed.add(weight);
      }
      if (changed.size === 0) throw nothingToDo(records);
      const kept = removeUnusedWeights(model, changed);
      model.origin = undefined;
      const slow = slowOnCpu(scheme, accuracyLevel);
      const warnings = kept.map(({ name }) => `${name} stays in the file too: something else still reads it`);
      return { model, modified: true, records, warnings: slow === undefined ? warnings : [slow, ...warnings] };
    },
  };
}

/** Not `rule.test`, which starts where the last match of a global pattern ended. */
function matches(rule: string | RegExp, name: string): boolean {
  return typeof rule === 'string' ? rule === name : name.search(rule) !== -1;
}

function leftAlone(weight: { name: string; tensor: { byteLength: number; shape: readonly number[] } | undefined }, note: string): WeightRecord {
  const bytes = weight.tensor?.byteLength ?? 0;
  const elements = weight.tensor?.shape.reduce((product, dim) => product * dim, 1) ?? 0;
  return { name: weight.name, method: 'none', elements, bytesBefore: bytes, bytesAfter: bytes, note };
}

function nothingToDo(records: readonly WeightRecord[]): PenjingError {
  const reasons = [...new Set(records.map((record) => record.note))].join('; ');
  return new PenjingError('E_NOTHING_TO_DO', `no weight of this model can be quantized${reasons ? `: ${reasons}` : ''}`, {
    hint: 'Weight-only quantization works on constant matrices of MatMul, Gemm and Gather.',
  });
}
