/** Cuts a model into a chain of stages whose slowest one is as fast as can be. */
import { type Model, PenjingError, type Value } from '@penjing/core';
import type { Part } from '../plan/plan.js';
import { type CutBlock, cutBlocks, joinBlocks } from './cut-blocks.js';
import { bytesText } from '../planner/units.js';

export interface CutStagesOptions {
  readonly stages: number;
  /** What a block costs in a stage; the bytes of its weights when absent. */
  readonly costOf?: (block: CutBlock, stage: number) => number;
  /** What it costs that `values` go from one stage to the next; nothing when absent. */
  readonly borderCost?: (values: readonly Value[], stage: number) => number;
  /** Bytes of weights that each stage has room for, in order. */
  readonly memoryBytes?: readonly number[];
  /** Blocks of the model where they are known already. */
  readonly blocks?: readonly CutBlock[];
}

export interface StageCut {
  /** Indices of blocks, from and up to. */
  readonly from: number;
  readonly to: number;
}

/** Parts in order. Throws `E_PLAN` when the model has fewer blocks than stages, or a stage would have no room for its weights. */
export function cutStages(model: Model, options: CutStagesOptions): Part[] {
  const blocks = options.blocks ?? cutBlocks(model);
  return findCuts(blocks, options).map(({ from, to }) => joinBlocks(blocks, from, to));
}

/** Exact, by dynamic programming: the least cost of the dearest stage, and of all those the least that crosses borders. */
export function findCuts(blocks: readonly CutBlock[], options: CutStagesOptions): StageCut[] {
  const { stages, costOf = (block) => bytesOfWeights(block.weights), borderCost = () => 0, memoryBytes = [] } = options;
  if (!Number.isSafeInteger(stages) || stages < 1) throw new PenjingError('E_OPTION', `${stages} is no number of stages`);
  if (stages > blocks.length) {
    throw new PenjingError('E_PLAN', `the model cannot be cut into ${stages} stages: it has ${blocks.length} ${blocks.length === 1 ? 'block' : 'blocks'}`, {
      hint: `Ask for at most ${blocks.length}; a cut needs a place where one activation is live between two weighted nodes.`,
      details: { blocks: blocks.length },
    });
  }
  const crossing = blocks.map((_, at) => (at === 0 ? [] : liveAcross(blocks, at)));
  // best[to]: cuts of blocks 0..to into the stages so far. A later stage needs blocks too, hence the bounds.
  let best: (Found | undefined)[] = blocks.map(() => undefined);
  for (let stage = 0; stage < stages; stage++) {
    const costs = blocks.map((block) => costOf(block, stage));
    const next: (Found | undefined)[] = [];
    for (let to = stage + 1; to <= blocks.length - (stages - 1 - stage); to++) {
      let cost = 0;
      const weights = new WeightSum();
      for (let from = to - 1; from >= stage; from--) {
        cost += costs[from]!;
        weights.add(blocks[from]!.weights);
        if (weights.bytes > (memoryBytes[stage] ?? Infinity)) break;
        const before = stage === 0 ? START : best[from];
        if ((stage === 0 && from > 0) || !before) continue;
        const border = stage === 0 ? 0 : borderCost(crossing[from]!, stage);
        const found: Found = { worst: Math.max(before.worst, cost, border), borders: before.borders + border, from, before };
        if (isBetter(found, next[to])) next[to] = found;
      }
    }
    best = next;
  }
  const found = best[blocks.length];
  if (!found) throw shortOfMemory(blocks, memoryBytes, stages);
  const cuts: StageCut[] = [];
  for (let at: Found = found, to = blocks.length; at.before; to = at.from, at = at.before) cuts.unshift({ from: at.from, to });
  return cuts;
}

interface Found {
  readonly worst: number;
  readonly borders: number;
  readonly from: number;
  readonly before: Found | undefined;
}

const START: Found = { worst: 0, borders: 0, from: 0, before: undefined };

function isBetter(a: Found, b: Found | undefined): boolean {
  return !b || a.worst < b.worst || (a.worst === b.worst && a.borders < b.borders);
}

/** Bytes of weights, each counted once however many blocks share it. */
class WeightSum {
  bytes = 0;
  readonly #seen = new Set<Value>();

  add(values: readonly Value[]): void {
    for (const value of values) {
      if (this.#seen.has(value)) continue;
      this.#seen.add(value);
      this.bytes += value.tensor?.byteLength ?? 0;
    }
  }
}

export function bytesOfWeights(values: Iterable<Value>): number {
  const sum = new WeightSum();
  sum.add([...values]);
  return sum.bytes;
}

/** Values that blocks from `at` on read and blocks before it computed. */
function liveAcross(blocks: readonly CutBlock[], at: number): Value[] {
  const made = new Set(blocks.slice(0, at).flatMap(({ outputs }) => outputs));
  return [...new Set(blocks.slice(at).flatMap(({ inputs }) => inputs))].filter((value) => made.has(value));
}

function shortOfMemory(blocks: readonly CutBlock[], memoryBytes: readonly number[], stages: number): PenjingError {
  const needed = bytesOfWeights(blocks.flatMap(({ weights }) => weights));
  const room = memoryBytes.slice(0, stages).reduce((sum, bytes) => sum + bytes, 0);
  const largest = Math.max(...blocks.map(({ weights }) => bytesOfWeights(weights)));
  return new PenjingError('E_MEMORY', `the weights (${bytesText(needed)}, ${bytesText(largest)} in one block) do not fit into ${stages} stages with room for ${bytesText(room)}`, {
    hint: 'Use more or larger devices, or quantize the model.',
    details: { needed, room, short: Math.max(needed - room, largest - Math.max(0, ...memoryBytes.slice(0, stages))) },
  });
}
