/** The order of layouts by a goal: what was measured goes before what is forecast, and the few that are worth running are named. */
import type { Forecast, Goal, Layout, Measured } from '../plan/plan.js';
import type { Candidate, Planned } from './candidates.js';

/** What came of running a layout: what it gave, or why it does not run. */
export interface Trial {
  readonly name: string;
  readonly measured?: Measured;
  readonly failed?: string;
}

/** A gain below this is within what forecasts and measurements are wrong by; the simpler layout is taken then. */
const WORTHWHILE = 0.03;
/** Forecasts are wrong by less than this as a rule: what is expected to be so many times worse than the best is not run. */
const WITHIN = 2;

const merits: Readonly<Record<Goal, (forecast: Forecast) => number>> = {
  latency: ({ latency }) => latency,
  throughput: ({ throughput }) => 1 / throughput,
  memory: ({ memory }) => Math.max(...Object.values(memory)),
};

/** How good a layout is, less being better: as it was measured, where it was. */
export function meritOf({ forecast, measured }: Pick<Planned, 'forecast' | 'measured'>, goal: Goal): number {
  return merits[goal]({ ...forecast, ...measured });
}

/** Best first. */
export function rank(all: readonly Planned[], goal: Goal): Planned[] {
  return [...inOrder(all.filter(({ measured }) => measured), goal), ...inOrder(all.filter(({ measured }) => !measured), goal)];
}

/** By merit; a simpler layout goes before a better one that is hardly better. */
function inOrder(all: readonly Planned[], goal: Goal): Planned[] {
  const sorted = [...all].sort((a, b) => meritOf(a, goal) - meritOf(b, goal) || a.forecast.latency - b.forecast.latency || a.complexity - b.complexity);
  const [first] = sorted;
  if (!first) return [];
  const near = sorted.filter((each) => meritOf(each, goal) <= meritOf(first, goal) * (1 + WORTHWHILE));
  const chosen = near.reduce((simplest, other) => (other.complexity < simplest.complexity ? other : simplest));
  return [chosen, ...sorted.filter((other) => other !== chosen)];
}

/**
 * At most `most` that may turn out the best, the likeliest first: the best one of each kind before a second one of any, since forecasts of a kind are wrong together. A layout that
 * does the same as a simpler one (replicas for one row) is left out.
 */
export function worthTrying(ranked: readonly Planned[], goal: Goal, most: number): Planned[] {
  const [best] = ranked;
  if (!best) return [];
  const near = ranked.filter((each) => meritOf(each, goal) <= WITHIN * meritOf(best, goal));
  const different = near.filter((each) => !near.some((other) => other.complexity < each.complexity && meritOf(other, goal) === meritOf(each, goal)));
  const seen = new Set<string>();
  const firsts = different.filter(({ layout }) => !seen.has(kindOf(layout)) && seen.add(kindOf(layout)));
  return [...firsts, ...different.filter((each) => !firsts.includes(each))].slice(0, most);
}

/** One engine with the threads of its device, and one with those of several, are two kinds; so are shards of experts and of matrices. */
function kindOf(layout: Layout): string {
  if (layout.kind === 'device') return `device ${layout.threads ?? ''}`;
  return layout.kind === 'tensor' ? `tensor ${layout.experts ?? ''}` : layout.kind;
}

/** Candidates with what their trials gave, and those of which it turned out that they do not run. */
export function withTrials(all: readonly Planned[], trials: readonly Trial[]): { readonly fitting: Planned[]; readonly refused: Candidate[] } {
  const byName = new Map(trials.map((trial) => [trial.name, trial]));
  const fitting: Planned[] = [];
  const refused: Candidate[] = [];
  for (const each of all) {
    const { measured, failed } = byName.get(each.name) ?? {};
    if (failed === undefined) fitting.push({ ...each, ...(measured && { measured }) });
    else refused.push({ name: each.name, complexity: each.complexity, refused: `does not run: ${failed}`, failed });
  }
  return { fitting, refused };
}
