/** Options that mean the same in every verb, written once, and readers of their values. */
import { PenjingError } from '@penjing/core';
import { InvalidArgumentError } from 'commander';
import type { Device } from '@penjing/runtime';
import type { OptionSpec } from './command.js';

/** Text that is not empty: an unset variable of a script must not mean the current folder. */
export function filled(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('it is empty.');
  return text;
}

/** An integer within bounds; anything else is wrong usage. */
export function integer(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text.trim()) || value < min || value > max) {
      throw new InvalidArgumentError(`a whole number ${max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`} is needed.`);
    }
    return value;
  };
}

/** One of a few whole numbers. */
export function oneOf(allowed: readonly number[]): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !allowed.includes(value)) throw new InvalidArgumentError(`allowed: ${allowed.join(', ')}.`);
    return value;
  };
}

export function decimal(min: number, max: number): (text: string) => number {
  return numberWithin({ minimum: min, maximum: max });
}

/** Limits of a number, as JSON schema names them. */
export interface NumberLimits {
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
  readonly exclusiveMinimum?: number | undefined;
  readonly exclusiveMaximum?: number | undefined;
}

/** A finite number within limits. */
export function numberWithin({ minimum = -Infinity, maximum = Infinity, exclusiveMinimum = -Infinity, exclusiveMaximum = Infinity }: NumberLimits): (text: string) => number {
  const bounds = [
    ...(minimum > -Infinity && maximum < Infinity ? [`from ${minimum} to ${maximum}`] : [...(minimum > -Infinity ? [`of at least ${minimum}`] : []), ...(maximum < Infinity ? [`of at most ${maximum}`] : [])]),
    ...(exclusiveMinimum > -Infinity ? [`above ${exclusiveMinimum}`] : []),
    ...(exclusiveMaximum < Infinity ? [`below ${exclusiveMaximum}`] : []),
  ];
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (Number.isFinite(value) && value >= minimum && value <= maximum && value > exclusiveMinimum && value < exclusiveMaximum) return value;
    throw new InvalidArgumentError(`a number ${bounds.join(' and ')}${bounds.length > 0 ? ' ' : ''}is needed.`);
  };
}

/** `cls,mean`: names. */
export function names(text: string): readonly string[] {
  return filled(text).split(',').map((name) => name.trim());
}

/** `0.485,0.456,0.406`: numbers. */
export function numbers(text: string): readonly number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (!values.every(Number.isFinite)) throw new InvalidArgumentError('numbers are needed, as 0.485,0.456,0.406.');
  return values;
}

/** `1,2,4`: integers within bounds. */
export function integers(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => readonly number[] {
  const one = integer(min, max);
  return (text) => text.split(',').map((part) => one(part.trim()));
}

/** `x=1,3,224,224`: a name and its sizes. */
export function namedSizes(text: string): readonly [name: string, sizes: readonly number[]] {
  const match = /^([^=]+)=(\d+(?:,\d+)*)$/.exec(text);
  if (!match) throw new InvalidArgumentError('a name and its sizes are needed, as x=1,3,224,224.');
  return [match[1]!, match[2]!.split(',').map(Number)];
}

/** `sr=16000`: a name and numbers. */
export function namedNumbers(text: string): readonly [name: string, numbers: readonly number[]] {
  const match = /^([^=]+)=(.+)$/.exec(text);
  const numbers = match?.[2]!.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (!match || !numbers || numbers.some(Number.isNaN)) throw new InvalidArgumentError('a name and numbers are needed, as sr=16000.');
  return [match[1]!, numbers];
}

/** As the runtime names them, which is not loaded to print help. */
const devices = ['cpu', 'webgpu', 'cuda', 'directml', 'coreml', 'auto'] as const satisfies readonly Device[];

export const common = {
  output: { flags: '-o, --output <path>', help: 'where the result goes', required: true, parse: filled, group: 'Output' },
  force: { flags: '--force', help: 'replace an existing output' },
  resume: { flags: '--resume', help: 'go on from the work folder of a run that was cut off' },
  report: { flags: '--report <file.html>', help: 'write a page with plots' },
  data: { flags: '--data <path>', help: 'what to measure on: text, or anything else that quantize is calibrated with; labels beside it give the accuracy' },
  samples: { flags: '--samples <n>', help: 'how many samples of the data to use', parse: integer(1) },
  seed: { flags: '--seed <n>', help: 'seed of every random choice', parse: integer(0, 2 ** 32 - 1) },
  device: { flags: '--device <name>', help: 'where the model runs (cpu when absent; auto takes a graphics processor where there is one)', choices: devices },
  prefixCache: { flags: '--prefix-cache <MiB>', help: 'memory for what was read, so that a text that begins alike goes on from there (256); 0 keeps none', parse: integer(0, 2 ** 20) },
  kvCache: { flags: '--kv-cache <type>', help: 'int8: keys and values in bytes, a quarter of the memory; long texts go on sooner, prompts are read more slowly', choices: ['int8'] },
  threads: { flags: '--threads <n>', help: 'worker threads (all cores when absent)', parse: integer(1, 1024) },
} as const satisfies Record<string, OptionSpec>;

/** Options under a heading of --help. */
export function underHeading(group: string, specs: readonly OptionSpec[]): OptionSpec[] {
  return specs.map((spec) => ({ ...spec, group }));
}

/** Options that every verb has. */
export const everywhere: readonly OptionSpec[] = [
  { flags: '--json', help: 'print exactly one JSON object on stdout' },
  { flags: '--quiet', help: 'no progress and no notes' },
];

type Options = Readonly<Record<string, unknown>>;

/** The value of an option that takes text, if it was given. */
export function textOf(options: Options, name: string): string | undefined {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
}

/** The value of an option that takes a number, if it was given. */
export function numberOf(options: Options, name: string): number | undefined {
  const value = options[name];
  return typeof value === 'number' ? value : undefined;
}

/** The device, if one was named; the parser has checked it. */
export function deviceOf(options: Options): Device | undefined {
  return devices.find((name) => name === options['device']);
}

/** Bytes of `--prefix-cache`, as options of the runtime and the server. */
export function prefixCacheOf(options: Options): { readonly prefixCacheBytes?: number } {
  const mebibytes = numberOf(options, 'prefixCache');
  return mebibytes === undefined ? {} : { prefixCacheBytes: mebibytes * 2 ** 20 };
}

/** `--kv-cache`, as an option of the runtime and the server; the parser has checked it. */
export function kvCacheOf(options: Options): { readonly kvCache?: 'int8' } {
  return options['kvCache'] === 'int8' ? { kvCache: 'int8' } : {};
}

/** Throws `E_OPTION` for the first of these options that is given: it would be ignored `where` (as 'with --batch'). */
export function refuseOptions(options: Options, names: readonly string[], where: string): void {
  const given = names.find((name) => options[name] !== undefined);
  if (given !== undefined) throw new PenjingError('E_OPTION', `--${given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} means nothing ${where}`);
}

/** The values of an option that may be repeated. */
export function listOf(options: Options, name: string): readonly string[] {
  const value = options[name];
  return Array.isArray(value) ? value.map(String) : [];
}
