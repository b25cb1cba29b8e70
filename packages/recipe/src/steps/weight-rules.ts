/** How steps name weights: exactly, or by a pattern. */
import { PenjingError } from '@penjing/core';

export const weightRules = { type: 'array', items: { type: 'string', minLength: 1 } } as const;

/** `/pattern/` is a regular expression, everything else an exact name. Throws `E_OPTION` for a pattern that is none. */
export function weightRule(text: string): string | RegExp {
  if (text.length <= 2 || !text.startsWith('/') || !text.endsWith('/')) return text;
  try {
    return new RegExp(text.slice(1, -1));
  } catch (cause) {
    throw new PenjingError('E_OPTION', `${text} is no pattern: ${(cause as Error).message}`, { cause, hint: 'Text between slashes is a regular expression.' });
  }
}

/** A rule for layers, its patterns read. */
export function matching<Rule extends { readonly match: readonly string[] }>(rule: Rule): Omit<Rule, 'match'> & { readonly match: readonly (string | RegExp)[] } {
  return { ...rule, match: rule.match.map(weightRule) };
}
