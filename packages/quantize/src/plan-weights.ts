/** Which weights of a model are quantized, and what is said of the others: the part that every method of rounding shares. */
import { lazy, type Model, Names, modelGraphs, PenjingError, type QuantizedTensors, type Value, type WeightRecord } from '@penjing/core';
import { qdqForm } from './qdq.js';
import { qoperatorForm } from './qoperator.js';
import { raiseIrVersion } from './raise-ir-version.js';
import { removeUnusedWeights } from './remove-unused.js';
import { slowOnCpu, type WeightScheme, weightScheme } from './scheme.js';
import { type WeightMatrix, weightMatrices } from './select.js';
import type { FormContext, WeightForm } from './weight-form.js';

export interface WeightOptions {
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

/** The options, checked and filled. */
export interface WeightSettings {
  readonly scheme: WeightScheme;
  readonly form: WeightForm;
  readonly format: 'qoperator' | 'qdq';
  readonly accuracyLevel: number;
  readonly embeddings: boolean;
  readonly exclude: readonly (string | RegExp)[];
}

const forms = { qoperator: qoperatorForm, qdq: qdqForm } as const;

/** Throws `E_OPTION` for a scheme without a kernel. */
export function weightSettings(options: WeightOptions): WeightSettings {
  const { format = 'qoperator', accuracyLevel = 4, embeddings = true, exclude = [] } = options;
  return { scheme: weightScheme(options), form: forms[format], format, accuracyLevel, embeddings, exclude };
}

/** A weight that is quantized. */
export interface PlannedWeight {
  readonly matrix: WeightMatrix;
  /** Rounded to the nearest, when it is evaluated. */
  readonly nearest: QuantizedTensors;
  /** Names and sizes of its record. */
  readonly record: Pick<WeightRecord, 'name' | 'elements' | 'bytesBefore' | 'bytesAfter'>;
}

export interface WeightPlan {
  readonly planned: readonly PlannedWeight[];
  /** Of the weights that are left alone. */
  readonly leftAlone: readonly WeightRecord[];
  readonly context: FormContext;
}

/** Chooses the weights; prepares the model for the types that the form stores. Throws `E_NOTHING_TO_DO` when no weight fits. */
export function planWeights(model: Model, { scheme, form, accuracyLevel, embeddings, exclude }: WeightSettings): WeightPlan {
  raiseIrVersion(model, form.irVersion(scheme));
  const { matrices, skipped } = weightMatrices(model, embeddings);
  const records = skipped.map(({ weight, reason }) => leftAlone(weight, reason));
  const planned: PlannedWeight[] = [];
  for (const matrix of matrices) {
    const { weight } = matrix;
    const bytesBefore = weight.tensor!.byteLength;
    const nearest = lazy.quantize(matrix.matrix, { ...scheme, layout: form.layout }, matrix.matrix.dtype);
    const bytesAfter = nearest.values.byteLength + nearest.scales.byteLength + (nearest.zeroPoints?.byteLength ?? 0);
    const reason = exclude.some((rule) => matches(rule, weight.name))
      ? 'excluded'
      : bytesAfter >= bytesBefore
        ? 'quantized it would be larger'
        : form.refuse(matrix, scheme);
    const [rows, cols] = matrix.matrix.shape as [number, number];
    if (reason !== undefined) records.push(leftAlone(weight, reason));
    else planned.push({ matrix, nearest, record: { name: weight.name, elements: rows * cols, bytesBefore, bytesAfter } });
  }
  if (planned.length === 0) throw nothingToDo(records);
  return { planned, leftAlone: records, context: { scheme, accuracyLevel, names: new Names(modelGraphs(model)) } };
}

/** Removes the weights that nothing reads any more; gives what the user should know. */
export function finishWeights(model: Model, changed: ReadonlySet<Value>, { scheme, accuracyLevel }: WeightSettings): string[] {
  const kept = removeUnusedWeights(model, changed);
  model.origin = undefined;
  const slow = slowOnCpu(scheme, accuracyLevel);
  const warnings = kept.map(({ name }) => `${name} stays in the file too: something else still reads it`);
  return slow === undefined ? warnings : [slow, ...warnings];
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
