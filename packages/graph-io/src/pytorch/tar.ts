/**
 * The tar archive that torch wrote before 0.1.10 (until 2017): `storages` holds the numbers, `tensors` says how tensors lie
 * in them, `pickle` names the tensors by their keys.
 */
import { type ByteSource, dtypes, PenjingError } from '@penjing/core';
import { tarLimits } from '../limits.js';
import { torchRules } from './allowlist.js';
import { findIn, readPickleAt } from './legacy.js';
import type { FindStorage } from './materialize.js';
import { invalidPickle, type PickleRules } from './pickle-machine.js';
import type { StorageRange } from './strided.js';
import { storageTypes } from './torch-types.js';
import { describe, isKind, itemsOf, PyStorage, PyTensor, type PyValue } from './values.js';

export interface TarFile {
  readonly root: PyValue;
  readonly find: FindStorage;
}

const BLOCK = 512;
/** Pickles in front of each storage and tensor take some 100 bytes. */
const WINDOW = 4096;

interface Member {
  readonly offset: number;
  readonly size: number;
}

/** Throws `E_FORMAT` for another tar archive, `E_TRUNCATED`, and whatever is wrong with a pickle. */
export async function readTorchTar(source: ByteSource): Promise<TarFile> {
  const members = await membersOf(source);
  const member = (name: string): Member | undefined => members.get(name);
  const [pickle, storages] = [member('pickle'), member('storages')];
  if (!pickle || !storages) {
    throw new PenjingError('E_FORMAT', `${source.uri} is a tar archive without pickle and storages, so torch did not write it`, { hint: 'Unpack it, and give the file of torch.save in it.' });
  }
  const plain = torchRules(source.uri);
  const { ranges, known } = await storagesOf(part(source, storages), plain);
  const tensors = await tensorsOf(source, member('tensors'), plain, known);
  const rules: PickleRules = {
    ...plain,
    persistent(id) {
      const tensor = typeof id === 'string' || typeof id === 'number' ? tensors.get(String(id)) : undefined;
      if (tensor) return tensor;
      // A class with its source code, which is not looked at.
      const [first] = itemsOf(id) ?? [];
      return isKind(first, 'global') ? first : plain.persistent(id);
    },
    // Some writers of this format put the description of a storage where a reference to it belongs.
    call: (name, args) => plain.call(name, name.startsWith('torch._utils._rebuild_tensor') && isKind(args[0], 'tuple') ? [plain.persistent(args[0]), ...args.slice(1)] : args),
  };
  const { value: root } = await readPickleAt(part(source, pickle), 0, rules, WINDOW);
  return {
    root,
    find: findIn(ranges, source.uri),
  };
}

/** Names, places and sizes, out of the headers (POSIX ustar: name at 0, size in octal at 124). */
async function membersOf(source: ByteSource): Promise<Map<string, Member>> {
  const members = new Map<string, Member>();
  for (let at = 0, count = 0; at + BLOCK <= source.size; count++) {
    if (count > tarLimits.members) throw new PenjingError('E_LIMIT', `${source.uri} has more than ${tarLimits.members} members`);
    const header = new TextDecoder('latin1').decode(await source.read(at, BLOCK));
    if (header.startsWith('\0')) break;
    const digits = header.slice(124, 136).replaceAll(/[\0 ]/g, '');
    const size = /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN;
    const name = header.slice(0, 100).replace(/\0.*$/s, '').replace(/^\.\//, '');
    const offset = at + BLOCK;
    if (!Number.isSafeInteger(size) || offset + size > source.size) throw new PenjingError('E_TRUNCATED', `${JSON.stringify(name)} goes beyond the end of ${source.uri}`, { hint: 'Download the file again.' });
    members.set(name, { offset, size });
    at = offset + Math.ceil(size / BLOCK) * BLOCK;
  }
  return members;
}

/** A member as a file of its own, for reading pickles alone: weights are ranges of the whole. */
function part(source: ByteSource, { offset, size }: Member): PartOf {
  return {
    uri: source.uri, size, descriptor: { kind: 'memory', size }, whole: source, start: offset,
    read: (at, length) => source.read(offset + at, Math.max(0, Math.min(length, size - at))),
  };
}

interface PartOf extends ByteSource {
  readonly whole: ByteSource;
  readonly start: number;
}

/** A count, then for each storage its key, device and class in a pickle, its number of elements, and the elements; then views. */
async function storagesOf(file: PartOf, rules: PickleRules): Promise<{ ranges: Map<string, StorageRange>; known: Map<string, PyStorage> }> {
  const ranges = new Map<string, StorageRange>();
  const known = new Map<string, PyStorage>();
  let { value: count, end: at } = await readPickleAt(file, 0, rules, WINDOW);
  for (let i = 0; i < counted(count, file.uri); i++) {
    const { value, end } = await readPickleAt(file, at, rules, WINDOW);
    const [key = null, , type] = itemsOf(value) ?? [];
    const name = isKind(type, 'global') ? type.name.slice(type.name.lastIndexOf('.') + 1) : '';
    const storageType = Object.hasOwn(storageTypes, name) ? storageTypes[name]! : undefined;
    if (!storageType || !isKey(key)) throw invalidPickle(file.uri, `it holds a storage of ${describe(type)} under ${describe(key)}`);
    const elements = await integer(file, end);
    const byteLength = elements * (dtypes[storageType.dtype].bits / 8);
    const offset = end + 8;
    if (elements < 0 || offset + byteLength > file.size) throw new PenjingError('E_TRUNCATED', `the storage ${String(key)} goes beyond the end of ${file.uri}`, { hint: 'Download the file again.' });
    ranges.set(String(key), { source: file.whole, offset: file.start + offset, byteLength });
    known.set(String(key), new PyStorage(String(key), storageType, elements));
    at = offset + byteLength;
  }
  if (at < file.size) {
    ({ value: count } = await readPickleAt(file, at, rules, WINDOW));
    for (const view of itemsOf(count) ?? []) {
      const [target = null, root = null, offset, elements] = itemsOf(view) ?? [];
      const whole = isKey(root) ? known.get(String(root)) : undefined;
      const sound = whole && isKey(target) && isCount(offset) && isCount(elements) && offset + elements <= whole.count;
      if (!sound) throw invalidPickle(file.uri, `it cuts ${describe(elements)} elements at ${describe(offset)} out of the storage ${describe(root)}`);
      known.set(String(target), new PyStorage(whole.key, whole.type, elements, whole.offset + offset));
    }
  }
  return { ranges, known };
}

/** A count, then for each tensor its key, storage and class in a pickle, the number of axes, sizes, strides, and the first element. */
async function tensorsOf(source: ByteSource, member: Member | undefined, rules: PickleRules, storages: ReadonlyMap<string, PyStorage>): Promise<Map<string, PyTensor>> {
  const tensors = new Map<string, PyTensor>();
  if (!member) return tensors;
  const file = part(source, member);
  const { value: count, end: first } = await readPickleAt(file, 0, rules, WINDOW);
  let at = first;
  for (let i = 0; i < counted(count, file.uri); i++) {
    const { value, end } = await readPickleAt(file, at, rules, WINDOW);
    const [key = null, storageKey = null] = itemsOf(value) ?? [];
    const storage = isKey(storageKey) ? storages.get(String(storageKey)) : undefined;
    if (!storage?.type || !isKey(key)) throw invalidPickle(file.uri, `the tensor ${describe(key)} is in the storage ${describe(storageKey)}, which is not there`);
    const rank = (await integer(file, end)) % 2 ** 32;
    if (rank < 0 || rank > tarLimits.rank) throw new PenjingError('E_LIMIT', `the tensor ${String(key)} in ${file.uri} has ${rank} axes`);
    const numbers: number[] = [];
    for (let k = 0; k < 2 * rank + 1; k++) numbers.push(await integer(file, end + 8 + 8 * k));
    if (!numbers.every(isCount)) throw invalidPickle(file.uri, `the tensor ${String(key)} has sizes or strides that are none`);
    tensors.set(String(key), new PyTensor({ kind: 'strided', storage, offset: numbers[2 * rank]!, strides: numbers.slice(rank, 2 * rank) }, storage.type.dtype, numbers.slice(0, rank)));
    at = end + 8 + 8 * (2 * rank + 1);
  }
  return tensors;
}

const isKey = (value: PyValue): value is string | number | bigint => typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint';
const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function counted(value: PyValue, uri: string): number {
  if (isCount(value)) return value;
  throw invalidPickle(uri, `it counts ${describe(value)}`);
}

/** A little-endian int64. */
async function integer(file: ByteSource, at: number): Promise<number> {
  if (at + 8 > file.size) throw new PenjingError('E_TRUNCATED', `${file.uri} ends inside of a description`, { hint: 'Download the file again.' });
  const bytes = await file.read(at, 8);
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0, true));
}
