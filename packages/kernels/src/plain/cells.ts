/** Pruning cell by cell, one rounding per operation: the definition of what the SIMD twin computes. */
import type { PruneCellsArgs } from '../kernels.js';
import { CELL_ROWS, checkCells, LEAF } from '../shared/check-cells.js';

const { fround } = Math;

export function pruneCells(args: PruneCellsArgs): number {
  checkCells(args);
  const { rows, cols, cell, lower, weights, carried, updates, costs, searches, choices, values, differences } = args;
  let total = 0;
  for (let start = 0, index = 0; start < rows; start += cell, index++) {
    const size = Math.min(cell, rows - start);
    const table = index << cell;
    for (let c = 0; c < cols; c++) {
      const target = aim(start, size, c);
      const search = searches[choices[index * cols + c]!]!;
      if (search.length > 0) {
        const { mask, cost } = leastCost(target, size, search, updates, costs, table);
        total += cost;
        for (let rest = mask, subset = 0; rest !== 0; rest &= rest - 1) {
          const row = 31 - Math.clz32(rest & -rest);
          subset |= 1 << row;
          const factor = target[row]!;
          for (let i = 0; i < size; i++) target[i] = fround(target[i]! - fround(updates[(table + subset) * CELL_ROWS + i]! * factor));
        }
      }
      for (let i = 0; i < size; i++) {
        const at = (start + i) * cols + c;
        values[at] = target[i]!;
        differences[at] = fround(weights[at]! - target[i]!);
      }
    }
  }
  return total;

  /** The best values of one column of a cell, given what the rows before it became. */
  function aim(start: number, size: number, c: number): Float32Array {
    const solved = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      const row = (start + i) * rows;
      let sum = carried[(start + i) * cols + c]!;
      for (let j = 0; j < start; j++) sum = fround(sum + fround(lower[row + j]! * differences[j * cols + c]!));
      for (let j = 0; j < i; j++) sum = fround(sum - fround(lower[row + start + j]! * solved[j]!));
      solved[i] = fround(sum / lower[row + start + i]!);
    }
    return solved.map((value, i) => fround(weights[(start + i) * cols + c]! + value));
  }
}

/** Goes through the subsets of a search; the values of each depth stay until its siblings have been seen. */
function leastCost(target: Float32Array, size: number, search: Uint16Array, updates: Float32Array, costs: Float32Array, table: number): { mask: number; cost: number } {
  const sums = new Float32Array(CELL_ROWS + 1);
  const slots = Array.from({ length: CELL_ROWS + 1 }, () => new Float32Array(CELL_ROWS));
  slots[0]!.set(target);
  let mask = search.find((node) => node >= LEAF)! - LEAF;
  let least = Infinity;
  for (const node of search) {
    const bits = node & (LEAF - 1);
    const row = 31 - Math.clz32(bits);
    const depth = bitCount(bits) - 1;
    const own = slots[depth]!;
    const value = own[row]!;
    const cost = fround(sums[depth]! + fround(fround(value * value) * costs[table + bits]!));
    if (node >= LEAF) {
      if (!(cost < least)) continue;
      least = cost;
      mask = bits;
      continue;
    }
    sums[depth + 1] = cost;
    for (let i = row + 1; i < size; i++) slots[depth + 1]![i] = fround(own[i]! - fround(updates[(table + bits) * CELL_ROWS + i]! * value));
  }
  return { mask, cost: least };
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
