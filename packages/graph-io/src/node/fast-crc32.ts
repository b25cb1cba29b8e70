/** CRC-32 of Node, which has one since 20.15 and 22.2; releases between those compute it in JavaScript. */
import * as zlib from 'node:zlib';
import { crc32 } from '../crc32.js';

export const fastCrc32: (bytes: Uint8Array, before?: number) => number = (zlib as Partial<typeof zlib>).crc32 ?? crc32;
