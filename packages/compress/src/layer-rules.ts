/** Rules that give certain weights something else: the first that matches a name counts. */

export interface LayerMatch {
  /** An exact name, a pattern, or a list of either. */
  readonly match: string | RegExp | readonly (string | RegExp)[];
  /** `none` leaves the weights alone. */
  readonly method?: 'none';
}

export function firstRule<Rule extends LayerMatch>(rules: readonly Rule[], name: string): Rule | undefined {
  return rules.find(({ match }) => (Array.isArray(match) ? (match as readonly (string | RegExp)[]) : [match as string | RegExp]).some((rule) => matchesName(rule, name)));
}

/** Not `rule.test`, which starts where the last match of a global pattern ended. */
export function matchesName(rule: string | RegExp, name: string): boolean {
  return typeof rule === 'string' ? rule === name : name.search(rule) !== -1;
}
