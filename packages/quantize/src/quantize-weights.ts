/** Weight-only quantization by rounding to the nearest grid point per block. */
import { type Pass, PenjingError, type Value, type WeightRecord } from '@penjing/core';
import { removeUnusedWeights } from './remove-unused.js';
import { applyQdq, refuseQdq } from './qdq.js';
import { applyQOperator, CONTRIB_DOMAIN, refuseQOperator } from './qoperator.js';
import { describeScheme, quantizedBytes, slowOnCpu, weightScheme } from './scheme.js';
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

/**
 * A lazy pass: rewrites the graph and the expressions; the rounding happens when the model is saved or loaded, and
 * its error is measured then. Throws `E_OPTION` for a scheme without a kernel, `E_NOTHING_TO_DO` when no weight fits.
 */
export function quantizeWeights(options: QuantizeWeightsOptions = {}): Pass {
  const scheme = weightScheme(options);
  const { format = 'qoperator', accuracyLevel = 4, embeddings = true, exclude = [] } = options;
  const method = `rtn ${describeScheme(scheme)} ${format}`;

  return {
    name: `quantize ${describeScheme(scheme)}`,
    async run(model, { signal }) {
      const { matrices, skipped } = weightMatrices(model, embeddings);
      const records: WeightRecord[] = skipped.map(({ weight, reason }) => leftAlone(weight, reason));
      const changed: Value[] = [];
      for (const matrix of matrices) {
        signal?.throwIfAborted();
        const { weight } = matrix;
        const [rows, cols] = matrix.matrix.shape as [number, number];
        const bytesAfter = quantizedBytes(scheme, rows, cols);
        const reason = exclude.some((rule) => matches(rule, weight.name))
          ? 'excluded'
          : bytesAfter >= weight.tensor!.byteLength
            ? 'quantized it would be larger'
            : format === 'qdq'
              ? refuseQdq(model, matrix, scheme)
              : refuseQOperator(matrix, scheme);
        if (reason !== undefined) {
          records.push(leftAlone(weight, reason));
          continue;
        }
        const bytesBefore = weight.tensor!.byteLength;
        const measuredBy = format === 'qdq' ? applyQdq(matrix, scheme) : applyQOperator(matrix, scheme, accuracyLevel);
        records.push({ name: weight.name, method, elements: rows * cols, bytesBefore, bytesAfter, measuredBy });
        changed.push(weight);
      }
      if (changed.length === 0) throw nothingToDo(records);
      if (format === 'qoperator') model.opsetImports.set(CONTRIB_DOMAIN, model.opset(CONTRIB_DOMAIN) ?? 1);
      else model.irVersion = Math.max(model.irVersion, scheme.bits === 2 ? 13 : 10);
      removeUnusedWeights(model, new Set(changed));
      model.origin = undefined;
      const slow = slowOnCpu(scheme, accuracyLevel);
      const warnings = changed
        .filter((weight) => weight.useCount > 0)
        .map((weight) => `${weight.name} stays in the file too: another node still reads it`);
      return { model, modified: true, records, warnings: slow === undefined ? warnings : [slow, ...warnings] };
    },
  };
}

function matches(rule: string | RegExp, name: string): boolean {
  return typeof rule === 'string' ? rule === name : rule.test(name);
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
