/** Precision, recall and F1 of a classifier, class by class, from how often which class was taken for which. */

/** Rows by their label and by the class that was found: label → found → rows. */
export type Confusion = Map<number, Map<number, number>>;

export interface ClassScore {
  readonly label: number;
  /** Where the data has names. */
  readonly name?: string;
  /** Of the rows that were found to be of the class, the share that is; 0 where there are none. */
  readonly precision: number;
  /** Of the rows of the class, the share that was found; 0 where there are none. */
  readonly recall: number;
  /** Harmonic mean of the two; 0 where either is. */
  readonly f1: number;
  /** Rows of the class. */
  readonly support: number;
}

export interface ConfusedRows {
  readonly label: number;
  readonly found: number;
  readonly rows: number;
}

export interface ClassScores {
  /** Mean of the F1 of all classes that are in the data or were found in it, each counting as much (macro). */
  readonly f1: number;
  readonly classes: readonly ClassScore[];
  /** The confusion matrix without its zeros, by label and found class. A row whose scores were all NaN was found to be −1. */
  readonly confusion: readonly ConfusedRows[];
}

export function addConfusion(confusion: Confusion, label: number, found: number, rows = 1): void {
  const row = confusion.get(label) ?? new Map<number, number>();
  confusion.set(label, row.set(found, (row.get(found) ?? 0) + rows));
}

export function mergeConfusion(into: Confusion, from: Confusion): void {
  for (const [label, row] of from) for (const [found, rows] of row) addConfusion(into, label, found, rows);
}

export function classScores(confusion: Confusion, names?: readonly string[]): ClassScores {
  const cells = [...confusion].flatMap(([label, row]) => [...row].map(([found, rows]) => ({ label, found, rows })));
  const support = new Map<number, number>();
  const found = new Map<number, number>();
  for (const { label, found: other, rows } of cells) {
    support.set(label, (support.get(label) ?? 0) + rows);
    found.set(other, (found.get(other) ?? 0) + rows);
  }
  const labels = [...new Set([...support.keys(), ...found.keys()])].filter((label) => label >= 0).sort((a, b) => a - b);
  const share = (part: number, whole: number | undefined): number => (whole ? part / whole : 0);
  const classes = labels.map((label): ClassScore => {
    const right = confusion.get(label)?.get(label) ?? 0;
    const [precision, recall] = [share(right, found.get(label)), share(right, support.get(label))];
    const name = names?.[label];
    return { label, ...(name !== undefined && { name }), precision, recall, f1: share(2 * precision * recall, precision + recall), support: support.get(label) ?? 0 };
  });
  return {
    f1: share(classes.reduce((sum, { f1 }) => sum + f1, 0), classes.length),
    classes,
    confusion: cells.sort((a, b) => a.label - b.label || a.found - b.found),
  };
}
