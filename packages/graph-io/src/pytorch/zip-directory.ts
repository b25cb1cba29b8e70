/** The end of a zip archive: where its directory is, and the directory itself, checked field by field. */
import { type ByteSource, PenjingError } from '@penjing/core';
import { zipLimits } from '../limits.js';

export interface DirectoryRecord {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  /** Where the entry's own header starts. */
  readonly headerOffset: number;
  readonly method: number;
  readonly size: number;
  readonly storedSize: number;
}

export interface ZipDirectory {
  readonly records: readonly DirectoryRecord[];
  /** The entries end here. */
  readonly directoryOffset: number;
}

const END = { signature: 0x06054b50, bytes: 22, maxComment: 0xffff } as const;
const END64 = { signature: 0x06064b50, bytes: 56 } as const;
const LOCATOR = { signature: 0x07064b50, bytes: 20 } as const;
const RECORD = { signature: 0x02014b50, bytes: 46 } as const;
const ZIP64_EXTRA = 1;
const ENCRYPTED_FLAGS = 0x2041;

interface DirectoryPlace {
  readonly count: number;
  readonly size: number;
  readonly offset: number;
}

export async function readDirectory(source: ByteSource): Promise<ZipDirectory> {
  const place = await findDirectory(source);
  const { count, size, offset } = place;
  if (count > zipLimits.entries || size > zipLimits.directoryBytes) {
    throw new PenjingError('E_LIMIT', `${source.uri} declares ${count} entries in ${size} bytes of directory, at most ${zipLimits.entries} in ${zipLimits.directoryBytes} are read`);
  }
  if (count * RECORD.bytes > size) throw invalidZip(source.uri, `its directory of ${size} bytes has no room for ${count} entries`);
  const bytes = await source.read(offset, size);
  const records: DirectoryRecord[] = [];
  let at = 0;
  while (records.length < count) {
    const { record, next } = readRecord(source.uri, bytes, at);
    records.push(record);
    at = next;
  }
  if (at !== size) throw invalidZip(source.uri, `its directory has ${size - at} bytes more than its ${count} entries take`);
  return { records, directoryOffset: offset };
}

/** The last end record whose comment reaches exactly to the end of the file. */
async function findDirectory(source: ByteSource): Promise<DirectoryPlace> {
  const { uri, size } = source;
  if (size < END.bytes) throw truncated(source);
  const tailOffset = Math.max(0, size - END.bytes - END.maxComment - LOCATOR.bytes);
  const tail = await source.read(tailOffset, size - tailOffset);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  let at = tail.byteLength - END.bytes;
  while (at >= 0 && !(view.getUint32(at, true) === END.signature && at + END.bytes + view.getUint16(at + 20, true) === tail.byteLength)) at--;
  if (at < 0) throw truncated(source);
  if (view.getUint16(at + 4, true) !== view.getUint16(at + 6, true)) throw invalidZip(uri, 'it is one part of a split archive');
  const [onDisk, count] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
  if (onDisk !== count) throw invalidZip(uri, 'it is one part of a split archive');
  const short: DirectoryPlace = { count, size: view.getUint32(at + 12, true), offset: view.getUint32(at + 16, true) };
  const hasLocator = at >= LOCATOR.bytes && view.getUint32(at - LOCATOR.bytes, true) === LOCATOR.signature;
  const end = tailOffset + at;
  if (!hasLocator) return checkPlace(uri, short, end);
  const recordOffset = safe(uri, view.getBigUint64(at - LOCATOR.bytes + 8, true));
  const long = await readEnd64(source, recordOffset, end - LOCATOR.bytes);
  // A field that is not full must say the same as its longer twin.
  const agrees = (field: keyof DirectoryPlace, full: number): boolean => short[field] === full || short[field] === long[field];
  if (!agrees('count', 0xffff) || !agrees('size', 0xffffffff) || !agrees('offset', 0xffffffff)) throw invalidZip(uri, 'its two end records disagree');
  return checkPlace(uri, long, recordOffset);
}

async function readEnd64(source: ByteSource, offset: number, locatorOffset: number): Promise<DirectoryPlace> {
  const { uri } = source;
  if (offset + END64.bytes > locatorOffset) throw invalidZip(uri, 'its zip64 end record is not in front of its locator');
  const bytes = await source.read(offset, END64.bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole = view.getUint32(0, true) === END64.signature && view.getBigUint64(4, true) + 12n === BigInt(locatorOffset - offset);
  if (!whole) throw invalidZip(uri, 'it has no zip64 end record where its locator says');
  if (view.getBigUint64(24, true) !== view.getBigUint64(32, true)) throw invalidZip(uri, 'it is one part of a split archive');
  return {
    count: safe(uri, view.getBigUint64(32, true)),
    size: safe(uri, view.getBigUint64(40, true)),
    offset: safe(uri, view.getBigUint64(48, true)),
  };
}

/** The directory ends where the end records start: otherwise something hides between them, or before the archive. */
function checkPlace(uri: string, place: DirectoryPlace, end: number): DirectoryPlace {
  if (place.offset + place.size !== end) {
    throw invalidZip(uri, `its directory of ${place.size} bytes at ${place.offset} does not end where its end record starts, at ${end}`);
  }
  return place;
}

function readRecord(uri: string, bytes: Uint8Array, at: number): { record: DirectoryRecord; next: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (at + RECORD.bytes > bytes.byteLength || view.getUint32(at, true) !== RECORD.signature) throw invalidZip(uri, `its directory is damaged at byte ${at}`);
  const nameLength = view.getUint16(at + 28, true);
  const extraLength = view.getUint16(at + 30, true);
  const next = at + RECORD.bytes + nameLength + extraLength + view.getUint16(at + 32, true);
  if (next > bytes.byteLength) throw invalidZip(uri, `its directory is damaged at byte ${at}`);
  const nameBytes = bytes.subarray(at + RECORD.bytes, at + RECORD.bytes + nameLength);
  const name = decodeName(uri, nameBytes);
  if ((view.getUint16(at + 8, true) & ENCRYPTED_FLAGS) !== 0) throw invalidZip(uri, `${JSON.stringify(name)} is encrypted`);
  const fields = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
  const extra = bytes.subarray(at + RECORD.bytes + nameLength, at + RECORD.bytes + nameLength + extraLength);
  const [size, storedSize, headerOffset] = widen(uri, name, fields, extra) as [number, number, number];
  return { record: { name, nameBytes, headerOffset, method: view.getUint16(at + 10, true), size, storedSize }, next };
}

/** Fields that are full (0xffffffff) stand in the zip64 extra field instead, in this order. */
function widen(uri: string, name: string, fields: readonly number[], extra: Uint8Array): number[] {
  if (!fields.includes(0xffffffff)) return [...fields];
  const view = new DataView(extra.buffer, extra.byteOffset, extra.byteLength);
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const length = view.getUint16(at + 2, true);
    const end = at + 4 + length;
    if (end > extra.byteLength) break;
    if (view.getUint16(at, true) === ZIP64_EXTRA && length >= 8 * fields.filter((field) => field === 0xffffffff).length) {
      let from = at + 4;
      return fields.map((field) => {
        if (field !== 0xffffffff) return field;
        from += 8;
        return safe(uri, view.getBigUint64(from - 8, true));
      });
    }
    at = end;
  }
  throw invalidZip(uri, `${JSON.stringify(name)} has no zip64 sizes, yet its other fields say so`);
}

function decodeName(uri: string, bytes: Uint8Array): string {
  try {
    const name = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (name !== '' && !name.includes('\0')) return name;
  } catch {
    // Refused below.
  }
  throw invalidZip(uri, 'the name of one of its entries is no text');
}

function safe(uri: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalidZip(uri, `it declares ${value} bytes or entries`);
  return Number(value);
}

export function invalidZip(uri: string, why: string, cause?: unknown): PenjingError {
  return new PenjingError('E_ZIP', `${uri} is no valid zip archive: ${why}`, { cause, hint: 'Download or save the file again.' });
}

function truncated(source: ByteSource): PenjingError {
  return new PenjingError('E_TRUNCATED', `${source.uri} is no whole zip archive: it has no end record in its ${source.size} bytes`, {
    hint: 'Download or save the file again.',
  });
}
