/** Whole numbers within limits, as expressions of EBNF. */

/** Digits of a number without limits: what every reader of JSON holds exactly. */
export const MOST_DIGITS = 15;
const FREE = 10n ** BigInt(MOST_DIGITS) - 1n;

/** Whole numbers from `least` to `most`, without leading zeros or `-0`; a missing limit is a number of 15 digits. Undefined when there are none. */
export function integerRange(least: bigint | undefined, most: bigint | undefined): string | undefined {
  const low = least ?? min(-FREE, (most ?? 0n) * 10n);
  const high = most ?? max(FREE, low * 10n);
  if (low > high) return undefined;
  const parts: string[] = [];
  if (low < 0n) parts.push(`"-" ${grouped(magnitudes(max(1n, -high), -low))}`);
  if (high >= 0n) parts.push(...magnitudes(max(0n, low), high));
  return grouped(parts);
}

const grouped = (parts: readonly string[]): string => (parts.length === 1 ? parts[0]! : `(${parts.join(' | ')})`);
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** One alternative for each number of digits. */
function magnitudes(low: bigint, high: bigint): string[] {
  const parts: string[] = [];
  for (let digits = low.toString().length; digits <= high.toString().length; digits++) {
    const first = max(low, digits === 1 ? 0n : 10n ** BigInt(digits - 1));
    parts.push(sameLength(first.toString(), min(high, 10n ** BigInt(digits) - 1n).toString()));
  }
  return parts;
}

/** Digits of equal count, each number from `low` to `high`. */
function sameLength(low: string, high: string): string {
  if (low === '') return '""';
  if (low === high) return `"${low}"`;
  const rest = low.length - 1;
  if (/^0*$/.test(low.slice(1)) && /^9*$/.test(high.slice(1))) return `${digit(low[0]!, high[0]!)}${rest > 0 ? ` [0-9]{${rest},${rest}}` : ''}`;
  if (low[0] === high[0]) return `"${low[0]!}" ${grouped([sameLength(low.slice(1), high.slice(1))])}`;
  const parts = [`"${low[0]!}" ${sameLength(low.slice(1), '9'.repeat(rest))}`, `"${high[0]!}" ${sameLength('0'.repeat(rest), high.slice(1))}`];
  const [above, below] = [Number(low[0]) + 1, Number(high[0]) - 1];
  if (above <= below) parts.push(`${digit(String(above), String(below))} [0-9]{${rest},${rest}}`);
  return grouped(parts);
}

const digit = (low: string, high: string): string => (low === high ? `"${low}"` : `[${low}-${high}]`);
