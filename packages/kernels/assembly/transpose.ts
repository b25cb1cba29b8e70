/** Transposes of elements of 1, 2, 4 or 8 bytes: cache tiles of register squares. */

/** Side of a tile in bytes: a cache line of source, a cache line of destination. */
// @ts-ignore: decorator
@inline const LINE: i32 = 64;

/**
 * (rows, cols) at `src`, whose rows are `srcStride` elements apart, to (cols, rows) at `dst`, `dstStride` apart.
 * `width` is the element size in bytes.
 */
export function transpose2d(width: i32, src: usize, dst: usize, rows: i32, cols: i32, srcStride: i32, dstStride: i32): void {
  if (width == 1) tiles<u8>(src, dst, rows, cols, srcStride, dstStride);
  else if (width == 2) tiles<u16>(src, dst, rows, cols, <usize>srcStride << 1, <usize>dstStride << 1);
  else if (width == 4) tiles<u32>(src, dst, rows, cols, <usize>srcStride << 2, <usize>dstStride << 2);
  else tiles<u64>(src, dst, rows, cols, <usize>srcStride << 3, <usize>dstStride << 3);
}

/** Strides in bytes. */
function tiles<E>(src: usize, dst: usize, rows: i32, cols: i32, srcStride: usize, dstStride: usize): void {
  const tile = LINE / <i32>sizeof<E>();
  for (let r = 0; r < rows; r += tile) {
    for (let c = 0; c < cols; c += tile) {
      const height = min(tile, rows - r);
      const width = min(tile, cols - c);
      const from = src + <usize>r * srcStride + <usize>c * sizeof<E>();
      const to = dst + <usize>c * dstStride + <usize>r * sizeof<E>();
      if (height == tile && width == tile) whole<E>(from, to, srcStride, dstStride);
      else part<E>(from, to, height, width, srcStride, dstStride);
    }
  }
}

function part<E>(src: usize, dst: usize, height: i32, width: i32, srcStride: usize, dstStride: usize): void {
  for (let c = 0; c < width; c++) {
    for (let r = 0; r < height; r++) {
      store<E>(dst + <usize>c * dstStride + <usize>r * sizeof<E>(), load<E>(src + <usize>r * srcStride + <usize>c * sizeof<E>()));
    }
  }
}

/** A full tile, by squares of 2, 4 or 8 elements (1-byte elements: 8 × 8). */
function whole<E>(src: usize, dst: usize, srcStride: usize, dstStride: usize): void {
  const side = sizeof<E>() == 8 ? 2 : sizeof<E>() == 4 ? 4 : 8;
  const tile = LINE / <i32>sizeof<E>();
  for (let c = 0; c < tile; c += side) {
    for (let r = 0; r < tile; r += side) {
      const from = src + <usize>r * srcStride + <usize>c * sizeof<E>();
      const to = dst + <usize>c * dstStride + <usize>r * sizeof<E>();
      if (sizeof<E>() == 8) square2(from, to, srcStride, dstStride);
      else if (sizeof<E>() == 4) square4(from, to, srcStride, dstStride);
      else if (sizeof<E>() == 2) square8(from, to, srcStride, dstStride);
      else squareBytes(from, to, srcStride, dstStride);
    }
  }
}

// @ts-ignore: decorator
@inline
function low64(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}
// @ts-ignore: decorator
@inline
function high64(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}
// @ts-ignore: decorator
@inline
function low32(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
}
// @ts-ignore: decorator
@inline
function high32(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
}
// @ts-ignore: decorator
@inline
function low16(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
}
// @ts-ignore: decorator
@inline
function high16(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
}
// @ts-ignore: decorator
@inline
function low8(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

// @ts-ignore: decorator
@inline
function square2(src: usize, dst: usize, srcStride: usize, dstStride: usize): void {
  const a = v128.load(src);
  const b = v128.load(src + srcStride);
  v128.store(dst, low64(a, b));
  v128.store(dst + dstStride, high64(a, b));
}

// @ts-ignore: decorator
@inline
function square4(src: usize, dst: usize, srcStride: usize, dstStride: usize): void {
  const a = v128.load(src);
  const b = v128.load(src + srcStride);
  const c = v128.load(src + 2 * srcStride);
  const d = v128.load(src + 3 * srcStride);
  const ac = low32(a, c);
  const bd = low32(b, d);
  const AC = high32(a, c);
  const BD = high32(b, d);
  v128.store(dst, low32(ac, bd));
  v128.store(dst + dstStride, high32(ac, bd));
  v128.store(dst + 2 * dstStride, low32(AC, BD));
  v128.store(dst + 3 * dstStride, high32(AC, BD));
}

// @ts-ignore: decorator
@inline
function square8(src: usize, dst: usize, srcStride: usize, dstStride: usize): void {
  const r0 = v128.load(src);
  const r1 = v128.load(src + srcStride);
  const r2 = v128.load(src + 2 * srcStride);
  const r3 = v128.load(src + 3 * srcStride);
  const r4 = v128.load(src + 4 * srcStride);
  const r5 = v128.load(src + 5 * srcStride);
  const r6 = v128.load(src + 6 * srcStride);
  const r7 = v128.load(src + 7 * srcStride);
  const a0 = low16(r0, r1);
  const a1 = low16(r2, r3);
  const a2 = low16(r4, r5);
  const a3 = low16(r6, r7);
  const a4 = high16(r0, r1);
  const a5 = high16(r2, r3);
  const a6 = high16(r4, r5);
  const a7 = high16(r6, r7);
  storeColumns(a0, a1, a2, a3, dst, dstStride);
  storeColumns(a4, a5, a6, a7, dst + 4 * dstStride, dstStride);
}

/** Four columns of eight from the row pairs (0, 1), (2, 3), (4, 5), (6, 7). */
// @ts-ignore: decorator
@inline
function storeColumns(a: v128, b: v128, c: v128, d: v128, dst: usize, dstStride: usize): void {
  const e = low32(a, b);
  const f = low32(c, d);
  const g = high32(a, b);
  const h = high32(c, d);
  v128.store(dst, low64(e, f));
  v128.store(dst + dstStride, high64(e, f));
  v128.store(dst + 2 * dstStride, low64(g, h));
  v128.store(dst + 3 * dstStride, high64(g, h));
}

/** 8 × 8 bytes. */
// @ts-ignore: decorator
@inline
function squareBytes(src: usize, dst: usize, srcStride: usize, dstStride: usize): void {
  const a = low8(v128.load64_zero(src), v128.load64_zero(src + srcStride));
  const b = low8(v128.load64_zero(src + 2 * srcStride), v128.load64_zero(src + 3 * srcStride));
  const c = low8(v128.load64_zero(src + 4 * srcStride), v128.load64_zero(src + 5 * srcStride));
  const d = low8(v128.load64_zero(src + 6 * srcStride), v128.load64_zero(src + 7 * srcStride));
  const e = low16(a, b);
  const f = low16(c, d);
  const g = high16(a, b);
  const h = high16(c, d);
  storeTwo(low32(e, f), dst, dstStride);
  storeTwo(high32(e, f), dst + 2 * dstStride, dstStride);
  storeTwo(low32(g, h), dst + 4 * dstStride, dstStride);
  storeTwo(high32(g, h), dst + 6 * dstStride, dstStride);
}

// @ts-ignore: decorator
@inline
function storeTwo(x: v128, dst: usize, dstStride: usize): void {
  v128.store64_lane(dst, x, 0);
  v128.store64_lane(dst + dstStride, x, 1);
}
