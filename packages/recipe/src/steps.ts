/** Recipe steps by name: the pass each one stands for. */
import { type Pass, PenjingError } from '@penjing/core';
import { simplify } from '@penjing/core/rewrite';
import { castWeights, gptqWeights, quantizeWeights } from '@penjing/quantize';
import type { CastStep, QuantizeStep, RecipeStep, SimplifyStep } from './recipe-schema.js';

/** The passes of a recipe, in order; `convert` says how the model is built and is no pass. */
export function passesOf(steps: readonly RecipeStep[]): Pass[] {
  return steps.flatMap((step) => {
    if ('quantize' in step) return [quantizePass(step.quantize)];
    if ('simplify' in step) return [simplifyPass(step.simplify)];
    return 'cast' in step ? [castPass(step.cast)] : [];
  });
}

const quantizers = { rtn: quantizeWeights, gptq: gptqWeights } as const;

function quantizePass({ method = 'rtn', data, samples, exclude = [], ...options }: QuantizeStep): Pass {
  if (method === 'rtn' && (data !== undefined || samples !== undefined)) {
    throw new PenjingError('E_OPTION', 'rounding to the nearest reads no data', { hint: 'Choose --method gptq, or leave out --data and --samples.' });
  }
  return quantizers[method]({ ...options, exclude: exclude.map(toRule) });
}

function simplifyPass({ check: _check, ...options }: SimplifyStep): Pass {
  return simplify(options);
}

function castPass(options: CastStep): Pass {
  return castWeights(options);
}

/** `/pattern/` is a regular expression, everything else an exact name. */
function toRule(text: string): string | RegExp {
  if (text.length <= 2 || !text.startsWith('/') || !text.endsWith('/')) return text;
  try {
    return new RegExp(text.slice(1, -1));
  } catch (cause) {
    throw new PenjingError('E_OPTION', `exclude ${text} is no pattern: ${(cause as Error).message}`, { cause, hint: 'Text between slashes is a regular expression.' });
  }
}
