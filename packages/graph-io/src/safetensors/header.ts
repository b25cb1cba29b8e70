/** The header of a safetensors file: read, checked against every rule of the format, or refused with the reason. */
import { byteSize, type ByteSource, type DType, dtypeOfSafetensors, elementCount, PenjingError, type Shape } from '@penjing/core';
import { safetensorsLimits } from '../limits.js';
import { isObject, parseUniqueJson } from './unique-json.js';

export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  /** First byte in the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  /** In order of offset. */
  readonly entries: readonly TensorEntry[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** Bytes of the length in front of the header. */
const LENGTH_BYTES = 8;

/** Throws `E_SAFETENSORS` for a malformed header, `E_TRUNCATED` for a short file, `E_LIMIT` for an absurd header. */
export async function readHeader(source: ByteSource): Promise<SafetensorsHeader> {
  if (source.size < LENGTH_BYTES) throw truncated(source, `it has ${source.size} bytes, the length of its header alone takes 8`);
  const prefix = await source.read(0, LENGTH_BYTES);
  const length = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  // The length is compared before anything of that size is asked for.
  if (length > BigInt(safetensorsLimits.headerBytes)) {
    throw new PenjingError('E_LIMIT', `${source.uri} declares a header of ${length} bytes, more than ${safetensorsLimits.headerBytes}`, {
      hint: 'This is no safetensors file, or it is damaged; download it again.',
    });
  }
  const headerBytes = Number(length);
  if (headerBytes > source.size - LENGTH_BYTES) throw truncated(source, `its header of ${headerBytes} bytes does not fit into ${source.size} bytes`);
  const header = parseHeader(decode(await source.read(LENGTH_BYTES, headerBytes), source.uri), source.uri);
  return checkHeader(header, LENGTH_BYTES + headerBytes, source);
}

function decode(bytes: Uint8Array, uri: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw invalid(uri, 'its header is not UTF-8', cause);
  }
}

function parseHeader(text: string, uri: string): Readonly<Record<string, unknown>> {
  if (!text.startsWith('{')) throw invalid(uri, 'its header does not start with {');
  let value: unknown;
  try {
    value = parseUniqueJson(text);
  } catch (cause) {
    throw invalid(uri, `its header is not JSON with unique keys (${(cause as Error).message})`, cause);
  }
  if (!isObject(value)) throw invalid(uri, 'its header is no object');
  return value;
}

function checkHeader(header: Readonly<Record<string, unknown>>, start: number, source: ByteSource): SafetensorsHeader {
  const { uri } = source;
  let metadata: ReadonlyMap<string, string> = new Map();
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') metadata = readMetadata(value, uri);
    else entries.push(readEntry(name, value, start, uri));
  }
  // Tensors of no bytes share an offset; the sort is stable, so they keep the order of the header.
  entries.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = start;
  for (const entry of entries) {
    if (entry.offset !== end) {
      throw invalid(uri, `${quote(entry.name)} starts at byte ${entry.offset - start} of the data, the tensor before it ends at ${end - start}`);
    }
    end += entry.byteLength;
  }
  if (end > source.size) throw truncated(source, `its tensors end at byte ${end}, the file at ${source.size}`);
  if (end < source.size) throw invalid(uri, `${source.size - end} bytes at its end belong to no tensor`);
  return { entries, metadata };
}

function readEntry(name: string, value: unknown, start: number, uri: string): TensorEntry {
  const at = quote(name);
  if (!isObject(value)) throw invalid(uri, `${at} is no object`);
  const { dtype: code, shape, data_offsets: offsets } = value;
  if (typeof code !== 'string') throw invalid(uri, `${at} has no dtype`);
  const dtype = dtypeOfSafetensors.get(code);
  if (dtype === undefined) {
    throw new PenjingError('E_DTYPE', `${at} in ${uri} has the element type ${quote(code)}, which is not known`, { details: { name, dtype: code } });
  }
  if (!isSizes(shape)) throw invalid(uri, `the shape of ${at} is no list of sizes`);
  if (shape.length > safetensorsLimits.rank) {
    throw new PenjingError('E_LIMIT', `${at} in ${uri} has ${shape.length} dimensions, at most ${safetensorsLimits.rank} are read`);
  }
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw invalid(uri, `data_offsets of ${at} are no pair of ascending sizes`);
  }
  const [begin, end] = offsets as [number, number];
  const byteLength = exactSize(dtype, shape, at, uri);
  if (end - begin !== byteLength) {
    throw invalid(uri, `${at} is ${code} [${shape.join(', ')}] and takes ${byteLength} bytes, its data_offsets span ${end - begin}`);
  }
  return { name, dtype, shape, offset: start + begin, byteLength };
}

/** The format allows no bits between tensors: sub-byte tensors must fill their last byte. */
function exactSize(dtype: DType, shape: Shape, at: string, uri: string): number {
  try {
    const count = elementCount(shape);
    if (dtype === 'float4e2m1' && count % 2 !== 0) throw invalid(uri, `${at} has an odd number of 4-bit elements`);
    return byteSize(dtype, count);
  } catch (cause) {
    if ((cause as PenjingError).code === 'E_SAFETENSORS') throw cause;
    throw invalid(uri, `${at} has a shape beyond any size`, cause);
  }
}

function readMetadata(value: unknown, uri: string): ReadonlyMap<string, string> {
  if (!isObject(value)) throw invalid(uri, '__metadata__ is no object');
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw invalid(uri, `__metadata__ ${quote(key)} is no string`);
    metadata.set(key, text);
  }
  return metadata;
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && (size as number) >= 0);
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

function invalid(uri: string, why: string, cause?: unknown): PenjingError {
  return new PenjingError('E_SAFETENSORS', `${uri} is no valid safetensors file: ${why}`, {
    cause,
    hint: 'Download or export the file again.',
  });
}

function truncated(source: ByteSource, why: string): PenjingError {
  return new PenjingError('E_TRUNCATED', `${source.uri} is cut off: ${why}`, { hint: 'Download the file again.', details: { size: source.size } });
}
