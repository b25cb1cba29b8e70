/** Transposes of a matrix of plain elements, by tiles that fit the first-level cache. */
import { checkTranspose } from '../shared/check.js';

const TILE = 32;

export function transpose2d(src: Uint8Array, dst: Uint8Array, rows: number, cols: number, elementBytes: number, stride = rows, at = 0): void {
  checkTranspose(src, dst, rows, cols, elementBytes, stride, at);
  const from = elementView(src, elementBytes);
  const to = elementView(dst, elementBytes);
  if (from !== undefined && to !== undefined) return transposeTiles(from, to, rows, cols, 1, stride, at);
  transposeTiles(src, dst, rows, cols, elementBytes, stride, at);
}

type Elements = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/** `lanes` array elements make one matrix element. */
function transposeTiles(from: Elements, to: Elements, rows: number, cols: number, lanes: number, stride: number, at: number): void {
  for (let r0 = 0; r0 < rows; r0 += TILE) {
    for (let c0 = 0; c0 < cols; c0 += TILE) {
      const r1 = Math.min(r0 + TILE, rows);
      const c1 = Math.min(c0 + TILE, cols);
      for (let r = r0; r < r1; r++) {
        for (let c = c0; c < c1; c++) {
          const a = (r * cols + c) * lanes;
          const b = (c * stride + at + r) * lanes;
          for (let k = 0; k < lanes; k++) to[b + k] = from[a + k]!;
        }
      }
    }
  }
}

/** The bytes as elements of the given width, where their alignment allows. */
function elementView(bytes: Uint8Array, elementBytes: number): Elements | undefined {
  if (bytes.byteOffset % elementBytes !== 0) return undefined;
  const { buffer, byteOffset } = bytes;
  const length = bytes.length / elementBytes;
  if (elementBytes === 1) return bytes;
  if (elementBytes === 2) return new Uint16Array(buffer, byteOffset, length);
  if (elementBytes === 4) return new Uint32Array(buffer, byteOffset, length);
  return new BigUint64Array(buffer, byteOffset, length);
}
