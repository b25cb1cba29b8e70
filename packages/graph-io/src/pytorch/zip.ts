/** Reads the directory of a zip archive; stored entries are ranges of the file, so weights never pass through memory. */
import { type ByteSource, PenjingError } from '@penjing/core';
import { zipLimits } from '../limits.js';
import { invalidZip, readDirectory, type DirectoryRecord } from './zip-directory.js';

export interface ZipEntry {
  readonly name: string;
  /** First byte of the data in the archive. */
  readonly offset: number;
  /** Bytes of the data after inflating. */
  readonly size: number;
  /** Bytes of the data in the archive. */
  readonly storedSize: number;
  /** True when the data in the archive is the data itself, so that any range of it can be read. */
  readonly stored: boolean;
}

export interface ZipArchive {
  readonly source: ByteSource;
  /** In order of the directory; folders are left out. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** A whole entry, inflated. Throws `E_ZIP` when there is none of that name, `E_LIMIT` above `maxBytes`. */
  read(name: string, maxBytes?: number): Promise<Uint8Array>;
}

const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const DESCRIPTOR_FLAG = 8;
const STORED = 0;
const DEFLATED = 8;
/** Local headers read at a time: hides the latency of a disk. */
const READERS = 8;

/**
 * Accepts what the format's specification (APPNOTE 6.3) and no second reading of the file allow: no bytes before the
 * archive, no entries that overlap, stand twice, or say another name or size in their own header than in the directory.
 * Checksums are not compared: torch itself writes wrong ones under `set_crc32_options(False)`.
 * Throws `E_ZIP`, `E_TRUNCATED` or `E_LIMIT`.
 */
export async function openZip(source: ByteSource): Promise<ZipArchive> {
  const { records, directoryOffset } = await readDirectory(source);
  const entries = new Map<string, ZipEntry>();
  const located = new Array<ZipEntry>(records.length);
  const queue = records.entries();
  const reader = async (): Promise<void> => {
    for (const [i, record] of queue) located[i] = await locate(source, record, directoryOffset);
  };
  await Promise.all(Array.from({ length: READERS }, reader));
  checkPlaces(source, records, located, directoryOffset);
  for (const entry of located) {
    if (entries.has(entry.name)) throw invalidZip(source.uri, `${quote(entry.name)} stands in it twice`);
    if (!entry.name.endsWith('/')) entries.set(entry.name, entry);
  }
  return {
    source,
    entries,
    read: (name, maxBytes = zipLimits.entryBytes) => readEntry(source, entries.get(name), name, maxBytes),
  };
}

/** The data stands behind the entry's own header, whose length only that header tells. */
async function locate(source: ByteSource, record: DirectoryRecord, limit: number): Promise<ZipEntry> {
  const { name, headerOffset, method, size, storedSize } = record;
  const at = quote(name);
  if (method !== STORED && method !== DEFLATED) throw invalidZip(source.uri, `${at} is compressed by method ${method}, only 0 (none) and 8 (deflate) are read`);
  if (method === STORED && size !== storedSize) throw invalidZip(source.uri, `${at} is stored as it is, yet has two sizes: ${storedSize} and ${size}`);
  const nameBytes = record.nameBytes.byteLength;
  if (headerOffset + LOCAL_BYTES + nameBytes > limit) throw invalidZip(source.uri, `the header of ${at} lies outside the archive`);
  const bytes = await source.read(headerOffset, LOCAL_BYTES + nameBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== LOCAL_SIGNATURE) throw invalidZip(source.uri, `there is no header where ${at} should start`);
  const sameName = view.getUint16(26, true) === nameBytes && record.nameBytes.every((byte, i) => byte === bytes[LOCAL_BYTES + i]);
  if (!sameName) throw invalidZip(source.uri, `${at} has another name in its own header`);
  if (view.getUint16(8, true) !== method) throw invalidZip(source.uri, `${at} is compressed in another way in its own header`);
  // Sizes may follow the data, or stand in the extra field when they take 8 bytes.
  const [ownStored, ownSize] = [view.getUint32(18, true), view.getUint32(22, true)];
  const later = (view.getUint16(6, true) & DESCRIPTOR_FLAG) !== 0;
  const agrees = (own: number, listed: number): boolean => own === 0xffffffff || own === listed || (later && own === 0);
  if (!agrees(ownStored, storedSize) || !agrees(ownSize, size)) throw invalidZip(source.uri, `${at} has another size in its own header`);
  const offset = headerOffset + LOCAL_BYTES + nameBytes + view.getUint16(28, true);
  if (offset + storedSize > limit) throw invalidZip(source.uri, `${at} with ${storedSize} bytes at ${offset} does not fit in front of the directory at ${limit}`);
  return { name, offset, size, storedSize, stored: method === STORED };
}

function checkPlaces(source: ByteSource, records: readonly DirectoryRecord[], located: readonly ZipEntry[], directoryOffset: number): void {
  const order = records.map((record, i) => ({ start: record.headerOffset, entry: located[i]! })).sort((a, b) => a.start - b.start);
  const first = order[0]?.start ?? directoryOffset;
  if (first !== 0) throw invalidZip(source.uri, `${first} bytes stand in front of the archive`);
  let end = 0;
  let previous = '';
  for (const { start, entry } of order) {
    if (start < end) throw invalidZip(source.uri, `${quote(entry.name)} and ${quote(previous)} overlap`);
    end = entry.offset + entry.storedSize;
    previous = entry.name;
  }
}

async function readEntry(source: ByteSource, entry: ZipEntry | undefined, name: string, maxBytes: number): Promise<Uint8Array> {
  if (!entry) throw invalidZip(source.uri, `it holds no ${quote(name)}`);
  if (entry.size > maxBytes || entry.storedSize > maxBytes) {
    throw new PenjingError('E_LIMIT', `${quote(name)} in ${source.uri} takes ${entry.size} bytes, at most ${maxBytes} are read whole`, { details: { name, size: entry.size } });
  }
  const bytes = await source.read(entry.offset, entry.storedSize);
  return entry.stored ? bytes : inflate(bytes, entry, source.uri);
}

/** Stops at the first byte beyond the declared size, so a bomb costs no more than it declares. */
async function inflate(bytes: Uint8Array, entry: ZipEntry, uri: string): Promise<Uint8Array> {
  const out = new Uint8Array(entry.size);
  let length = 0;
  try {
    const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
    for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
      if (length + chunk.byteLength > out.byteLength) throw new Error('it goes on');
      out.set(chunk, length);
      length += chunk.byteLength;
    }
  } catch (cause) {
    throw invalidZip(uri, `${quote(entry.name)} does not inflate to its ${entry.size} bytes`, cause);
  }
  if (length !== entry.size) throw invalidZip(uri, `${quote(entry.name)} inflates to ${length} bytes, not ${entry.size}`);
  return out;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
