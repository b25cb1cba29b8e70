/** The steps that mean something for files of weights: at most one that quantizes. */
import { PenjingError } from '@penjing/core';
import type { QuantizeStep } from '../steps/quantize.js';
import type { RecipeStep } from '../steps/steps.js';

/** Throws `E_OPTION` for steps that need a graph, and for options of quantization that these formats have no room for. */
export function quantizeStepOf(steps: readonly RecipeStep[], format: string): QuantizeStep | undefined {
  const quantized = steps.flatMap((step) => ('quantize' in step ? [step.quantize] : []));
  const others = steps.filter((step) => !('convert' in step) && !('quantize' in step));
  if (others.length > 0 || quantized.length > 1) {
    throw new PenjingError('E_OPTION', `${format} files are written from the weights: of the steps, one \`quantize\` is understood`, { hint: 'Write ONNX instead, or leave out the other steps.' });
  }
  const [step] = quantized;
  if (!step) return undefined;
  const foreign = (['blockSize', 'accuracyLevel', 'embeddings', 'symmetric', 'data', 'samples', 'scales', 'layers'] as const).find((field) => step[field] !== undefined) ?? (step.exclude?.length ? 'exclude' : undefined);
  if (step.method !== undefined && step.method !== 'rtn') {
    throw new PenjingError('E_OPTION', `${step.method} needs a graph to run, ${format} files are written from the weights`, { hint: 'Write ONNX instead.' });
  }
  if (foreign === undefined) return step;
  throw new PenjingError('E_OPTION', `${format} fixes how weights are quantized: ${foreign} cannot be chosen`, { hint: 'Leave the option out.' });
}
