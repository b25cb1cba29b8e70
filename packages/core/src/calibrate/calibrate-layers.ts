/** The driver of passes that edit weights with statistics of what reaches them: layer by layer, block by block. */
import { PenjingError } from '../errors.js';
import type { Model } from '../graph/model.js';
import type { Node } from '../graph/node.js';
import { inLanes } from '../in-lanes.js';
import { calibrateBlocks, type CalibrationOptions, type GatheredStatistics } from './calibrate-blocks.js';
import { statisticBytes, statisticChannels, type StatisticName, type Statistics } from './collectors/index.js';
import type { LayerGroup } from './layer-groups.js';

export interface CalibrateLayersOptions<Name extends StatisticName, Computed = undefined> extends CalibrationOptions {
  /** From `layerGroups`. */
  readonly groups: readonly LayerGroup[];
  /** What to gather of every activation. */
  readonly statistics: readonly Name[];
  /**
   * Bytes that the statistics of one sweep may take together; 256 MiB when absent. Groups of a block that do not fit are gathered in
   * another sweep over the samples; a single one may be larger. The result is the same, since every sweep runs the block as it was.
   */
  readonly memory?: number;
  /**
   * What to compute of each group before it is given: of the groups of a sweep as many at the same time as the host runs jobs. It edits nothing, and sees its layers as they were
   * before any other of the sweep was edited. The signal fires when another fails: nobody waits for the result then.
   */
  readonly compute?: (layers: LayerStatistics<Name>, signal: AbortSignal) => Promise<Computed>;
}

/** A group with its statistics, to be edited now. */
export interface CalibratedLayers<Name extends StatisticName, Computed = undefined> extends LayerStatistics<Name> {
  readonly computed: Computed;
}

export interface LayerStatistics<Name extends StatisticName> {
  readonly group: LayerGroup;
  /** Of the activation. Their buffers are the caller's: to give them to a job, name them in `transfer`. */
  readonly statistics: Readonly<Pick<Statistics, Name>>;
  /** Why they are of no use: the activation held NaN or infinities. Take the method without data, and put this in the note of the record. */
  readonly problem: string | undefined;
}

const SWEEP_BYTES = 256 * 2 ** 20;

/**
 * Runs the model over the samples and gives each group of layers, in order of the blocks, with what was gathered of its activation.
 * Edit its weights before asking for the next one: the blocks after it then see what the edited block computes.
 *
 * ```ts
 * const { matrices, skipped } = weightMatrices(model, ['matmul', 'gemm']);
 * const { groups, skipped: ungrouped } = layerGroups(model, matrices);
 * for await (const { group, statistics, problem } of calibrateLayers(model, { ...task, jobs, samples, groups, statistics: ['norms'] })) {
 *   if (problem !== undefined) continue; // a record with this note
 *   const weights = [];
 *   for (const { matrix } of group.layers) weights.push(await jobs.refer(matrix)); // nothing is read here
 *   const pruned = await jobs.run(wandaJob, { norms: statistics.norms, weights }, { signal }); // context.read(weight), context.spill(result)
 *   for (const [i, { weight, stored }] of group.layers.entries()) weight.tensor = stored(await jobs.tensor(pruned[i]!));
 * }
 * ```
 *
 * Throws what `calibrateBlocks` throws.
 */
export async function* calibrateLayers<Name extends StatisticName, Computed = undefined>(
  model: Model, { groups, statistics, memory = SWEEP_BYTES, compute = async () => undefined as Computed, ...options }: CalibrateLayersOptions<Name, Computed>,
): AsyncGenerator<CalibratedLayers<Name, Computed>, void, undefined> {
  for await (const { block, gather } of calibrateBlocks(model, options)) {
    const nodes = new Set<Node>(block.nodes);
    for (const sweep of sweeps(groups.filter(({ node }) => nodes.has(node)), statistics, memory)) {
      const gathered = await gather(sweep.flatMap(({ activation, patches }) => statistics.map((statistic) => ({ value: activation, statistic, patches }))));
      const layers = sweep.map((group) => statisticsFor(group, statistics, gathered));
      yield* await inLanes(layers, options.jobs.parallel, async (given, _, signal) => ({ ...given, computed: await compute(given, signal) }), options.signal);
    }
  }
}

function statisticsFor<Name extends StatisticName>(group: LayerGroup, statistics: readonly Name[], gathered: GatheredStatistics): LayerStatistics<Name> {
  const { activation } = group;
  const broken = gathered.broken(activation);
  const found = Object.fromEntries(statistics.map((name) => [name, gathered.statistic(activation, name)])) as unknown as Pick<Statistics, Name>;
  for (const name of statistics) assertChannels(group, name, found[name]);
  return { group, statistics: found, problem: broken === undefined ? undefined : `the activation ${activation} is not finite in sample ${broken}` };
}

/** A store may give anything. Throws `E_DATA`. */
function assertChannels<Name extends StatisticName>({ activation, channels }: LayerGroup, name: Name, statistic: Statistics[Name]): void {
  const found = statisticChannels[name]?.(statistic) ?? channels;
  if (found !== channels) throw new PenjingError('E_DATA', `the ${name} of ${activation} is of ${found} channels, its layers read ${channels}`, { hint: 'Delete the calibration cache.' });
}

/** As many groups at a time as fit, in their order. */
function sweeps(groups: readonly LayerGroup[], statistics: readonly StatisticName[], memory: number): LayerGroup[][] {
  const made: LayerGroup[][] = [];
  let left = 0;
  for (const group of groups) {
    const bytes = statistics.reduce((sum, name) => sum + (statisticBytes[name]?.(group.channels) ?? 0), 0);
    const last = made.at(-1);
    if (last && bytes <= left) last.push(group);
    else made.push([group]);
    left = (last && bytes <= left ? left : memory) - bytes;
  }
  return made;
}
