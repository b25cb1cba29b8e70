/** Parameters of messages and of our requests: a oneof on one side, a value on the other. */
import { checkParameters, type V2Parameter, type V2Parameters } from '../infer.js';
import { notServed, refused } from '../refused.js';
import type { ParameterEntry, ParameterMessage, RepositoryParameterEntry } from './schema.js';

/** Throws `E_REQUEST` for entries without a value, `E_UNSUPPORTED` for shared memory. */
export function parametersFrom(entries: readonly ParameterEntry[] | undefined, where: string): V2Parameters | undefined {
  if (!entries?.length) return undefined;
  return checkParameters(Object.fromEntries(entries.map(({ key = '', value }) => [key, valueOf(value ?? {}, key, where)])), where);
}

/** Those of loads and unloads; files are not taken. */
export function repositoryParametersFrom(entries: readonly RepositoryParameterEntry[] | undefined, where: string): V2Parameters | undefined {
  if (entries?.some(({ value }) => value?.bytes !== undefined)) throw notServed(`${where} brings a file`, 'Files are put into the repository folder, not sent with requests.');
  return parametersFrom(entries, where);
}

export function parameterEntries(parameters: V2Parameters | undefined): { parameters?: ParameterEntry[] } {
  return parameters ? { parameters: Object.entries(parameters).map(([key, value]) => ({ key, value: messageOf(value) })) } : {};
}

function valueOf(message: ParameterMessage, key: string, where: string): V2Parameter {
  const { bool, int64, string, double, uint64 } = message;
  const whole = int64 ?? (uint64 === undefined ? undefined : BigInt.asUintN(64, uint64));
  if (whole !== undefined) return whole >= BigInt(Number.MIN_SAFE_INTEGER) && whole <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(whole) : whole;
  const value = bool ?? string ?? double;
  if (value === undefined) throw refused(`parameter ${JSON.stringify(key)} of ${where} has no value`);
  return value;
}

function messageOf(value: V2Parameter): ParameterMessage {
  if (typeof value === 'boolean') return { bool: value };
  if (typeof value === 'string') return { string: value };
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return { double: value };
  const whole = BigInt(value);
  return whole < 2n ** 63n ? { int64: whole } : { uint64: whole };
}
