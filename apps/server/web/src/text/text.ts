/** The words of the page in the language that is chosen; reading one makes a component follow the choice. */
import { language, type Language } from '../state/settings.js';
import { en, type TextKey } from './en.js';
import { zh } from './zh.js';

export type { TextKey } from './en.js';

export const dictionaries: Readonly<Record<Language, Readonly<Record<TextKey, string>>>> = { en, zh };

/** The words for `key`, with `{name}` replaced by values. */
export function say(key: TextKey, values: Readonly<Record<string, string | number>> = {}): string {
  return dictionaries[language.value][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** True when there are words for a key made at run time, such as the name of a state. */
export function isTextKey(key: string): key is TextKey {
  return key in en;
}

/** `1.5 MB`: three figures, decimal units as on a disk's label. */
export function sayBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** A number with at most `figures` figures and separated thousands. */
export function sayNumber(value: number, figures = 3): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e9)) return value.toExponential(Math.max(0, figures - 1)).replace('-', '−');
  const digits = size >= 10 ** (figures - 1) ? 0 : size === 0 ? 0 : Math.max(0, figures - 1 - Math.floor(Math.log10(size)));
  return value.toLocaleString('en', { maximumFractionDigits: digits }).replace('-', '−');
}
