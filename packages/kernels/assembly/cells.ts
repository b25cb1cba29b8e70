/**
 * Pruning in the metric of a triangle, cell by cell: of each column, which rows of a cell go is found by going through a tree of
 * subsets, sixteen columns at a time. Columns are independent; sums run in the order of the plain twin.
 */

/** Columns of one search: four vectors. */
// @ts-ignore: decorator
@inline const LANES: i32 = 16;
/** Bytes of a row of them, of all rows of a cell, and of one column of a cell. */
// @ts-ignore: decorator
@inline const ROW: usize = 64;
// @ts-ignore: decorator
@inline const SLOT: usize = 512;
// @ts-ignore: decorator
@inline const LANE: usize = 32;

/** See `PruneCellsArgs` in src/kernels.ts; `stride` is the bytes from a row to the next, `cols` a multiple of 16. */
@unmanaged
class CellsJob {
  rows: i32;
  cols: i32;
  /** Columns that count: the others are padding. */
  used: i32;
  stride: usize;
  cell: i32;
  lower: usize;
  /** The weights; then the values. */
  values: usize;
  /** What is carried; then weights − values. */
  differences: usize;
  updates: usize;
  costs: usize;
  /** (cells, cols) */
  choices: usize;
  /** Position and length of each search. */
  searches: usize;
  searchCount: i32;
  /** (8, stride), the rows of a cell. */
  target: usize;
  /** (cols), int32. */
  order: usize;
  /** `CELL_SCRATCH` bytes of src/wasm/cells.ts. */
  scratch: usize;
}

/** Adds to the float64 at `out` what the choices cost. */
export function pruneCells(at: usize, out: usize): void {
  const job = changetype<CellsJob>(at);
  let cost: f64 = 0;
  for (let start = 0, index = 0; start < job.rows; start += job.cell, index++) {
    const size = min(job.cell, job.rows - start);
    aim(job, start, size);
    sort(job, index);
    const table = <usize>index << job.cell;
    const updates = job.updates + table * LANE;
    const costs = job.costs + (table << 2);
    const ends = job.scratch;
    for (let choice = 0, from = 0; choice < job.searchCount; choice++) {
      const end = load<i32>(ends + (<usize>choice << 2));
      const search = load<u32>(job.searches + (<usize>choice << 3));
      const length = load<u32>(job.searches + (<usize>choice << 3), 4);
      if (length > 0) for (let first = from; first < end; first += LANES) cost += settle(job, size, job.order + (<usize>first << 2), min(LANES, end - first), updates, costs, search, length);
      from = end;
    }
    finish(job, start, size);
  }
  store<f64>(out, load<f64>(out) + cost);
}

/** The best values of a cell's rows, given what the rows before it became. */
function aim(job: CellsJob, start: i32, size: i32): void {
  const stride = job.stride;
  const width = <usize>job.rows << 2;
  for (let c = 0; c < job.cols; c += LANES) {
    const shift = <usize>c << 2;
    const strip = job.differences + shift;
    const target = job.target + shift;
    let i = 0;
    // two rows at a time: what is loaded of the differences serves both
    for (; i + 1 < size; i += 2) {
      const row = strip + <usize>(start + i) * stride;
      let a0 = v128.load(row);
      let a1 = v128.load(row, 16);
      let a2 = v128.load(row, 32);
      let a3 = v128.load(row, 48);
      let b0 = v128.load(row + stride);
      let b1 = v128.load(row + stride, 16);
      let b2 = v128.load(row + stride, 32);
      let b3 = v128.load(row + stride, 48);
      let factor = job.lower + <usize>(start + i) * width;
      for (let j = 0, other = strip; j < start; j++, other += stride, factor += 4) {
        const f = v128.load32_splat(factor);
        const g = v128.load32_splat(factor + width);
        let d = v128.load(other);
        a0 = f32x4.add(a0, f32x4.mul(f, d));
        b0 = f32x4.add(b0, f32x4.mul(g, d));
        d = v128.load(other, 16);
        a1 = f32x4.add(a1, f32x4.mul(f, d));
        b1 = f32x4.add(b1, f32x4.mul(g, d));
        d = v128.load(other, 32);
        a2 = f32x4.add(a2, f32x4.mul(f, d));
        b2 = f32x4.add(b2, f32x4.mul(g, d));
        d = v128.load(other, 48);
        a3 = f32x4.add(a3, f32x4.mul(f, d));
        b3 = f32x4.add(b3, f32x4.mul(g, d));
      }
      const to = target + <usize>i * stride;
      v128.store(to, a0);
      v128.store(to, a1, 16);
      v128.store(to, a2, 32);
      v128.store(to, a3, 48);
      v128.store(to + stride, b0);
      v128.store(to + stride, b1, 16);
      v128.store(to + stride, b2, 32);
      v128.store(to + stride, b3, 48);
    }
    if (i < size) {
      const row = strip + <usize>(start + i) * stride;
      let a0 = v128.load(row);
      let a1 = v128.load(row, 16);
      let a2 = v128.load(row, 32);
      let a3 = v128.load(row, 48);
      let factor = job.lower + <usize>(start + i) * width;
      for (let j = 0, other = strip; j < start; j++, other += stride, factor += 4) {
        const f = v128.load32_splat(factor);
        a0 = f32x4.add(a0, f32x4.mul(f, v128.load(other)));
        a1 = f32x4.add(a1, f32x4.mul(f, v128.load(other, 16)));
        a2 = f32x4.add(a2, f32x4.mul(f, v128.load(other, 32)));
        a3 = f32x4.add(a3, f32x4.mul(f, v128.load(other, 48)));
      }
      const to = target + <usize>i * stride;
      v128.store(to, a0);
      v128.store(to, a1, 16);
      v128.store(to, a2, 32);
      v128.store(to, a3, 48);
    }
    for (i = 0; i < size; i++) {
      const to = target + <usize>i * stride;
      let a0 = v128.load(to);
      let a1 = v128.load(to, 16);
      let a2 = v128.load(to, 32);
      let a3 = v128.load(to, 48);
      let factor = job.lower + <usize>(start + i) * width + (<usize>start << 2);
      for (let other = target; other < to; other += stride, factor += 4) {
        const f = v128.load32_splat(factor);
        a0 = f32x4.sub(a0, f32x4.mul(f, v128.load(other)));
        a1 = f32x4.sub(a1, f32x4.mul(f, v128.load(other, 16)));
        a2 = f32x4.sub(a2, f32x4.mul(f, v128.load(other, 32)));
        a3 = f32x4.sub(a3, f32x4.mul(f, v128.load(other, 48)));
      }
      const pivot = v128.load32_splat(factor);
      v128.store(to, f32x4.div(a0, pivot));
      v128.store(to, f32x4.div(a1, pivot), 16);
      v128.store(to, f32x4.div(a2, pivot), 32);
      v128.store(to, f32x4.div(a3, pivot), 48);
    }
    for (i = 0; i < size; i++) {
      const to = target + <usize>i * stride;
      const weights = job.values + shift + <usize>(start + i) * stride;
      for (let at: usize = 0; at < ROW; at += 16) v128.store(to + at, f32x4.add(v128.load(weights + at), v128.load(to + at)));
    }
  }
}

/** Columns by their choice into `order`; the ends of the choices to the start of the scratch. */
function sort(job: CellsJob, index: i32): void {
  const ends = job.scratch;
  const choices = job.choices + <usize>index * <usize>job.cols;
  memory.fill(ends, 0, (<usize>job.searchCount + 1) << 2);
  for (let c = 0; c < job.used; c++) {
    const at = ends + (<usize>load<u8>(choices + <usize>c) << 2);
    store<i32>(at, load<i32>(at, 4) + 1, 4);
  }
  for (let choice = 1; choice < job.searchCount; choice++) {
    const at = ends + (<usize>choice << 2);
    store<i32>(at, load<i32>(at) + load<i32>(at - 4));
  }
  for (let c = 0; c < job.used; c++) {
    const at = ends + (<usize>load<u8>(choices + <usize>c) << 2);
    const place = load<i32>(at);
    store<i32>(job.order + (<usize>place << 2), c);
    store<i32>(at, place + 1);
  }
}

/** Finds what goes of up to sixteen columns that are searched in the same way, and puts what they become into `target`. */
function settle(job: CellsJob, size: i32, columns: usize, count: i32, updates: usize, costs: usize, search: usize, length: i32): f64 {
  const sums = job.scratch + 128; // (9, 16)
  const best = sums + 9 * ROW;
  const masks = best + ROW;
  const lanes = masks + ROW; // (16, 8)
  const slots = lanes + LANES * LANE; // (9, 8, 16)
  for (let lane = 0; lane < LANES; lane++) {
    const column = job.target + (<usize>load<i32>(columns + (<usize>min(lane, count - 1) << 2)) << 2);
    const own = lanes + <usize>lane * LANE;
    v128.store(own, f32x4.splat(0));
    v128.store(own, f32x4.splat(0), 16);
    for (let i = 0, from = column; i < size; i++, from += job.stride) {
      const value = load<f32>(from);
      store<f32>(slots + <usize>i * ROW + (<usize>lane << 2), value);
      store<f32>(own + (<usize>i << 2), value);
    }
  }
  memory.fill(sums, 0, ROW);
  // the first leaf, where no cost is a number
  let first: i32 = 0;
  for (let n = 0; n < length; n++) {
    const node = <i32>load<u16>(search + (<usize>n << 1));
    if (node < 256) continue;
    first = node & 255;
    break;
  }
  for (let at: usize = 0; at < ROW; at += 16) {
    v128.store(best + at, f32x4.splat(Infinity));
    v128.store(masks + at, i32x4.splat(first));
  }
  for (let n = 0; n < length; n++) {
    const node = <i32>load<u16>(search + (<usize>n << 1));
    const bits = node & 255;
    const row = 31 - clz(bits);
    const depth = <usize>(popcnt(bits) - 1);
    const slot = slots + depth * SLOT;
    const own = slot + <usize>row * ROW;
    const sum = sums + depth * ROW;
    const r0 = v128.load(own);
    const r1 = v128.load(own, 16);
    const r2 = v128.load(own, 32);
    const r3 = v128.load(own, 48);
    const weight = v128.load32_splat(costs + (<usize>bits << 2));
    const c0 = f32x4.add(v128.load(sum), f32x4.mul(f32x4.mul(r0, r0), weight));
    const c1 = f32x4.add(v128.load(sum, 16), f32x4.mul(f32x4.mul(r1, r1), weight));
    const c2 = f32x4.add(v128.load(sum, 32), f32x4.mul(f32x4.mul(r2, r2), weight));
    const c3 = f32x4.add(v128.load(sum, 48), f32x4.mul(f32x4.mul(r3, r3), weight));
    if (node >= 256) {
      const mask = i32x4.splat(bits);
      better(best, masks, c0, mask);
      better(best + 16, masks + 16, c1, mask);
      better(best + 32, masks + 32, c2, mask);
      better(best + 48, masks + 48, c3, mask);
      continue;
    }
    v128.store(sum + ROW, c0);
    v128.store(sum + ROW, c1, 16);
    v128.store(sum + ROW, c2, 32);
    v128.store(sum + ROW, c3, 48);
    let factor = updates + <usize>bits * LANE + (<usize>(row + 1) << 2);
    const last = slot + <usize>size * ROW;
    for (let other = own + ROW; other < last; other += ROW, factor += 4) {
      const f = v128.load32_splat(factor);
      const to = other + SLOT;
      v128.store(to, f32x4.sub(v128.load(other), f32x4.mul(f, r0)));
      v128.store(to, f32x4.sub(v128.load(other, 16), f32x4.mul(f, r1)), 16);
      v128.store(to, f32x4.sub(v128.load(other, 32), f32x4.mul(f, r2)), 32);
      v128.store(to, f32x4.sub(v128.load(other, 48), f32x4.mul(f, r3)), 48);
    }
  }
  let cost: f64 = 0;
  for (let lane = 0; lane < count; lane++) {
    const own = lanes + <usize>lane * LANE;
    let low = v128.load(own);
    let high = v128.load(own, 16);
    let subset: i32 = 0;
    for (let rest = load<i32>(masks + (<usize>lane << 2)); rest != 0; rest &= rest - 1) {
      const row = ctz(rest);
      subset |= 1 << row;
      const factor = v128.load32_splat(own + (<usize>row << 2));
      const update = updates + <usize>subset * LANE;
      low = f32x4.sub(low, f32x4.mul(v128.load(update), factor));
      high = f32x4.sub(high, f32x4.mul(v128.load(update, 16), factor));
      v128.store(own, low);
      v128.store(own, high, 16);
    }
    cost += <f64>load<f32>(best + (<usize>lane << 2));
    const column = job.target + (<usize>load<i32>(columns + (<usize>lane << 2)) << 2);
    for (let i = 0, to = column; i < size; i++, to += job.stride) store<f32>(to, load<f32>(own + (<usize>i << 2)));
  }
  return cost;
}

// @ts-ignore: decorator
@inline
function better(best: usize, masks: usize, cost: v128, mask: v128): void {
  const old = v128.load(best);
  const less = f32x4.lt(cost, old);
  v128.store(best, v128.bitselect(cost, old, less));
  v128.store(masks, v128.bitselect(mask, v128.load(masks), less));
}

/** What the rows of a cell became, and how that differs from the weights. */
function finish(job: CellsJob, start: i32, size: i32): void {
  const bytes = <usize>job.cols << 2;
  for (let i = 0; i < size; i++) {
    const shift = <usize>(start + i) * job.stride;
    const from = job.target + <usize>i * job.stride;
    for (let at: usize = 0; at < bytes; at += 16) {
      const value = v128.load(from + at);
      const weights = job.values + shift + at;
      v128.store(job.differences + shift + at, f32x4.sub(v128.load(weights), value));
      v128.store(weights, value);
    }
  }
}
