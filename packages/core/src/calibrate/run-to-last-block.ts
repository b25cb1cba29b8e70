/** All blocks of a model but the last, run one after the other over samples: what is left is small, whatever the size of the model. */
import { blocks } from '../graph/blocks.js';
import type { Model } from '../graph/model.js';
import { capturedValues } from '../graph/traverse.js';
import type { Value } from '../graph/value.js';
import { inferShapes } from '../infer/infer-shapes.js';
import type { ShelfReference } from '../job.js';
import type { CalibrationOptions } from './calibrate-blocks.js';
import { extractModel } from './extract-model.js';
import { shelveSamples } from './shelve-samples.js';
import { sweepBlock } from './sweep-block.js';

export interface LastBlockOptions extends Omit<CalibrationOptions, 'calibration'> {
  /** The results wanted; all outputs when absent. What only others need is not computed. */
  readonly outputs?: readonly string[];
}

export interface LastBlock extends AsyncDisposable {
  /** Computes the results from what the block reads. */
  readonly model: Model;
  /** What it reads of each sample, under `shelfName`, until this is disposed of. */
  readonly shelf: ShelfReference;
  readonly inputs: readonly string[];
  readonly samples: number;
  /** Of the whole model, with the last one. */
  readonly blocks: number;
}

/** Parts in which `runToLastBlock` would run a model. */
export function countBlocks(model: Model, outputs: readonly string[]): number {
  return blocks(upTo(model, outputs)).length;
}

function upTo(model: Model, outputs: readonly string[]): Model {
  return extractModel(model, model.graph.inputs.filter(({ tensor }) => !tensor).map(({ name }) => name), outputs);
}

/**
 * Runs a model over samples up to the input of its last block: one block of weights is in memory at a time, and what flows between
 * blocks lies on a shelf. The results are those of the model as a whole. Throws `E_DATA` without samples, or when one lacks an input.
 */
export async function runToLastBlock(model: Model, { jobs, samples, outputs = model.graph.outputs.map(({ name }) => name), signal, onProgress }: LastBlockOptions): Promise<LastBlock> {
  const task = signal ? { signal } : {};
  const wanted = upTo(model, outputs);
  inferShapes(wanted);
  const fixed = constantValues(wanted);
  const varying = (values: readonly Value[]): string[] => values.filter((value) => !fixed.has(value)).map(({ name }) => name);
  const chain = blocks(wanted).map((block) => ({ inputs: varying(block.inputs), outputs: varying(block.outputs) }));
  const shelf = await jobs.openShelf();
  try {
    const { count } = await shelveSamples(wanted, shelf, { samples, ...task, hashed: false });
    const reference: ShelfReference = { kind: shelf.kind, reference: shelf.reference };
    for (const [index, { inputs, outputs: made }] of chain.slice(0, -1).entries()) {
      signal?.throwIfAborted();
      onProgress?.({ phase: 'evaluate', done: index, total: chain.length, unit: 'blocks' });
      const rest = chain.slice(index + 1);
      // A result of an early block is a result of the last one too: it passes through.
      const needed = new Set([...rest.flatMap((later) => later.inputs), ...outputs]);
      const passed = made.filter((name) => needed.has(name));
      const drop = inputs.filter((name) => !needed.has(name));
      await using prepared = await jobs.prepare(extractModel(wanted, inputs, passed), task);
      await sweepBlock(jobs, { model: prepared, shelf, large: shelf, samples: count, inputs, outputs: passed, drop, collect: [] }, task);
    }
    const early = chain.slice(0, -1).flatMap((block) => block.outputs);
    const inputs = [...new Set([...chain.at(-1)!.inputs, ...outputs.filter((name) => early.includes(name))])];
    return { model: extractModel(wanted, inputs, outputs), shelf: reference, inputs, samples: count, blocks: chain.length, [Symbol.asyncDispose]: () => shelf[Symbol.asyncDispose]() };
  } catch (error) {
    await shelf[Symbol.asyncDispose]();
    throw error;
  }
}

/** What nodes compute of constants alone, a turned weight for example: each block that reads it computes it again, since it may be large and there would be one for each sample. */
function constantValues({ graph }: Model): ReadonlySet<Value> {
  const fixed = new Set<Value>();
  for (const node of graph.nodes()) {
    const read = [...node.inputs.filter((value) => value !== null), ...node.subgraphs().flatMap((inner) => [...capturedValues(inner)])];
    if (isRandom.test(node.opType) || !read.every((value) => fixed.has(value) || (value.tensor !== undefined && !value.producer))) continue;
    for (const value of node.outputs) fixed.add(value);
  }
  return fixed;
}

/** Operators that give something else each time. */
const isRandom = /^(Random|Multinomial$|Bernoulli$)/;
