/** The step `quantizeStatic`: weights and activations as int8, with scales that data decides. */
import { type CpuKind, cpuSchemes, type RangeMethod, quantizeStatic, rangeMethods } from '@penjing/quantize';
import { detectCpu } from '../detect-cpu.js';
import { type Calibrated, calibratedFields, calibrationOf, objectSchema, type StepKind, withoutData } from './step.js';
import { weightRule, weightRules } from './weight-rules.js';

export interface QuantizeStaticStep extends Calibrated {
  /** How the range of an activation is chosen from what it held; `minmax` when absent. */
  readonly calibrate?: RangeMethod;
  /** Per cent of the values that `percentile` keeps; 99.999 when absent. */
  readonly percentile?: number;
  /** One scale for each output channel of a weight; true when absent. */
  readonly perChannel?: boolean;
  /** Processor that the file is for; this machine's when absent. */
  readonly cpu?: CpuKind;
  /** Nodes or weights to leave alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
}

export const quantizeStaticStep: StepKind<QuantizeStaticStep> = {
  schema: objectSchema({
    calibrate: { enum: [...rangeMethods] },
    percentile: { type: 'number', minimum: 50, maximum: 100 },
    perChannel: { type: 'boolean' },
    cpu: { enum: Object.keys(cpuSchemes) },
    ...calibratedFields,
    exclude: weightRules,
  }),
  pass(step, { format }) {
    const { exclude = [], cpu = detectCpu(), ...options } = withoutData(step);
    return quantizeStatic({ ...options, cpu, target: format === 'tflite' ? 'tflite' : 'onnxruntime', exclude: exclude.map(weightRule) });
  },
  calibration: calibrationOf,
  stored: () => ({ bits: 8 }),
  runsGraph: true,
};
