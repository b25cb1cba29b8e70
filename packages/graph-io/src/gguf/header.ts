/** The header of a GGUF file, versions 2 and 3 in either byte order: checked against every rule, or refused with the reason. */
import { type ByteSource, PenjingError, type Shape } from '@penjing/core';
import { GGUF_FIRST_READ_BYTES, ggufLimits } from '../limits.js';
import { Cursor, NeedsMore } from './cursor.js';
import { type GgufValue, quote, readMetadata } from './metadata.js';
import { type GgmlType, ggmlTypes, removedTypes } from './types.js';

export interface GgufTensorInfo {
  readonly name: string;
  readonly type: GgmlType;
  /** Slowest axis first, as everywhere here; the file has them the other way round. */
  readonly shape: Shape;
  /** First byte in the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly littleEndian: boolean;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of the file. */
  readonly infos: readonly GgufTensorInfo[];
}

const DEFAULT_ALIGNMENT = 32;

const QUANTIZATION_VERSION = 2;

/** name length, rank, type, offset. */
const LEAST_INFO_BYTES = 8 + 4 + 4 + 8;
/** key length, value type, one byte of value. */
const LEAST_PAIR_BYTES = 8 + 4 + 1;

/** Throws `E_GGUF` for a malformed header, `E_TRUNCATED` for a short file, `E_DTYPE` for unknown tensor types, `E_LIMIT` for absurd sizes. */
export async function readGgufHeader(source: ByteSource): Promise<GgufHeader> {
  for (let length = Math.min(source.size, GGUF_FIRST_READ_BYTES); ; ) {
    try {
      return parse(new Cursor(source, await source.read(0, length)));
    } catch (error) {
      if (!(error instanceof NeedsMore)) throw error;
      if (error.end > ggufLimits.headerBytes) {
        throw new PenjingError('E_LIMIT', `${source.uri} has a header of more than ${ggufLimits.headerBytes} bytes`, {
          hint: 'The file is damaged; download it again.',
        });
      }
      // Doubled, so that starting again costs as much as having read it at once.
      length = Math.min(source.size, ggufLimits.headerBytes, Math.max(error.end, length * 2));
    }
  }
}

function parse(cursor: Cursor): GgufHeader {
  const { uri } = cursor;
  const magic = String.fromCharCode(...cursor.bytes(4));
  if (magic !== 'GGUF') throw new PenjingError('E_GGUF', `${uri} is no GGUF file: it starts with ${quote(magic)}`);
  const version = readVersion(cursor);
  const tensorCount = cursor.count(LEAST_INFO_BYTES, 'tensors');
  if (tensorCount > ggufLimits.tensors) throw new PenjingError('E_LIMIT', `${uri} declares ${tensorCount} tensors, at most ${ggufLimits.tensors} are read`);
  const metadata = readMetadata(cursor, cursor.count(LEAST_PAIR_BYTES, 'key-value pairs'));
  const alignment = readAlignment(metadata, uri);
  const raw = Array.from({ length: tensorCount }, (_, i) => readInfo(cursor, i));
  if (tensorCount > 0 && !cursor.littleEndian) {
    throw new PenjingError('E_GGUF', `${uri} holds big-endian tensors, which are not read`, {
      hint: 'Turn the file with gguf-convert-endian of llama.cpp, or download the little-endian one.',
    });
  }
  const start = Math.ceil(cursor.at / alignment) * alignment;
  const infos = raw.map((info) => place(info, start, alignment, cursor));
  checkOverlaps(infos, uri);
  checkQuantization(metadata, infos, uri);
  return { version, littleEndian: cursor.littleEndian, metadata, infos };
}

/** No flag tells the byte order: a version read the wrong way round has nothing in its low half. */
function readVersion(cursor: Cursor): number {
  const at = cursor.at;
  let version = cursor.u32();
  if (version !== 0 && (version & 0xffff) === 0) {
    cursor.at = at;
    cursor.littleEndian = false;
    version = cursor.u32();
  }
  if (version === 2 || version === 3) return version;
  throw new PenjingError('E_GGUF', `${cursor.uri} is GGUF version ${version}; 2 and 3 are read`, {
    hint: version === 1 ? 'Convert the model again with a newer llama.cpp.' : 'The file is damaged, or newer than this program.',
    details: { version },
  });
}

function readAlignment(metadata: ReadonlyMap<string, GgufValue>, uri: string): number {
  const value = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= ggufLimits.alignment && (value & (value - 1)) === 0) return value;
  throw new PenjingError('E_GGUF', `${uri}: general.alignment ${show(value)} is no power of two up to ${ggufLimits.alignment}`);
}

interface RawInfo extends Omit<GgufTensorInfo, 'offset'> {
  /** Relative to the data. */
  readonly offset: bigint;
}

function readInfo(cursor: Cursor, index: number): RawInfo {
  const { uri } = cursor;
  const name = cursor.string(`the name of tensor ${index}`, true, ggufLimits.nameBytes);
  if (name === '') throw new PenjingError('E_GGUF', `${uri}: tensor ${index} has no name`);
  const at = quote(name);
  const rank = cursor.u32();
  if (rank > ggufLimits.rank) throw new PenjingError('E_LIMIT', `${uri}: ${at} has ${rank} dimensions, at most ${ggufLimits.rank} are possible`);
  const dims = Array.from({ length: rank }, () => cursor.u64());
  const code = cursor.u32();
  const offset = cursor.u64();
  const type = ggmlTypes.get(code);
  if (!type) {
    const removed = removedTypes.get(code);
    throw new PenjingError('E_DTYPE', `${uri}: ${at} has the type ${code}${removed === undefined ? ', which is not known' : `, ${removed}, which no longer stands in files`}`, {
      ...(removed !== undefined && { hint: 'Quantize the model again with a newer llama.cpp.' }),
      details: { name, type: code },
    });
  }
  const shape = dims.reverse().map(Number);
  const row = dims.at(-1) ?? 1n;
  if (row % BigInt(type.blockSize) !== 0n) {
    throw new PenjingError('E_GGUF', `${uri}: rows of ${at} hold ${row} weights, ${type.name} packs ${type.blockSize} at a time`);
  }
  const bytes = (dims.reduce((product, dim) => product * dim, 1n) / BigInt(type.blockSize)) * BigInt(type.blockBytes);
  if (bytes > BigInt(cursor.fileSize) || !shape.every(Number.isSafeInteger)) {
    throw new PenjingError('E_TRUNCATED', `${uri}: ${at} [${dims.join(', ')}] takes ${bytes} bytes, the file has ${cursor.fileSize}`, {
      hint: 'The file is damaged or cut off; download it again.',
      details: { name },
    });
  }
  return { name, type, shape, offset, byteLength: Number(bytes) };
}

function place(info: RawInfo, start: number, alignment: number, { uri, fileSize }: Cursor): GgufTensorInfo {
  const at = quote(info.name);
  if (info.offset % BigInt(alignment) !== 0n) {
    throw new PenjingError('E_GGUF', `${uri}: ${at} lies at ${info.offset}, which is no multiple of the alignment ${alignment}`);
  }
  const end = BigInt(start) + info.offset + BigInt(info.byteLength);
  if (info.byteLength > 0 && end > BigInt(fileSize)) {
    throw new PenjingError('E_TRUNCATED', `${uri} is cut off: ${at} ends at byte ${end}, the file at ${fileSize}`, {
      hint: 'Download the file again.',
      details: { name: info.name, size: fileSize },
    });
  }
  return { ...info, offset: info.byteLength === 0 ? start : Number(BigInt(start) + info.offset) };
}

/** Blocks of other versions have other layouts under the same names. */
function checkQuantization(metadata: ReadonlyMap<string, GgufValue>, infos: readonly GgufTensorInfo[], uri: string): void {
  const version = metadata.get('general.quantization_version') ?? QUANTIZATION_VERSION;
  if (version === QUANTIZATION_VERSION || infos.every(({ type }) => type.codec === undefined)) return;
  throw new PenjingError('E_GGUF', `${uri}: general.quantization_version ${show(version)} is not read, only ${QUANTIZATION_VERSION}`, {
    hint: 'Quantize the model again with a newer llama.cpp.',
  });
}

/** Also names that stand twice. */
function checkOverlaps(infos: readonly GgufTensorInfo[], uri: string): void {
  const names = new Set<string>();
  for (const { name } of infos) {
    if (names.has(name)) throw new PenjingError('E_GGUF', `${uri}: two tensors are called ${quote(name)}`);
    names.add(name);
  }
  const sorted = infos.filter(({ byteLength }) => byteLength > 0).sort((a, b) => a.offset - b.offset);
  sorted.forEach((info, i) => {
    const before = sorted[i - 1];
    if (!before || before.offset + before.byteLength <= info.offset) return;
    throw new PenjingError('E_GGUF', `${uri}: ${quote(before.name)} and ${quote(info.name)} overlap at byte ${info.offset}`);
  });
}

function show(value: GgufValue): string {
  return typeof value === 'object' ? 'array' : quote(String(value));
}
