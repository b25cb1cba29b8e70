/** PNG and JPEG to upright pixels, by pngjs and jpeg-js: JavaScript alone, and both bounded before they decode. */
import { inflateSync } from 'node:zlib';
import { PenjingError } from '@penjing/core';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { dataLimits } from '../limits.js';
import type { Picture } from './data-source.js';
import { exifOrientation, turnUpright } from './orientation.js';

const PNG_MAGIC = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

export function isPicture(head: Uint8Array): boolean {
  return isPng(head) || isJpeg(head);
}

function isPng(head: Uint8Array): boolean {
  return PNG_MAGIC.every((byte, i) => head[i] === byte);
}

function isJpeg(head: Uint8Array): boolean {
  return head[0] === 0xff && head[1] === 0xd8 && head[2] === 0xff;
}

/** The same of what is PNG or JPEG; undefined for anything else. */
export function decodePicture(name: string, bytes: Uint8Array): Picture | undefined {
  return isPicture(bytes) ? readPicture(name, bytes) : undefined;
}

/** RGB, or grey when the file is, turned as its EXIF says. Transparency is dropped. Throws `E_DATA` for a broken file, `E_LIMIT` for a huge one. */
export function readPicture(path: string, bytes: Uint8Array): Picture {
  try {
    if (isPng(bytes)) return readPng(path, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    if (isJpeg(bytes)) return readJpeg(bytes);
  } catch (cause) {
    if (cause instanceof PenjingError) throw cause;
    throw new PenjingError('E_DATA', `${path} is no sound picture: ${(cause as Error).message}`, { cause });
  }
  throw new PenjingError('E_DATA', `${path} is neither PNG nor JPEG`);
}

function readPng(path: string, bytes: Buffer): Picture {
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  if (width * height > dataLimits.pixels) throw new PenjingError('E_LIMIT', `${path} has ${width} × ${height} pixels`);
  // Channels of 16 bits, a filter byte per row, and seven passes when interlaced; pngjs bounds only what is not interlaced.
  const most = width * height * 8 + 8 * (height + 8);
  if (bytes[28] === 1) inflateSync(Buffer.concat([...chunks(bytes, 'IDAT')]), { maxOutputLength: most });
  const { data } = PNG.sync.read(bytes);
  const [exif] = chunks(bytes, 'eXIf');
  // pngjs gives RGBA whatever the file holds; colour types 0 and 4 are grey.
  return turnUpright(packed({ width, height, channels: bytes[25] === 0 || bytes[25] === 4 ? 1 : 3 }, data), exif ? exifOrientation(exif) : 1);
}

function* chunks(bytes: Buffer, type: string): Generator<Buffer> {
  for (let at = 8; at + 8 <= bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    if (bytes.toString('latin1', at + 4, at + 8) === type) yield bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at));
  }
}

/** Its types do not tell of EXIF. */
interface Decoded extends Omit<Picture, 'channels'> {
  readonly exifBuffer?: Uint8Array;
}

function readJpeg(bytes: Uint8Array): Picture {
  const { width, height, data, exifBuffer }: Decoded = jpeg.decode(bytes, { useTArray: true, formatAsRGBA: true, tolerantDecoding: false, maxResolutionInMP: dataLimits.pixels / 1e6, maxMemoryUsageInMB: dataLimits.jpegMiB });
  // of the two zeros that end the name Exif, jpeg-js leaves one
  return turnUpright(packed({ width, height, channels: 3 }, data), exifBuffer ? exifOrientation(exifBuffer.subarray(1)) : 1);
}

/** From RGBA. */
function packed(size: Omit<Picture, 'data'>, rgba: Uint8Array): Picture {
  const { width, height, channels } = size;
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < channels; c++) data[i * channels + c] = rgba[i * 4 + c]!;
  return { ...size, data };
}
