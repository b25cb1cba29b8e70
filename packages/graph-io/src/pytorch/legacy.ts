/** The stream that torch wrote before 1.6: five pickles, then the storages one after the other. */
import { type ByteSource, dtypes, PenjingError } from '@penjing/core';
import { pickleLimits } from '../limits.js';
import { torchRules } from './allowlist.js';
import type { FindStorage } from './materialize.js';
import { invalidPickle, PickleEndsEarly, type PickleRules } from './pickle-machine.js';
import type { StorageRange } from './strided.js';
import { unpickle } from './unpickle.js';
import { describe, isDict, isKind, itemsOf, type PyStorage, type PyValue } from './values.js';

const MAGIC_NUMBER = 0x1950a86a20f9469cfc6cn;
const PROTOCOL_VERSION = 1001;
/** First guess at the size of a pickle; most fit. */
const FIRST_WINDOW = 1 << 20;
/** Each storage starts with its number of elements. */
const COUNT_BYTES = 8;

export interface LegacyFile {
  readonly root: PyValue;
  readonly find: FindStorage;
}

export async function readLegacy(source: ByteSource): Promise<LegacyFile> {
  const storages = new Map<string, PyStorage>();
  const plain = torchRules(source.uri);
  const rules: PickleRules = {
    ...plain,
    persistent(id) {
      const value = plain.persistent(id);
      if (isKind(value, 'storage')) storages.set(value.key, value);
      return value;
    },
  };
  let at = 0;
  const next = async (): Promise<PyValue> => {
    const { value, end } = await readPickleAt(source, at, rules);
    at = end;
    return value;
  };
  const magic = await firstPickle(source, next);
  if (magic !== MAGIC_NUMBER) {
    throw new PenjingError('E_FORMAT', `${source.uri} is a pickle of ${describe(magic)} that torch.save did not write`, { hint: 'Give a file that torch.save wrote.' });
  }
  const version = await next();
  if (version !== PROTOCOL_VERSION) throw new PenjingError('E_FORMAT', `${source.uri} is of torch's protocol ${describe(version)}, only ${PROTOCOL_VERSION} is read`);
  const system = await next();
  if (isDict(system) && system.get('little_endian') === false) throw new PenjingError('E_FORMAT', `${source.uri} was written on a big-endian machine`, { hint: 'Save it on a little-endian machine.' });
  const root = await next();
  const keys = itemsOf(await next());
  if (!keys) throw invalidPickle(source.uri, 'it has no list of storages');
  const ranges = await placeStorages(source, keys, storages, at);
  return {
    root,
    find: findIn(ranges, source.uri),
  };
}

/** Finds the storage of a tensor, or names what the file does not hold. */
export function findIn(ranges: ReadonlyMap<string, StorageRange>, uri: string): FindStorage {
  return (storage, name) => {
    const range = ranges.get(storage.key);
    if (!range) throw new PenjingError('E_PICKLE', `${name} is in the storage ${JSON.stringify(storage.key)}, which ${uri} does not hold`);
    return range;
  };
}

/** A file that is no pickle is no PyTorch file; one that wants something run is refused as what it is. */
async function firstPickle(source: ByteSource, next: () => Promise<PyValue>): Promise<PyValue> {
  try {
    return await next();
  } catch (cause) {
    const { code } = cause as { code?: string };
    const [protocol = 0] = source.size > 0 ? await source.read(0, 1) : [];
    if (code === 'E_UNSAFE' || (protocol === 0x80 && source.size > 3)) throw cause;
    throw new PenjingError('E_FORMAT', `${source.uri} is neither a zip archive nor a pickle that torch wrote`, { cause, hint: 'Give a file that torch.save wrote.' });
  }
}

/** The size of a pickle stands nowhere: the window grows until it ends inside. */
export async function readPickleAt(source: ByteSource, at: number, rules: PickleRules, first = FIRST_WINDOW): Promise<{ value: PyValue; end: number }> {
  for (let window = first; ; window *= 4) {
    const length = Math.min(window, source.size - at, pickleLimits.bytes);
    try {
      const { value, end } = unpickle(await source.read(at, length), rules, source.uri);
      return { value, end: at + end };
    } catch (error) {
      if (!(error instanceof PickleEndsEarly)) throw error;
      if (length === source.size - at) throw new PenjingError('E_TRUNCATED', `${source.uri} ends inside of a pickle`, { hint: 'Download the file again.', cause: error });
      if (length === pickleLimits.bytes) throw new PenjingError('E_LIMIT', `the pickle in ${source.uri} takes more than ${pickleLimits.bytes} bytes`);
    }
  }
}

async function placeStorages(source: ByteSource, keys: readonly PyValue[], storages: ReadonlyMap<string, PyStorage>, start: number): Promise<ReadonlyMap<string, StorageRange>> {
  const ranges = new Map<string, StorageRange>();
  let at = start;
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (!storage || ranges.has(storage.key)) throw invalidPickle(source.uri, `it lists the storage ${describe(key)}, which ${storage ? 'stands in it twice' : 'no tensor uses'}`);
    if (at + COUNT_BYTES > source.size) throw cutOff(source, storage.key);
    const bytes = await source.read(at, COUNT_BYTES);
    const count = new DataView(bytes.buffer, bytes.byteOffset, COUNT_BYTES).getBigInt64(0, true);
    const byteLength = Number(count) * (storage.type ? dtypes[storage.type.dtype].bits / 8 : 1);
    const offset = at + COUNT_BYTES;
    if (count < 0n || offset + byteLength > source.size) throw cutOff(source, storage.key);
    ranges.set(storage.key, { source, offset, byteLength });
    at = offset + byteLength;
  }
  return ranges;
}

function cutOff(source: ByteSource, key: string): PenjingError {
  return new PenjingError('E_TRUNCATED', `the storage ${JSON.stringify(key)} goes beyond the end of ${source.uri}`, { hint: 'Download the file again.' });
}
