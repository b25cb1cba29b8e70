/** Versions of nats-server below which acknowledged messages were lost, and what older ones lack. */

/**
 * The oldest release of each line without a known loss of acknowledged writes: 2.10.20-22 lost streams when the process crashed, 2.12.1
 * and its siblings lost acknowledged writes when the power failed.
 */
const FLOORS: readonly (readonly [major: number, minor: number, patch: number])[] = [[2, 11, 16], [2, 12, 7], [2, 14, 0]];

export const floorVersions = FLOORS.map((floor) => floor.join('.')).join(', ');

/** False below the floor, and for what is no version. A line between two floors counts as below: it was never fixed. */
export function isAboveFloor(version: string): boolean {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(-)?/.exec(version);
  if (!match) return false;
  const [major, minor, patch] = match.slice(1, 4).map(Number) as [number, number, number];
  // A preview comes before the release whose number it bears.
  const numbers = [major, minor, match[4] ? patch - 1 : patch] as const;
  const newest = FLOORS[FLOORS.length - 1] as readonly [number, number, number];
  if (compare(numbers, newest) >= 0) return true;
  return FLOORS.some((floor) => floor[0] === major && floor[1] === minor && compare(numbers, floor) >= 0);
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, x] of a.entries()) if (x !== b[i]) return x - (b[i] ?? 0);
  return 0;
}
