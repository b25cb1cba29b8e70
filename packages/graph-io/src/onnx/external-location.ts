/** Checks what a TensorProto says about its external data; a pure check of text, files are opened by `./node`. */
import { PenjingError } from '@penjing/core';
import type { OnnxLimits } from '../limits.js';
import type { EntryProto } from './schema.js';
import { encodeName } from './text.js';

/** Reasons for which a location is refused. A location is relative to the folder of the model and stays inside it. */
const refusals: readonly (readonly [RegExp, string])[] = [
  [/^$/, 'is empty'],
  [/\0/, 'holds a NUL'],
  [/\\/, 'holds a backslash'],
  [/^\//, 'is an absolute path'],
  [/^[A-Za-z]:/, 'starts with a drive letter'],
  [/^[A-Za-z][A-Za-z0-9+.-]*:\//, 'is a URL'],
  [/(^|\/)\.\.(\/|$)/, 'leaves the folder of the model'],
  [/\/$|(^|\/)\.$/, 'is a folder'],
  // ONNX Runtime takes this as "the offset is an address in memory".
  [/^\*\/_ORT_MEM_ADDR_\/\*$/, 'is the address marker of ONNX Runtime'],
];

/** The location with `.` and empty segments removed. Throws `E_EXTERNAL_DATA` or `E_LIMIT`. */
export function checkExternalLocation(location: string, limits: Pick<OnnxLimits, 'locationBytes'>, owner = 'a model'): string {
  const shown = `${JSON.stringify(location.slice(0, 200))} of ${owner}`;
  if (encodeName(location).length > limits.locationBytes) {
    throw new PenjingError('E_LIMIT', `external data location ${shown} is longer than ${limits.locationBytes} bytes`);
  }
  for (const [pattern, what] of refusals) {
    if (pattern.test(location)) {
      throw new PenjingError('E_EXTERNAL_DATA', `external data location ${shown} ${what}`, {
        hint: 'Weights are only read from files in the folder of the model; save the model again with relative names.',
        details: { location },
      });
    }
  }
  return location.split('/').filter((part) => part !== '' && part !== '.').join('/');
}

export interface ExternalRange {
  readonly location: string;
  readonly offset: number;
}

/** The range of an external tensor of `size` bytes. Throws `E_EXTERNAL_DATA` or `E_LIMIT`, naming the tensor. */
export function externalRange(entries: readonly EntryProto[], size: number, name: string, limits: OnnxLimits): ExternalRange {
  const get = (key: string): string | undefined => entries.findLast((entry) => entry.key === key)?.value;
  const location = get('location');
  if (location === undefined) throw new PenjingError('E_EXTERNAL_DATA', `${name} names no external data location`);
  const length = readNumber(get('length'), 'length', name);
  // ONNX Runtime takes a missing length, or 0, as "as long as the tensor".
  if (length !== 0 && length !== size) {
    throw new PenjingError('E_EXTERNAL_DATA', `${name} takes ${size} bytes, its external data has ${length}`);
  }
  return { location: checkExternalLocation(location, limits, name), offset: readNumber(get('offset'), 'offset', name) };
}

function readNumber(text: string | undefined, key: string, name: string): number {
  if (text === undefined) return 0;
  const number = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(number)) {
    throw new PenjingError('E_EXTERNAL_DATA', `${name}: external data ${key} ${JSON.stringify(text.slice(0, 40))} is no size`);
  }
  return number;
}
