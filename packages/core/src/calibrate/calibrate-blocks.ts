/** Calibration block by block: one block of weights is in memory at a time, whatever the size of the model and the number of samples. */
import { PenjingError } from '../errors.js';
import type { Feeds } from '../engine.js';
import { type Block, blocks } from '../graph/blocks.js';
import type { Model } from '../graph/model.js';
import { inferShapes } from '../infer/infer-shapes.js';
import type { JobHost } from '../job.js';
import type { TaskOptions } from '../task.js';
import { type BlockJobInput, blockJob, type Collected, shelfName, type StatisticRequest } from './block-job.js';
import type { StatisticName, Statistics } from './collectors/index.js';
import { extractModel } from './extract-model.js';

export interface CalibrationOptions extends TaskOptions {
  readonly jobs: JobHost;
  /** Feeds of one run each. All inputs of the model, every time. */
  readonly samples: AsyncIterable<Feeds> | Iterable<Feeds>;
}

export interface CalibrateOptions extends CalibrationOptions {
  /** What to gather of the values that a block computes or reads; nothing when absent. */
  readonly collect?: (block: Block) => readonly StatisticRequest[];
}

/** Statistics of one sweep over the samples. */
export interface GatheredStatistics {
  /** Throws `E_GRAPH` when that was not asked for. */
  readonly statistic: <Name extends StatisticName>(value: string, name: Name) => Statistics[Name];
  /** The first sample in which a value held NaN or infinities; its statistics are of no use then. */
  readonly broken: (value: string) => number | undefined;
}

export interface CalibratedBlock extends GatheredStatistics {
  readonly index: number;
  readonly count: number;
  /** As it was before the caller edited the model. */
  readonly block: Block;
  /** One more sweep over all samples, through the block as it was before the caller edited the model. */
  readonly gather: (requests: readonly StatisticRequest[]) => Promise<GatheredStatistics>;
}

/**
 * Gives the blocks of a model in order, each with its statistics. The caller may edit the block it was given, as long as the values
 * between blocks keep their names: later blocks then see what the edited one computes, as GPTQ and SparseGPT want it.
 * Throws `E_DATA` without samples, or when a sample lacks an input.
 */
export async function* calibrateBlocks(model: Model, options: CalibrateOptions): AsyncGenerator<CalibratedBlock, void, undefined> {
  const { jobs, collect = () => [], signal, onProgress } = options;
  inferShapes(model);
  const chain = blocks(model).map((block) => ({ block, inputs: names(block.inputs), outputs: names(block.outputs) }));
  await using shelf = await jobs.openShelf();
  const samples = await shelve(model, options, shelf);
  const results = new Set(model.graph.outputs.map(({ name }) => name));

  const run = async (at: number, source: Model, step: Pick<BlockJobInput, 'collect' | 'outputs' | 'drop'>): Promise<readonly Collected[]> => {
    const { inputs } = chain[at]!;
    const wanted = [...new Set([...step.outputs, ...step.collect.map(({ value }) => value)])].filter((name) => !inputs.includes(name));
    if (wanted.length === 0 && step.collect.length === 0) return [];
    await using prepared = wanted.length === 0 ? undefined : await jobs.prepare(extractModel(source, inputs, wanted), signal ? { signal } : {});
    const input: BlockJobInput = { model: prepared && { kind: prepared.kind, reference: prepared.reference }, shelf: { kind: shelf.kind, reference: shelf.reference }, samples, inputs, ...step };
    return jobs.run(blockJob, input, { ...(signal && { signal }) });
  };

  for (const [index, { block, inputs, outputs }] of chain.entries()) {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'calibrate', done: index, total: chain.length, unit: 'blocks' });
    // Shares its tensors with the model, which may have others by the time of another sweep.
    const before = extractModel(model, inputs, block.nodes.flatMap((node) => names(node.outputs)).filter((name) => name !== ''));
    const gather = async (requests: readonly StatisticRequest[]): Promise<GatheredStatistics> => statisticsOf(await run(index, before, { collect: requests, outputs: [], drop: [] }));
    yield { index, count: chain.length, block, gather, ...(await gather(collect(block))) };
    const rest = chain.slice(index + 1);
    const needed = new Set(rest.flatMap((later) => later.inputs));
    await run(index, model, { collect: [], outputs: outputs.filter((name) => needed.has(name) && !(results.has(name) && rest.length === 0)), drop: inputs.filter((name) => !needed.has(name)) });
  }
}

function statisticsOf(collected: readonly Collected[]): GatheredStatistics {
  return {
    statistic<Name extends StatisticName>(value: string, name: Name) {
      const found = collected.find((item) => item.value === value && item.statistic === name);
      if (!found) throw new PenjingError('E_GRAPH', `${name} of ${value} was not gathered`);
      return found.result as Statistics[Name];
    },
    broken: (value) => collected.find((item) => item.value === value)?.broken,
  };
}

function names(values: readonly { readonly name: string }[]): string[] {
  return values.map(({ name }) => name);
}

/** Puts the inputs of every sample on the shelf; gives their number. */
async function shelve(model: Model, { samples, signal }: CalibrationOptions, shelf: Awaited<ReturnType<JobHost['openShelf']>>): Promise<number> {
  let count = 0;
  for await (const feeds of samples) {
    signal?.throwIfAborted();
    for (const { name } of model.graph.inputs) {
      const tensor = feeds[name];
      if (model.graph.initializers.has(name) && !tensor) continue;
      if (tensor?.kind !== 'dense') throw new PenjingError('E_DATA', `sample ${count} has no tensor for the input ${name}`, { hint: `Every sample gives ${names(model.graph.inputs).join(', ')}.` });
      await shelf.put(shelfName(count, name), tensor);
    }
    count++;
  }
  if (count === 0) throw new PenjingError('E_DATA', 'there are no samples to calibrate with');
  return count;
}
