/** Pruning in the metric of a Hessian, exact within cells of a few inputs: what the search through all masks of a cell needs. */

/** Inputs of a cell: 2⁸ masks are few enough to try them all, for every output. */
export const CELL = 8;

/** A node of a search at which it may stop: see `PruneCellsArgs` of kernels. */
const LEAF = 256;

/**
 * A walk through the masks of `count` inputs of `size` that `allowed` lets pass, and what leads to them, in the order that the kernel
 * wants. Empty when nothing goes.
 */
export function cellSearch(size: number, count: number, allowed: (gone: readonly number[]) => boolean = () => true): Uint16Array {
  const masks = new Set<number>();
  const prefixes = new Set<number>();
  for (let bits = 1; bits < 1 << size; bits++) {
    const gone = Array.from({ length: size }, (_, i) => i).filter((i) => ((bits >> i) & 1) === 1);
    if (gone.length !== count || !allowed(gone)) continue;
    masks.add(bits);
    let prefix = 0;
    for (const i of gone) prefixes.add((prefix |= 1 << i));
  }
  const nodes: number[] = [];
  const visit = (subset: number, next: number): void => {
    for (let i = next; i < size; i++) {
      const larger = subset | (1 << i);
      if (!prefixes.has(larger)) continue;
      nodes.push(masks.has(larger) ? larger + LEAF : larger);
      visit(larger, i + 1);
    }
  };
  visit(0, 0);
  return Uint16Array.from(nodes);
}

export interface CellTables {
  /** (cells, 2^cell, 8) */
  readonly updates: Float32Array;
  /** (cells, 2^cell) */
  readonly costs: Float32Array;
}

/**
 * For the block of A on the diagonal (rows, rows), H = AᵀA, what it takes to lose one more input of a cell when some are gone: with G = LᵀL, L the part
 * of A of the cell, and S = G⁻¹, losing p costs b_p² / S_pp and takes S_·p / S_pp · b_p off the others; then S loses S_·p S_p· / S_pp
 * (Hassibi and Stork 1992, one weight after the other; the inputs after the cell make up for the rest).
 */
export function cellTables(lower: Float32Array, rows: number, cell: number): CellTables {
  const cells = Math.ceil(rows / cell);
  const updates = new Float32Array((cells << cell) * CELL);
  const costs = new Float32Array(cells << cell);
  // one matrix per depth of the tree
  const depths = Array.from({ length: cell + 1 }, () => new Float64Array(cell * cell));
  for (let index = 0; index < cells; index++) {
    const start = index * cell;
    const size = Math.min(cell, rows - start);
    inverseOf(lower, rows, start, size, depths[0]!);
    const visit = (subset: number, next: number, depth: number): void => {
      const s = depths[depth]!;
      const after = depths[depth + 1]!;
      for (let p = next; p < size; p++) {
        const larger = subset | (1 << p);
        const at = (index << cell) + larger;
        const pivot = s[p * size + p]!;
        costs[at] = 1 / pivot;
        for (let i = 0; i < size; i++) {
          const factor = i === p ? 1 : ((subset >> i) & 1) === 1 ? 0 : s[i * size + p]! / pivot;
          updates[at * CELL + i] = factor;
          for (let j = p + 1; j < size; j++) after[i * size + j] = s[i * size + j]! - factor * s[p * size + j]!;
        }
        visit(larger, p + 1, depth + 1);
      }
    };
    visit(0, 0, 0);
  }
  return { updates, costs };
}

/** (LᵀL)⁻¹ = L⁻¹ L⁻ᵀ of `size` rows and columns from `start`, into `inverse`. */
function inverseOf(lower: Float32Array, rows: number, start: number, size: number, inverse: Float64Array): void {
  const of = (i: number, j: number): number => lower[(start + i) * rows + start + j]!;
  const root = new Float64Array(size * size);
  for (let col = 0; col < size; col++) {
    for (let i = col; i < size; i++) {
      let sum = i === col ? 1 : 0;
      for (let j = col; j < i; j++) sum -= of(i, j) * root[j * size + col]!;
      root[i * size + col] = sum / of(i, i);
    }
  }
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let k = 0; k <= Math.min(i, j); k++) sum += root[i * size + k]! * root[j * size + k]!;
      inverse[i * size + j] = sum;
    }
  }
}
