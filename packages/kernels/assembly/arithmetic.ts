/** Sums and products of float32 arrays, one rounding each. */

export function addFloats(a: usize, b: usize, dst: usize, count: i32): void {
  for (const end = a + (<usize>(count & ~3) << 2); a < end; a += 16, b += 16, dst += 16) v128.store(dst, f32x4.add(v128.load(a), v128.load(b)));
  for (let i = count & 3; i > 0; i--, a += 4, b += 4, dst += 4) store<f32>(dst, load<f32>(a) + load<f32>(b));
}

export function multiplyFloats(a: usize, b: usize, dst: usize, count: i32): void {
  for (const end = a + (<usize>(count & ~3) << 2); a < end; a += 16, b += 16, dst += 16) v128.store(dst, f32x4.mul(v128.load(a), v128.load(b)));
  for (let i = count & 3; i > 0; i--, a += 4, b += 4, dst += 4) store<f32>(dst, load<f32>(a) * load<f32>(b));
}

/** One number for all. */
export function addScalar(a: usize, value: f32, dst: usize, count: i32): void {
  const values = f32x4.splat(value);
  for (const end = a + (<usize>(count & ~3) << 2); a < end; a += 16, dst += 16) v128.store(dst, f32x4.add(v128.load(a), values));
  for (let i = count & 3; i > 0; i--, a += 4, dst += 4) store<f32>(dst, load<f32>(a) + value);
}

export function multiplyScalar(a: usize, value: f32, dst: usize, count: i32): void {
  const values = f32x4.splat(value);
  for (const end = a + (<usize>(count & ~3) << 2); a < end; a += 16, dst += 16) v128.store(dst, f32x4.mul(v128.load(a), values));
  for (let i = count & 3; i > 0; i--, a += 4, dst += 4) store<f32>(dst, load<f32>(a) * value);
}
