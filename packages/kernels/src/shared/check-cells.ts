/** Argument checks of pruning by cells. */
import type { PruneCellsArgs } from '../kernels.js';
import { argumentError, expectLength } from './check.js';
import { checkPanel } from './check-panel.js';

/** Rows that a cell may have: its subsets are eight bits. */
export const CELL_ROWS = 8;
/** Added to the subset of a node at which a search may stop. */
export const LEAF = 256;
/** Rows of a panel: its tables and a strip of columns fit the staging area together. */
const MOST_ROWS = 128;
/** One for each number of rows of a cell, and for each of a short one. */
const MOST_SEARCHES = 24;
/** Nodes of all searches: those for each number of rows of a cell of eight have about a thousand. */
const MOST_NODES = 4096;

export function checkCells({ rows, cols, cell, lower, weights, carried, updates, costs, searches, choices, values, differences }: PruneCellsArgs): void {
  checkPanel({ lower: [lower, rows, rows], weights: [weights, rows, cols], carried: [carried, rows, cols], values: [values, rows, cols], differences: [differences, rows, cols] });
  if (rows > MOST_ROWS) throw argumentError(`${rows} rows: cells are pruned in panels of at most ${MOST_ROWS}`);
  if (!(Number.isInteger(cell) && cell >= 1 && cell <= CELL_ROWS)) throw argumentError(`cells of ${cell} rows: 1 to ${CELL_ROWS} are possible`);
  const cells = Math.ceil(rows / cell);
  expectLength('updates', updates.length, (cells << cell) * CELL_ROWS);
  expectLength('costs', costs.length, cells << cell);
  expectLength('choices', choices.length, cells * cols);
  if (searches.length === 0 || searches.length > MOST_SEARCHES) throw argumentError(`${searches.length} searches: 1 to ${MOST_SEARCHES} are possible`);
  if (searches.reduce((sum, { length }) => sum + length, 0) > MOST_NODES) throw argumentError(`searches of more than ${MOST_NODES} nodes`);
  for (const search of searches) checkSearch(search, cell);
  if (choices.some((choice) => choice >= searches.length)) throw argumentError(`a choice of a search that is not there: there are ${searches.length}`);
}

/** A subset comes after the one without its highest row, and no other of that one's size in between. */
function checkSearch(search: Uint16Array, cell: number): void {
  if (search.length === 0) return;
  const path = new Uint16Array(CELL_ROWS + 1);
  let leaves = 0;
  for (const node of search) {
    const bits = node % LEAF;
    let depth = 0;
    for (let rest = bits; rest !== 0; rest &= rest - 1) depth++;
    const parent = bits & ~(1 << (31 - Math.clz32(bits)));
    if (bits === 0 || bits >= 1 << cell || node >= 2 * LEAF || path[depth - 1] !== parent) throw argumentError(`a search with ${node} out of order`);
    if (node >= LEAF) leaves++;
    else path[depth] = bits;
  }
  if (leaves === 0) throw argumentError('a search that ends nowhere');
}
