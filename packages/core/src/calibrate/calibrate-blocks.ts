/** Calibration block by block: one block of weights is in memory at a time, whatever the size of the model and the number of samples. */
import { sha256 } from '../digest.js';
import type { Feeds } from '../engine.js';
import { PenjingError } from '../errors.js';
import { type Block, blocks } from '../graph/blocks.js';
import type { Model } from '../graph/model.js';
import { inferShapes } from '../infer/infer-shapes.js';
import type { JobHost } from '../job.js';
import type { TaskOptions } from '../task.js';
import type { Collected, NamedRequest, StatisticRequest } from './block-job.js';
import type { CalibrationStore } from './calibration-store.js';
import { COLLECTORS_VERSION, statisticFields, type StatisticName, type Statistics } from './collectors/index.js';
import { extractModel } from './extract-model.js';
import { addPatches } from './patches.js';
import { shelveSamples } from './shelve-samples.js';
import { type BlockSweep, sweepBlock } from './sweep-block.js';

export interface CalibrationOptions extends TaskOptions {
  readonly jobs: JobHost;
  /** Feeds of one run each. All inputs of the model, every time. */
  readonly samples: AsyncIterable<Feeds> | Iterable<Feeds>;
  /** Statistics of earlier runs; what is gathered is added. */
  readonly calibration?: CalibrationStore;
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
 *
 * With a store, statistics that it has are taken from there, and blocks run only where something behind them is missing. Throws
 * `E_DATA` without samples, or when a sample lacks an input; `E_ENGINE` for a store with a host that tells no models apart.
 */
export async function* calibrateBlocks(model: Model, options: CalibrateOptions): AsyncGenerator<CalibratedBlock, void, undefined> {
  const { jobs, samples, calibration: store, collect = () => [], signal, onProgress } = options;
  const task = signal ? { signal } : {};
  if (store && !jobs.digest) throw new PenjingError('E_ENGINE', 'this host of jobs cannot tell models apart: statistics cannot be kept', { hint: 'Calibrate without a store, or with `ortJobs()` of @penjing/runtime.' });
  inferShapes(model);
  const chain = blocks(model).map((block) => ({ block, inputs: names(block.inputs), outputs: names(block.outputs) }));
  await using shelf = await jobs.openShelf();
  const { count, hash } = await shelveSamples(model, shelf, { samples, ...task, hashed: store !== undefined });
  const results = new Set(model.graph.outputs.map(({ name }) => name));
  let sweeps = 0;

  const run = async (part: Model | undefined, step: Pick<BlockSweep, 'collect' | 'inputs' | 'outputs' | 'drop'>): Promise<readonly Collected[]> => {
    await using prepared = part && (await jobs.prepare(part, task));
    // Waited for: the model is there until then.
    return await sweepBlock(jobs, { model: prepared, shelf, large: store?.shelf ?? shelf, samples: count, ...step }, task);
  };
  /** Blocks whose activations nothing has asked for yet. */
  const waiting: (() => Promise<unknown>)[] = [];
  const catchUp = async (): Promise<void> => {
    for (const pass of waiting.splice(0)) await pass();
  };
  /** Hash of the samples and of all blocks so far, as they are left. */
  let state = store ? await sha256(`penjing calibration ${COLLECTORS_VERSION}`, hash) : '';

  for (const [index, { block, inputs, outputs }] of chain.entries()) {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'calibrate', done: index, total: chain.length, unit: 'blocks' });
    // Shares its tensors with the model, which may have others by the time of another sweep.
    const before = extractModel(model, inputs, block.nodes.flatMap((node) => names(node.outputs)).filter((name) => name !== ''));
    const seen = store && (await sha256(state, await jobs.digest!(before, task)));
    const used = new Set<string>();
    const gather = async (requests: readonly StatisticRequest[]): Promise<GatheredStatistics> => {
      const sweep = sweeps++;
      const found: Collected[] = [];
      const missing: NamedRequest[] = [];
      for (const { value, statistic } of requests) {
        const key = seen && statistic in statisticFields ? await sha256(seen, value, statistic) : undefined;
        const name = key ?? `statistic ${sweep}/${value}/${statistic}`;
        used.add(name);
        const known = key === undefined ? undefined : await store!.get(key, { value, statistic });
        if (known) found.push(known);
        else missing.push({ value, statistic, name, identity: key });
      }
      if (missing.length > 0) {
        await catchUp();
        const collected = await run(partFor(before, inputs, requests.filter(({ value }) => missing.some((item) => item.value === value))), { inputs, collect: missing, outputs: [], drop: [] });
        for (const [i, item] of collected.entries()) if (missing[i]!.identity !== undefined) await store!.put(missing[i]!.name, item);
        found.push(...collected);
      }
      return statisticsOf(found);
    };
    yield { index, count: chain.length, block, gather, ...(await gather(collect(block))) };

    if (store) await store.release([...used]);
    else for (const name of used) await shelf.delete(name);
    const rest = chain.slice(index + 1);
    const needed = new Set(rest.flatMap((later) => later.inputs));
    const passed = outputs.filter((name) => needed.has(name) && !inputs.includes(name) && !(results.has(name) && rest.length === 0));
    if (passed.length === 0) continue;
    const after = extractModel(model, inputs, passed);
    waiting.push(() => run(after, { inputs, collect: [], outputs: passed, drop: inputs.filter((name) => !needed.has(name)) }));
    if (store) state = await sha256(state, await jobs.digest!(after, task));
    else await catchUp();
  }
}

/** What computes the values asked for; undefined when all of them are inputs. */
function partFor(block: Model, inputs: readonly string[], requests: readonly StatisticRequest[]): Model | undefined {
  const patches = new Map(requests.flatMap(({ value, patches }) => (patches ? [[value, patches] as const] : [])));
  const wanted = [...new Set(requests.flatMap(({ value }) => (patches.has(value) || inputs.includes(value) ? [] : [value])))];
  if (wanted.length === 0 && patches.size === 0) return undefined;
  const read = [...new Set([...patches.values()].map(({ activation }) => activation))].filter((name) => !wanted.includes(name));
  const part = extractModel(block, inputs, [...wanted, ...read]);
  for (const [name, form] of patches) addPatches(part, name, form);
  // they were outputs so that what computes them stayed
  const { outputs } = part.graph;
  outputs.splice(0, Infinity, ...outputs.filter(({ name }) => !read.includes(name)));
  return part;
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
