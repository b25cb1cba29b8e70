/** One message between processes that train together: what it is, whose round it belongs to, and a checksum over all of it. */
import { PenjingError } from '@penjing/core';
import { crc32 } from '../frame.js';

const kinds = ['hello', 'welcome', 'say', 'told', 'chunk', 'failure'] as const;

/** `hello` and `welcome` open a stream; `say` opens a round, `told` is what all said; a `chunk` is a part of the vectors; `failure` ends everything. */
export type FrameKind = (typeof kinds)[number];

export interface Frame {
  readonly kind: FrameKind;
  /** Counted from 1. */
  readonly round: number;
  /** Of the chunk. */
  readonly index: number;
  readonly bytes: Uint8Array;
}

/** kind, round, index, checksum: 32 bits each, little-endian. */
const HEAD = 16;

export function encodeFrame({ kind, round, index, bytes }: Frame): Buffer {
  const message = Buffer.allocUnsafe(HEAD + bytes.byteLength);
  [kinds.indexOf(kind), round, index].forEach((value, i) => message.writeUInt32LE(value, 4 * i));
  message.set(bytes, HEAD);
  message.writeUInt32LE(checksum(message), 12);
  return message;
}

/** Throws `E_CHECKSUM` and `E_REQUEST`. */
export function decodeFrame(message: Buffer): Frame {
  if (message.byteLength < HEAD) throw broken('it is too short');
  if (message.readUInt32LE(12) !== checksum(message)) throw new PenjingError('E_CHECKSUM', 'what came from another rank was damaged on its way', { hint: 'Look at the network; with TLS damage is found before it comes here.' });
  const kind = kinds[message.readUInt32LE(0)];
  if (kind === undefined) throw broken('its kind is not known');
  return { kind, round: message.readUInt32LE(4), index: message.readUInt32LE(8), bytes: message.subarray(HEAD) };
}

export function broken(why: string): PenjingError {
  return new PenjingError('E_REQUEST', `a message breaks the protocol: ${why}`, { hint: 'All ranks must run the same version of Penjing.' });
}

const checksum = (message: Buffer): number => crc32(message.subarray(HEAD), crc32(message.subarray(0, 12)));

export function jsonFrame(kind: FrameKind, round: number, value: unknown): Frame {
  return { kind, round, index: 0, bytes: Buffer.from(JSON.stringify(value)) };
}

/** Throws `E_REQUEST`. */
export function jsonOf({ bytes }: Frame): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch {
    throw broken('it is no JSON');
  }
}
