/**
 * Tables that narrow float32 to the 8- and 4-bit float types by one look-up. The index is the upper half of the bits with its lowest
 * bit set when the lower half is not 0: seven mantissa bits rounded to odd, more than the two spare bits that keep the second rounding exact.
 */
import { encodeSmall, type SmallFloat } from '../plain/small-float.js';

const tables = new Map<string, Uint8Array>();

export function encodeTable(dtype: SmallFloat, saturate: boolean): Uint8Array {
  const key = `${dtype} ${saturate}`;
  let table = tables.get(key);
  if (table === undefined) {
    table = Uint8Array.from({ length: 65_536 }, (_, upper) => encodeSmall(dtype, (upper << 16) >>> 0, saturate));
    tables.set(key, table);
  }
  return table;
}
