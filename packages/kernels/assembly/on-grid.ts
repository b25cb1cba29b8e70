/**
 * Weights on integer grids: projections, and gradients of step sizes. Two forms: neighbours that share a step, and lines of which each
 * column has its own. Every operation rounds once, as in the plain twins; sums are in double precision for neighbours.
 */

// @ts-ignore: decorator
@inline
function clipped(steps: f32, low: f32, high: f32): f32 {
  return steps < low ? low : steps > high ? high : steps;
}

// @ts-ignore: decorator
@inline
function clippedLanes(steps: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(f32x4.pmax(steps, low), high);
}

/** Steps per unit; none where a step is 0. */
// @ts-ignore: decorator
@inline
function inverseOf(scale: f32): f32 {
  return scale == 0 ? 0 : <f32>1 / scale;
}

/** `blocks` blocks of `size` neighbours: to ← scale · round(clip(from / scale)). `zeros` is 0 when there are none. */
export function projectBlocks(from: usize, to: usize, blocks: i32, size: i32, scales: usize, zeros: usize, lowest: f32, highest: f32): void {
  for (let b = 0; b < blocks; b++) {
    const scale = load<f32>(scales + (<usize>b << 2));
    const zero: f32 = zeros == 0 ? 0 : load<f32>(zeros + (<usize>b << 2));
    const inverse = inverseOf(scale);
    const low = lowest - zero;
    const high = highest - zero;
    const scaleLanes = f32x4.splat(scale);
    const inverseLanes = f32x4.splat(inverse);
    const lowLanes = f32x4.splat(low);
    const highLanes = f32x4.splat(high);
    for (const end = from + (<usize>(size & ~3) << 2); from < end; from += 16, to += 16) {
      const steps = clippedLanes(f32x4.mul(v128.load(from), inverseLanes), lowLanes, highLanes);
      v128.store(to, f32x4.mul(scaleLanes, f32x4.nearest(steps)));
    }
    for (let i = size & 3; i > 0; i--, from += 4, to += 4) store<f32>(to, scale * nearest<f32>(clipped(load<f32>(from) * inverse, low, high)));
  }
}

/** Adds Σ g (q − v) within and Σ g q beyond the ends of the grid to the float64 of each block at `sums`; g becomes 0 beyond. */
export function straightThroughBlocks(g: usize, latent: usize, blocks: i32, size: i32, scales: usize, zeros: usize, lowest: f32, highest: f32, sums: usize): void {
  for (let b = 0; b < blocks; b++, sums += 8) {
    const scale = load<f32>(scales + (<usize>b << 2));
    const zero: f32 = zeros == 0 ? 0 : load<f32>(zeros + (<usize>b << 2));
    const inverse = inverseOf(scale);
    const low = lowest - zero;
    const high = highest - zero;
    const scaleLanes = f32x4.splat(scale);
    const inverseLanes = f32x4.splat(inverse);
    const lowLanes = f32x4.splat(low);
    const highLanes = f32x4.splat(high);
    let first = f64x2.splat(0);
    let second = f64x2.splat(0);
    for (const end = g + (<usize>(size & ~3) << 2); g < end; g += 16, latent += 16) {
      const value = v128.load(latent);
      const gradient = v128.load(g);
      const steps = f32x4.mul(value, inverseLanes);
      const inside = v128.and(f32x4.ge(steps, lowLanes), f32x4.le(steps, highLanes));
      const rounded = f32x4.mul(scaleLanes, f32x4.nearest(clippedLanes(steps, lowLanes, highLanes)));
      const share = f32x4.mul(gradient, f32x4.sub(rounded, v128.and(value, inside)));
      first = f64x2.add(first, f64x2.promote_low_f32x4(share));
      second = f64x2.add(second, f64x2.promote_low_f32x4(i64x2.shuffle(share, share, 1, 1)));
      v128.store(g, v128.and(gradient, inside));
    }
    let sum = f64x2.extract_lane(first, 0) + f64x2.extract_lane(first, 1) + (f64x2.extract_lane(second, 0) + f64x2.extract_lane(second, 1));
    for (let i = size & 3; i > 0; i--, g += 4, latent += 4) {
      const value = load<f32>(latent);
      const steps = value * inverse;
      const inside = steps >= low && steps <= high;
      const rounded = scale * nearest<f32>(clipped(steps, low, high));
      sum += <f64>(load<f32>(g) * (rounded - (inside ? value : 0)));
      if (!inside) store<f32>(g, 0);
    }
    store<f64>(sums, load<f64>(sums) + sum);
  }
}

/** Of `width` columns at `columns`, a line each, `width` rounded up to four: scale, steps per unit, the ends of the grid, and 0 for sums. */
export function gridColumns(scales: usize, zeros: usize, width: i32, lowest: f32, highest: f32, columns: usize): void {
  const line = <usize>((width + 3) & ~3) << 2;
  for (let i = 0; i < width; i++) {
    const at = columns + (<usize>i << 2);
    const scale = load<f32>(scales + (<usize>i << 2));
    const zero: f32 = zeros == 0 ? 0 : load<f32>(zeros + (<usize>i << 2));
    store<f32>(at, scale);
    store<f32>(at + line, inverseOf(scale));
    store<f32>(at + 2 * line, lowest - zero);
    store<f32>(at + 3 * line, highest - zero);
    store<f32>(at + 4 * line, 0);
  }
}

/** `lines` lines of `width` columns: to ← scale · round(clip(from / scale)). */
export function projectLines(from: usize, to: usize, lines: i32, width: i32, columns: usize): void {
  const line = <usize>((width + 3) & ~3) << 2;
  for (let row = 0; row < lines; row++) {
    let column = columns;
    for (const end = from + (<usize>(width & ~3) << 2); from < end; from += 16, to += 16, column += 16) {
      const steps = clippedLanes(f32x4.mul(v128.load(from), v128.load(column + line)), v128.load(column + 2 * line), v128.load(column + 3 * line));
      v128.store(to, f32x4.mul(v128.load(column), f32x4.nearest(steps)));
    }
    for (let i = width & 3; i > 0; i--, from += 4, to += 4, column += 4) {
      const steps = clipped(load<f32>(from) * load<f32>(column + line), load<f32>(column + 2 * line), load<f32>(column + 3 * line));
      store<f32>(to, load<f32>(column) * nearest<f32>(steps));
    }
  }
}

/** As `straightThroughBlocks`, with sums in float32, line by line, in the last line at `columns`. */
export function straightThroughLines(g: usize, latent: usize, lines: i32, width: i32, columns: usize): void {
  const line = <usize>((width + 3) & ~3) << 2;
  for (let row = 0; row < lines; row++) {
    let column = columns;
    for (const end = g + (<usize>(width & ~3) << 2); g < end; g += 16, latent += 16, column += 16) {
      const value = v128.load(latent);
      const gradient = v128.load(g);
      const low = v128.load(column + 2 * line);
      const high = v128.load(column + 3 * line);
      const steps = f32x4.mul(value, v128.load(column + line));
      const inside = v128.and(f32x4.ge(steps, low), f32x4.le(steps, high));
      const rounded = f32x4.mul(v128.load(column), f32x4.nearest(clippedLanes(steps, low, high)));
      const share = f32x4.mul(gradient, f32x4.sub(rounded, v128.and(value, inside)));
      v128.store(column + 4 * line, f32x4.add(v128.load(column + 4 * line), share));
      v128.store(g, v128.and(gradient, inside));
    }
    for (let i = width & 3; i > 0; i--, g += 4, latent += 4, column += 4) {
      const value = load<f32>(latent);
      const low = load<f32>(column + 2 * line);
      const high = load<f32>(column + 3 * line);
      const steps = value * load<f32>(column + line);
      const inside = steps >= low && steps <= high;
      const rounded = load<f32>(column) * nearest<f32>(clipped(steps, low, high));
      store<f32>(column + 4 * line, load<f32>(column + 4 * line) + load<f32>(g) * (rounded - (inside ? value : 0)));
      if (!inside) store<f32>(g, 0);
    }
  }
}
