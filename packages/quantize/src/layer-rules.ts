/** Per-weight overrides of how a model is quantized: mixed precision. */
import { PenjingError } from '@penjing/core';
import { type WeightScheme, weightScheme } from './scheme.js';

/** How integers are chosen. `none` leaves a weight as it is. Not every pass offers every method. */
export type RoundingMethod = 'rtn' | 'hqq' | 'awq' | 'gptq' | 'none';

/** What weights with certain names get instead of what the pass gives the others; what a rule leaves out stays as the pass has it. */
export interface LayerRule {
  /** An exact name, a pattern, or a list of either. */
  readonly match: string | RegExp | readonly (string | RegExp)[];
  readonly bits?: number;
  readonly blockSize?: number;
  readonly symmetric?: boolean;
  /** `quantizeWeights` offers rtn and hqq, `gptqWeights` gptq too, `awqWeights` awq too. */
  readonly method?: RoundingMethod;
}

/** How one weight is quantized. */
export interface WeightChoice {
  readonly scheme: WeightScheme;
  readonly method: RoundingMethod;
}

type Overall = Pick<LayerRule, 'bits' | 'blockSize' | 'symmetric'> & { readonly method: RoundingMethod; readonly layers?: readonly LayerRule[] | undefined };

/** The choice for a name: by the first rule that matches it. Throws `E_OPTION` for schemes without a kernel and methods that are not `offered`. */
export function weightChoices({ layers = [], ...overall }: Overall, offered: readonly RoundingMethod[]): (name: string) => WeightChoice {
  const standard: WeightChoice = { scheme: weightScheme(overall), method: overall.method };
  const rules = layers.map(({ match, bits = overall.bits, blockSize = overall.blockSize, symmetric = overall.symmetric, method = overall.method }) => ({
    match: Array.isArray(match) ? (match as readonly (string | RegExp)[]) : [match as string | RegExp],
    choice: { scheme: weightScheme({ bits, blockSize, symmetric }), method },
  }));
  for (const { choice: { method } } of rules) {
    if (method !== 'none' && !offered.includes(method)) {
      throw new PenjingError('E_OPTION', `a rule for layers asks for ${method}; this pass offers ${offered.join(', ')}`, { hint: 'Choose the pass by its most demanding method.' });
    }
  }
  return (name) => rules.find(({ match }) => match.some((rule) => matchesName(rule, name)))?.choice ?? standard;
}

/** Not `rule.test`, which starts where the last match of a global pattern ended. */
export function matchesName(rule: string | RegExp, name: string): boolean {
  return typeof rule === 'string' ? rule === name : name.search(rule) !== -1;
}
