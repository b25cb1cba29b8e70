/** Which weights of a model are quantized, and what is said of the others: the part that every method of rounding shares. */
import { type GridChoice, lazy, type Model, Names, modelGraphs, PenjingError, type QuantizedTensors, type Tensor, type Value, type WeightRecord } from '@penjing/core';
import type { WeightMatrix } from '@penjing/core/calibrate';
import { type LayerRule, matchesName, type RoundingMethod, type WeightChoice, weightChoices } from './layer-rules.js';
import { qdqForm } from './qdq.js';
import { qoperatorForm } from './qoperator.js';
import { raiseIrVersion } from './raise-ir-version.js';
import { removeUnusedWeights } from './remove-unused.js';
import { describeScheme, slowOnCpu, storedBits, type WeightScheme, weightScheme } from './scheme.js';
import { blockMatrices } from './select.js';
import type { FormContext, WeightForm } from './weight-form.js';

export interface WeightOptions {
  /** 2, 3, 4 or 8; 4 when absent. A grid of 3 bits is stored in codes of 4. */
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
  /** Mixed precision: what certain weights get instead. The first rule that matches a name counts. */
  readonly layers?: readonly LayerRule[];
  /**
   * Where the scales of a block come from. `range`: its smallest and largest weight, as ONNX Runtime. `squares`: the ones of least
   * squared error among shrunk ranges and refitted scales, some ten times slower. When absent `range`, but `squares` for GPTQ, whose
   * objective they lower by 3 to 25 %.
   */
  readonly scales?: 'range' | 'squares';
}

/** The options, checked and filled. */
export interface WeightSettings {
  /** Of the weights that no rule names. */
  readonly scheme: WeightScheme;
  readonly choose: (name: string) => WeightChoice;
  readonly scales: 'range' | 'squares';
  readonly form: WeightForm;
  readonly format: 'qoperator' | 'qdq';
  readonly accuracyLevel: number;
  readonly embeddings: boolean;
  readonly exclude: readonly (string | RegExp)[];
}

const forms = { qoperator: qoperatorForm, qdq: qdqForm } as const;

/** Throws `E_OPTION` for a scheme without a kernel, and for rules that ask for a method that is neither `method` nor without data. */
export function weightSettings(options: WeightOptions, method: RoundingMethod): WeightSettings {
  const { format = 'qoperator', accuracyLevel = 4, embeddings = true, exclude = [], scales = method === 'gptq' ? 'squares' : 'range' } = options;
  const choose = weightChoices({ ...options, method }, [...new Set<RoundingMethod>(['rtn', 'hqq', method])]);
  return { scheme: weightScheme(options), choose, scales, form: forms[format], format, accuracyLevel, embeddings, exclude };
}

/** `rtn int4 block 32 symmetric qoperator`. */
export function describeMethod(method: RoundingMethod, scheme: WeightScheme, { format, scales }: Pick<WeightSettings, 'format' | 'scales'>): string {
  return `${method} ${describeScheme(scheme)} ${format}${scales === 'squares' && method !== 'hqq' ? ', fitted scales' : ''}`;
}

/** A weight that is quantized. */
export interface PlannedWeight extends WeightChoice {
  readonly matrix: WeightMatrix;
  /** How it is rounded without data, when it is evaluated: what its method is, or what it falls back to. */
  readonly dataFree: 'rtn' | 'hqq';
  readonly nearest: QuantizedTensors;
  /** Names and sizes of its record. */
  readonly record: Pick<WeightRecord, 'name' | 'elements' | 'bytesBefore' | 'bytesAfter'>;
}

export interface WeightPlan {
  readonly planned: readonly PlannedWeight[];
  /** Of the weights that are left alone. */
  readonly leftAlone: readonly WeightRecord[];
  readonly context: Omit<FormContext, 'scheme'>;
}

/** Chooses the weights; prepares the model for the types that the form stores. Throws `E_NOTHING_TO_DO` when no weight fits. */
export function planWeights(model: Model, settings: WeightSettings): WeightPlan {
  const { scheme: overall, choose, form, accuracyLevel, embeddings, exclude } = settings;
  raiseIrVersion(model, form.irVersion(overall));
  const { matrices, skipped } = blockMatrices(model, embeddings);
  const records = skipped.map(({ weight, reason }) => leftAlone(weight, reason));
  const planned: PlannedWeight[] = [];
  for (const matrix of matrices) {
    const { weight } = matrix;
    const { scheme, method } = choose(weight.name);
    const dataFree = method === 'hqq' ? 'hqq' : 'rtn';
    const bytesBefore = weight.tensor!.byteLength;
    const nearest = quantized(matrix.matrix, scheme, dataFree, settings);
    const bytesAfter = nearest.values.byteLength + nearest.scales.byteLength + (nearest.zeroPoints?.byteLength ?? 0);
    const reason = method === 'none' || exclude.some((rule) => matchesName(rule, weight.name))
      ? 'excluded'
      : bytesAfter >= bytesBefore
        ? 'quantized it would be larger'
        : form.refuse(matrix, scheme);
    const [rows, cols] = matrix.matrix.shape as [number, number];
    if (reason !== undefined) records.push(leftAlone(weight, reason));
    else planned.push({ matrix, scheme, method, dataFree, nearest, record: { name: weight.name, elements: rows * cols, bytesBefore, bytesAfter } });
  }
  if (planned.length === 0) throw nothingToDo(records);
  for (const { scheme } of planned) raiseIrVersion(model, form.irVersion(scheme));
  return { planned, leftAlone: records, context: { accuracyLevel, names: new Names(modelGraphs(model)) } };
}

/** A matrix (rows, cols) rounded without data, lazily. */
function quantized(matrix: Tensor, scheme: WeightScheme, method: 'rtn' | 'hqq', { form, scales }: WeightSettings): QuantizedTensors {
  const { blockSize, symmetric, bits } = scheme;
  const fit: GridChoice['fit'] = method === 'hqq' ? 'half-quadratic' : scales;
  const grid: GridChoice | undefined = bits === 3 || fit !== 'range' ? { bits, fit } : undefined;
  return lazy.quantize(matrix, { bits: storedBits(scheme), blockSize, symmetric, layout: form.layout }, matrix.dtype, grid);
}

/** Removes the weights that nothing reads any more; gives what the user should know. */
export function finishWeights(model: Model, changed: ReadonlySet<Value>, { planned }: WeightPlan, { accuracyLevel }: WeightSettings): string[] {
  const kept = removeUnusedWeights(model, changed);
  model.origin = undefined;
  const slow = new Set(planned.map(({ scheme }) => slowOnCpu(scheme, accuracyLevel)).filter((warning) => warning !== undefined));
  return [...slow, ...kept.map(({ name }) => `${name} stays in the file too: something else still reads it`)];
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
