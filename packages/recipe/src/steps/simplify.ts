/** The step `simplify`: the same graph with fewer nodes. */
import { simplify } from '@penjing/core/rewrite';
import { objectSchema, type StepKind } from './step.js';

export interface SimplifyStep {
  /** Operators that fusions may make: those of ai.onnx, or those of ONNX Runtime too. */
  readonly fusions?: 'none' | 'standard' | 'onnxruntime';
  /** Raise the model to this version of ai.onnx. */
  readonly opset?: number;
  /** Compare the result with the original on so many random inputs before it appears. */
  readonly check?: number;
}

export const simplifyStep: StepKind<SimplifyStep> = {
  schema: objectSchema({
    fusions: { enum: ['none', 'standard', 'onnxruntime'] },
    opset: { type: 'integer', minimum: 1, maximum: 64 },
    check: { type: 'integer', minimum: 1, maximum: 1000 },
  }),
  pass: ({ check: _check, ...options }) => simplify(options),
  check: ({ check }) => check,
  runsGraph: true,
};
