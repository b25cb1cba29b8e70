/** The step `quantizeDynamic`: weights as int8, activations rounded over the range they have in each run. */
import { PenjingError } from '@penjing/core';
import { type CpuKind, cpuSchemes, quantizeDynamic } from '@penjing/quantize';
import { detectCpu } from '../detect-cpu.js';
import { objectSchema, type StepKind } from './step.js';
import { weightRule, weightRules } from './weight-rules.js';

export interface QuantizeDynamicStep {
  /** Processor that the file is for; this machine's when absent. */
  readonly cpu?: CpuKind;
  /** Operators to rewrite: MatMul, Gemm, Conv, LSTM; all when absent. */
  readonly operators?: readonly string[];
  /** Nodes or weights to leave alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
}

export const quantizeDynamicStep: StepKind<QuantizeDynamicStep> = {
  schema: objectSchema({ cpu: { enum: Object.keys(cpuSchemes) }, operators: { type: 'array', items: { enum: ['MatMul', 'Gemm', 'Conv', 'LSTM'] }, minItems: 1 }, exclude: weightRules }),
  pass({ exclude = [], cpu = detectCpu(), ...options }, { format }) {
    if (format !== 'onnx') throw new PenjingError('E_OPTION', `${format} files have no dynamic quantization`, { hint: format === 'tflite' ? 'Use --static with --data, or convert with --weights int8.' : 'Write an ONNX model.' });
    return quantizeDynamic({ ...options, cpu, exclude: exclude.map(weightRule) });
  },
  stored: () => ({ bits: 8 }),
  runsGraph: true,
};
