/** Steps of optimizers over float32 arrays, in place: every operation rounds once, as in the plain twins. */

// @ts-ignore: decorator
@inline
function mix(keep: v128, a: v128, share: v128, b: v128): v128 {
  return f32x4.add(f32x4.mul(keep, a), f32x4.mul(share, b));
}

/** m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← keep w − size m / (√v correction + ε). */
export function adamW(
  w: usize, g: usize, m: usize, v: usize, count: i32, keep: f32, size: f32, beta1: f32, rest1: f32, beta2: f32, rest2: f32, correction: f32, epsilon: f32,
): void {
  const keeps = f32x4.splat(keep);
  const sizes = f32x4.splat(size);
  const old1 = f32x4.splat(beta1);
  const new1 = f32x4.splat(rest1);
  const old2 = f32x4.splat(beta2);
  const new2 = f32x4.splat(rest2);
  const corrections = f32x4.splat(correction);
  const epsilons = f32x4.splat(epsilon);
  for (const end = w + (<usize>(count & ~3) << 2); w < end; w += 16, g += 16, m += 16, v += 16) {
    const gradient = v128.load(g);
    const mean = mix(old1, v128.load(m), new1, gradient);
    const square = mix(old2, v128.load(v), new2, f32x4.mul(gradient, gradient));
    v128.store(m, mean);
    v128.store(v, square);
    const root = f32x4.add(f32x4.mul(f32x4.sqrt(square), corrections), epsilons);
    v128.store(w, f32x4.sub(f32x4.mul(keeps, v128.load(w)), f32x4.div(f32x4.mul(sizes, mean), root)));
  }
  for (let i = count & 3; i > 0; i--, w += 4, g += 4, m += 4, v += 4) {
    const gradient = load<f32>(g);
    const mean: f32 = beta1 * load<f32>(m) + rest1 * gradient;
    const square: f32 = beta2 * load<f32>(v) + rest2 * (gradient * gradient);
    store<f32>(m, mean);
    store<f32>(v, square);
    store<f32>(w, keep * load<f32>(w) - (size * mean) / (sqrt<f32>(square) * correction + epsilon));
  }
}

/** w ← w − rate (sign(β₁ m + (1 − β₁) g) + decay w), m ← β₂ m + (1 − β₂) g. */
export function lion(w: usize, g: usize, m: usize, count: i32, rate: f32, decay: f32, beta1: f32, rest1: f32, beta2: f32, rest2: f32): void {
  const rates = f32x4.splat(rate);
  const decays = f32x4.splat(decay);
  const old1 = f32x4.splat(beta1);
  const new1 = f32x4.splat(rest1);
  const old2 = f32x4.splat(beta2);
  const new2 = f32x4.splat(rest2);
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  for (const end = w + (<usize>(count & ~3) << 2); w < end; w += 16, g += 16, m += 16) {
    const gradient = v128.load(g);
    const mean = v128.load(m);
    const weight = v128.load(w);
    const towards = mix(old1, mean, new1, gradient);
    const direction = f32x4.sub(v128.and(f32x4.gt(towards, zero), one), v128.and(f32x4.lt(towards, zero), one));
    v128.store(m, mix(old2, mean, new2, gradient));
    v128.store(w, f32x4.sub(weight, f32x4.mul(rates, f32x4.add(direction, f32x4.mul(decays, weight)))));
  }
  for (let i = count & 3; i > 0; i--, w += 4, g += 4, m += 4) {
    const gradient = load<f32>(g);
    const mean = load<f32>(m);
    const weight = load<f32>(w);
    const towards: f32 = beta1 * mean + rest1 * gradient;
    const direction: f32 = towards > 0 ? 1 : towards < 0 ? -1 : 0;
    store<f32>(m, beta2 * mean + rest2 * gradient);
    store<f32>(w, weight - rate * (direction + decay * weight));
  }
}

/** c = g + decay w; v ← momentum v + c; w ← w − rate (ahead ? c + momentum v : v). */
export function momentum(w: usize, g: usize, v: usize, count: i32, rate: f32, decay: f32, kept: f32, ahead: i32): void {
  const rates = f32x4.splat(rate);
  const decays = f32x4.splat(decay);
  const keeps = f32x4.splat(kept);
  for (const end = w + (<usize>(count & ~3) << 2); w < end; w += 16, g += 16, v += 16) {
    const weight = v128.load(w);
    const change = f32x4.add(v128.load(g), f32x4.mul(decays, weight));
    const velocity = f32x4.add(f32x4.mul(keeps, v128.load(v)), change);
    v128.store(v, velocity);
    const step = ahead ? f32x4.add(change, f32x4.mul(keeps, velocity)) : velocity;
    v128.store(w, f32x4.sub(weight, f32x4.mul(rates, step)));
  }
  for (let i = count & 3; i > 0; i--, w += 4, g += 4, v += 4) {
    const weight = load<f32>(w);
    const change: f32 = load<f32>(g) + decay * weight;
    const velocity: f32 = kept * load<f32>(v) + change;
    store<f32>(v, velocity);
    store<f32>(w, weight - rate * (ahead ? change + kept * velocity : velocity));
  }
}

/** a ← keep a + share b. */
export function blend(a: usize, b: usize, count: i32, keep: f32, share: f32): void {
  const keeps = f32x4.splat(keep);
  const shares = f32x4.splat(share);
  for (const end = a + (<usize>(count & ~3) << 2); a < end; a += 16, b += 16) v128.store(a, mix(keeps, v128.load(a), shares, v128.load(b)));
  for (let i = count & 3; i > 0; i--, a += 4, b += 4) store<f32>(a, keep * load<f32>(a) + share * load<f32>(b));
}

/** g ← 0 where w is 0 or −0. */
export function holdZeros(g: usize, w: usize, count: i32): void {
  const zero = f32x4.splat(0);
  for (const end = g + (<usize>(count & ~3) << 2); g < end; g += 16, w += 16) v128.store(g, v128.and(v128.load(g), f32x4.ne(v128.load(w), zero)));
  for (let i = count & 3; i > 0; i--, g += 4, w += 4) if (load<f32>(w) == 0) store<f32>(g, 0);
}

// @ts-ignore: decorator
@inline
function mixed(x: u32): u32 {
  x = (x ^ (x >> 16)) * 0x7feb352d;
  x = (x ^ (x >> 15)) * 0x846ca68b;
  return x ^ (x >> 16);
}

// @ts-ignore: decorator
@inline
function mixedLanes(x: v128): v128 {
  x = i32x4.mul(v128.xor(x, i32x4.shr_u(x, 16)), i32x4.splat(0x7feb352d));
  x = i32x4.mul(v128.xor(x, i32x4.shr_u(x, 15)), i32x4.splat(<i32>0x846ca68b));
  return v128.xor(x, i32x4.shr_u(x, 16));
}

/** m ← 0 where the number of an element, mixed with the key, is below the threshold; `scale` elsewhere. */
export function dropMask(m: usize, count: i32, first: u32, key: u32, threshold: u32, scale: f32): void {
  const scales = f32x4.splat(scale);
  const keys = i32x4.splat(key);
  const thresholds = i32x4.splat(threshold);
  const four = i32x4.splat(4);
  let numbers = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  let number = first;
  for (const end = m + (<usize>(count & ~3) << 2); m < end; m += 16, number += 4) {
    const hashes = mixedLanes(i32x4.add(mixedLanes(numbers), keys));
    v128.store(m, v128.and(scales, i32x4.ge_u(hashes, thresholds)));
    numbers = i32x4.add(numbers, four);
  }
  for (let i = count & 3; i > 0; i--, m += 4, number++) store<f32>(m, mixed(mixed(number) + key) < threshold ? 0 : scale);
}

/** Adds Σ x² to the float64 at `out`. */
export function sumSquares(x: usize, count: i32, out: usize): void {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  for (const end = x + (<usize>(count & ~3) << 2); x < end; x += 16) {
    const values = v128.load(x);
    const first = f64x2.promote_low_f32x4(values);
    const second = f64x2.promote_low_f32x4(i64x2.shuffle(values, values, 1, 1));
    low = f64x2.add(low, f64x2.mul(first, first));
    high = f64x2.add(high, f64x2.mul(second, second));
  }
  let sum = f64x2.extract_lane(low, 0) + f64x2.extract_lane(low, 1) + f64x2.extract_lane(high, 0) + f64x2.extract_lane(high, 1);
  for (let i = count & 3; i > 0; i--, x += 4) sum += <f64>load<f32>(x) * <f64>load<f32>(x);
  store<f64>(out, load<f64>(out) + sum);
}
