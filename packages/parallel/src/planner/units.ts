/** Bytes, seconds and counts as people read them. */

export function bytesText(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const step = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${step === 0 ? Math.round(bytes) : (bytes / 1000 ** step).toPrecision(3)} ${units[step]!}`;
}

export function secondsText(seconds: number): string {
  const [factor, unit] = seconds >= 1 ? [1, 's'] : seconds >= 1e-3 ? [1e3, 'ms'] : [1e6, 'µs'];
  return `${(seconds * factor).toPrecision(3)} ${unit}`;
}

/** Three digits that count, without an exponent: 59,700. */
export function countText(count: number): string {
  return count.toLocaleString('en', { maximumSignificantDigits: 3 });
}
