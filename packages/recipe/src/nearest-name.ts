/** The name that was probably meant. */

/** That of at most one change in three letters (Levenshtein 1966), the first of the nearest; undefined when none is so near. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  // Something this long is no slip of the pen.
  if (given.length > 64) return undefined;
  const [best] = names.map((name) => ({ name, changes: changesBetween(given.toLowerCase(), name.toLowerCase()) })).sort((a, b) => a.changes - b.changes);
  return best && best.changes <= Math.max(1, Math.floor(given.length / 3)) ? best.name : undefined;
}

/** Letters that are put in, left out or replaced. */
function changesBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
