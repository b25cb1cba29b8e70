/** The plan of a zip archive whose entries are stored as they are, aligned, with checksums that are filled in last. */
import { PenjingError, type Tensor } from '@penjing/core';
import { crc32 } from '../crc32.js';
import type { FileLayout, LayoutPiece } from '../layout.js';

export interface ZipContent {
  readonly name: string;
  readonly content: Uint8Array | Tensor;
  /** Name of the tensor in what measures a save. */
  readonly tensorName?: string;
}

const FULL = 0xffffffff;
/** Names and extra fields are in UTF-8. */
const UTF8_FLAG = 0x800;
/** 1 January 1980, the first day there is: the same tensors give the same bytes. */
const DATE = 0x21;
/** Padding in front of the data, in an extra field of this name, as torch writes it. */
const PADDING_ID = 0x4246;
const ZIP64_ID = 1;

/** Data starts at multiples of `alignment`. Sizes beyond 4 GiB take zip64 fields. */
export function zipLayout(file: string, contents: readonly ZipContent[], alignment: number): FileLayout {
  const pieces: LayoutPiece[] = [];
  const directory: { offset: number; bytes: Uint8Array; checksum: { start: number; end: number } | undefined }[] = [];
  let at = 0;
  for (const { name, content, tensorName } of contents) {
    const nameBytes = new TextEncoder().encode(name);
    const known = content instanceof Uint8Array;
    const size = content.byteLength;
    const crc = known ? crc32(content) : 0;
    const large = size >= FULL;
    const sizes = large ? fields([2, ZIP64_ID], [2, 16], [8, size], [8, size]) : new Uint8Array();
    const fixed = at + 30 + nameBytes.length + sizes.length;
    const gap = (alignment - ((fixed + 4) % alignment)) % alignment;
    const header = concat([
      fields([4, 0x04034b50], [2, large ? 45 : 20], [2, UTF8_FLAG], [2, 0], [2, 0], [2, DATE], [4, crc], [4, large ? FULL : size], [4, large ? FULL : size], [2, nameBytes.length], [2, sizes.length + 4 + gap]),
      nameBytes, sizes, fields([2, PADDING_ID], [2, gap]), new Uint8Array(gap),
    ]);
    const start = at + header.length;
    const checksum = known || size === 0 ? undefined : { start, end: start + size };
    pieces.push({ kind: 'bytes', offset: at, bytes: header });
    if (checksum) pieces.push({ kind: 'crc32', offset: at + 14, ...checksum });
    if (known) pieces.push({ kind: 'bytes', offset: start, bytes: content });
    else if (size > 0) pieces.push({ kind: 'tensor', offset: start, name: tensorName ?? name, tensor: content });
    directory.push({ offset: 0, bytes: record(nameBytes, crc, size, at), checksum });
    at = start + size;
  }
  const directoryOffset = at;
  for (const { bytes, checksum } of directory) {
    pieces.push({ kind: 'bytes', offset: at, bytes });
    if (checksum) pieces.push({ kind: 'crc32', offset: at + 16, ...checksum });
    at += bytes.length;
  }
  const end = endRecords(contents.length, at - directoryOffset, directoryOffset);
  pieces.push({ kind: 'bytes', offset: at, bytes: end });
  const size = at + end.length;
  if (!Number.isSafeInteger(size)) throw new PenjingError('E_SHAPE', `${file} would take more than 2^53 bytes`);
  return { name: file, size, pieces };
}

/** What the directory says of an entry. */
function record(name: Uint8Array, crc: number, size: number, offset: number): Uint8Array {
  const long: [number, number][] = [...(size >= FULL ? ([[8, size], [8, size]] as [number, number][]) : []), ...(offset >= FULL ? ([[8, offset]] as [number, number][]) : [])];
  const extra = long.length > 0 ? fields([2, ZIP64_ID], [2, 8 * long.length], ...long) : new Uint8Array();
  const short = (value: number): number => Math.min(value, FULL);
  return concat([
    fields(
      [4, 0x02014b50], [2, 45], [2, extra.length > 0 ? 45 : 20], [2, UTF8_FLAG], [2, 0], [2, 0], [2, DATE], [4, crc], [4, short(size)], [4, short(size)],
      [2, name.length], [2, extra.length], [2, 0], [2, 0], [2, 0], [4, 0], [4, short(offset)],
    ),
    name, extra,
  ]);
}

/** Both forms, as torch writes them. */
function endRecords(count: number, size: number, offset: number): Uint8Array {
  return concat([
    fields([4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count], [8, size], [8, offset]),
    fields([4, 0x07064b50], [4, 0], [8, offset + size], [4, 1]),
    fields([4, 0x06054b50], [2, 0], [2, 0], [2, Math.min(count, 0xffff)], [2, Math.min(count, 0xffff)], [4, Math.min(size, FULL)], [4, Math.min(offset, FULL)], [2, 0]),
  ]);
}

/** Little-endian numbers of 2, 4 or 8 bytes. */
function fields(...list: readonly (readonly [width: number, value: number])[]): Uint8Array {
  const out = new Uint8Array(list.reduce((sum, [width]) => sum + width, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const [width, value] of list) {
    if (width === 2) view.setUint16(at, value, true);
    else if (width === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += width;
  }
  return out;
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.byteLength;
  }
  return out;
}
