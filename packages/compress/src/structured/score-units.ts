/** How much each unit matters, and the weights that make up for those that go. */
import { cloneModel, type Feeds, type JobHost, lazy, type Model, modelGraphs, Names, type Node, type TaskOptions, type Tensor, type TensorReference, type Value } from '@penjing/core';
import { calibrateBlocks, orProblem } from '@penjing/core/calibrate';
import { addProbe, type Consumer, consumersOf, layerKey } from './consumers.js';
import type { UnitGroup } from './dimensions.js';
import { type GateModel, taylorScores } from './taylor.js';
import { compensateJob, type Compensated, scoreJob, type ScoreInput, type ScoreOutput, type UnitStatistic } from './unit-job.js';

export interface UnitTools {
  readonly jobs: JobHost;
  /** Can be read again and again. */
  readonly samples: AsyncIterable<Feeds> | Iterable<Feeds> | undefined;
  readonly task: TaskOptions;
}

export type UnitMethod = 'norm' | 'activation' | 'obs' | 'taylor';

export interface Scored {
  /** One per unit: each weight's votes add up to the number of units. */
  readonly scores: Float64Array;
  readonly notes: readonly string[];
}

/** XᵀX of what reaches a layer, put aside, by `layerKey`. */
export type GramShelf = Map<string, TensorReference>;

export interface ScoreOptions {
  readonly method: UnitMethod;
  /** How many units of a group will go. */
  readonly count: (group: UnitGroup) => number;
  /** Of `taylor`. */
  readonly gateModel?: GateModel | undefined;
  /** Where XᵀX of the layers is put when they will be fitted: one walk over the samples is enough for both. */
  readonly grams: GramShelf | undefined;
}

/** Scores of every group, in order. */
export async function scoreUnits(model: Model, groups: readonly UnitGroup[], { method, count, grams, gateModel }: ScoreOptions, tools: UnitTools): Promise<Scored[]> {
  const scored = groups.map((group) => ({ scores: new Float64Array(group.units.length), notes: [] as string[] }));
  const missing = new Set(groups.keys());
  if (method === 'taylor') {
    for (const [g, votes] of (await taylorScores(model, groups, gateModel!, tools)).entries()) {
      if (!votes) continue;
      addVotes(scored[g]!.scores, votes);
      missing.delete(g);
    }
  } else if (method !== 'norm') {
    const statistic = method === 'obs' || grams ? 'gram' : 'norms';
    const readers = groups.map(consumersOf);
    const voters = readers.flatMap((consumers, g) => consumers.map((consumer) => ({ g, consumer })));
    await withStatistics(model, voters.map(({ consumer }) => consumer), statistic, tools, async (i, found) => {
      const { g, consumer } = voters[i]!;
      // the votes of several readers are about units on their own
      const remove = readers[g]!.length === 1 ? count(groups[g]!) : 0;
      const detail: Omit<ScoreInput, 'matrix' | 'units'> = { statistic: found as UnitStatistic, weigh: method === 'obs' ? { by: 'rest', remove } : { by: 'diagonal' }, keep: grams !== undefined };
      const votes = typeof found === 'string' ? found : await orProblem(vote(groups[g]!, consumer, detail, tools));
      if (typeof votes === 'string') {
        scored[g]!.notes.push(`${consumer.weight.name}: ${votes}`);
        return;
      }
      addVotes(scored[g]!.scores, votes.scores);
      missing.delete(g);
      if (votes.sums) grams?.set(layerKey(consumer), votes.sums);
    });
  }
  for (const g of missing) {
    if (method !== 'norm') scored[g]!.notes.push('chosen by norm');
    for (const { tensor, units } of weightsOf(groups[g]!)) {
      const reference = await tools.jobs.refer(lazy.cast(tensor, 'float32'));
      const votes = await orProblem(tools.jobs.run(scoreJob, { matrix: reference, units }, signalOf(tools)));
      if (typeof votes === 'string') scored[g]!.notes.push(votes);
      else addVotes(scored[g]!.scores, votes.scores);
    }
  }
  return scored;
}

/** Every weight of two dimensions or more, rows along the units. */
function weightsOf(group: UnitGroup): { tensor: Tensor; units: Uint32Array[] }[] {
  return group.units[0]!.parts.flatMap(({ value, axis }) => {
    if (!value.tensor || value.tensor.shape.length < 2) return [];
    const units = group.units.map(({ parts }) => Uint32Array.from(parts.find((other) => other.value === value && other.axis === axis)?.indices ?? []));
    return [{ tensor: rowsAlong(value.tensor, axis), units }];
  });
}

function rowsAlong(tensor: Tensor, axis: number): Tensor {
  const { shape } = tensor;
  const front = axis === 0 ? tensor : lazy.transpose(tensor, [axis, ...shape.map((_, i) => i).filter((i) => i !== axis)]);
  return lazy.reshape(front, [shape[axis]!, shape.reduce((product, size) => product * size, 1) / shape[axis]!]);
}

async function vote(group: UnitGroup, consumer: Consumer, detail: Omit<ScoreInput, 'matrix' | 'units'>, { jobs, ...tools }: UnitTools): Promise<ScoreOutput> {
  const units = group.units.map((unit) => featuresOf(unit.parts, consumer));
  return jobs.run(scoreJob, { matrix: await jobs.refer(lazy.cast(consumer.matrix, 'float32')), units, ...detail }, signalOf(tools));
}

/** Features of a consumer that belong to a unit. */
export function featuresOf(parts: UnitGroup['units'][number]['parts'], { weight, axis, each }: Consumer): Uint32Array {
  const indices = parts.find((part) => part.value === weight && part.axis === axis)?.indices ?? [];
  return Uint32Array.from(indices.flatMap((index) => Array.from({ length: each }, (_, k) => index * each + k)));
}

function addVotes(scores: Float64Array, votes: Float64Array): void {
  const mean = votes.reduce((sum, value) => sum + value, 0) / votes.length;
  if (mean > 0) votes.forEach((value, i) => (scores[i]! += value / mean));
}

/** A layer, and which of its inputs go. */
export interface FittedLayer {
  readonly consumer: Consumer;
  readonly removed: Uint32Array;
  readonly kept: Uint32Array;
}

/** The layers as least squares leave them without these units, by consumer; a text where they stay as they are. Runs the model for those whose XᵀX is not there. */
export async function compensate(model: Model, layers: readonly FittedLayer[], grams: GramShelf, { jobs, ...tools }: UnitTools): Promise<(Compensated | string)[]> {
  const results = new Map<FittedLayer, Compensated | string>();
  const fit = async (layer: FittedLayer, sums: Float32Array | TensorReference): Promise<void> => {
    const { consumer, removed, kept } = layer;
    const matrix = await jobs.refer(lazy.cast(consumer.matrix, 'float32'));
    results.set(layer, await orProblem(jobs.run(compensateJob, { matrix, sums, removed, kept }, signalOf(tools))));
  };
  for (const layer of layers) {
    const sums = grams.get(layerKey(layer.consumer));
    if (sums) await fit(layer, sums);
  }
  const rest = layers.filter((layer) => !results.has(layer));
  if (rest.length > 0) {
    await withStatistics(model, rest.map(({ consumer }) => consumer), 'gram', { jobs, ...tools }, async (i, found) => {
      if (typeof found === 'string') results.set(rest[i]!, found);
      else if (found.kind === 'gram') await fit(rest[i]!, found.sums);
    });
  }
  return layers.map((layer) => results.get(layer) ?? 'no block of the model computes with it');
}

/** Runs a copy of the model over the samples; gives what reaches each layer, or why that is not known. */
async function withStatistics(model: Model, consumers: readonly Consumer[], statistic: 'norms' | 'gram', { jobs, samples, task }: UnitTools, use: (index: number, found: UnitStatistic | string) => Promise<void>): Promise<void> {
  const copy = cloneModel(model);
  const names = new Names(modelGraphs(copy));
  const nodes = new Map<string, Node>([...copy.graph.nodes()].map((node) => [node.output().name, node]));
  const probes = new Map<string, number[]>();
  for (const [i, consumer] of consumers.entries()) {
    const probe = addProbe(copy, nodes, consumer, names);
    if (probe === undefined) await use(i, 'it is not seen: it stands in a subgraph, or its kernels are too large');
    else probes.set(probe, [...(probes.get(probe) ?? []), i]);
  }
  const done = new Set<string>();
  for await (const { block, gather } of calibrateBlocks(copy, { ...task, jobs, samples: samples! })) {
    const seen = new Set<Value | null>(block.nodes.flatMap((node) => [...node.inputs, ...node.outputs]));
    for (const value of seen) {
      if (!value || !probes.has(value.name) || done.has(value.name)) continue;
      done.add(value.name);
      const gathered = await gather([{ value: value.name, statistic }]);
      const broken = gathered.broken(value.name);
      for (const i of probes.get(value.name)!) {
        if (broken !== undefined) await use(i, `what it reads is not finite in sample ${broken}`);
        else if (statistic === 'norms') await use(i, { kind: 'norms', squares: gathered.statistic(value.name, 'norms').squares });
        else await use(i, { kind: 'gram', sums: gathered.statistic(value.name, 'gram').sums.slice() });
      }
    }
  }
}

function signalOf({ task: { signal } }: Pick<UnitTools, 'task'>): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}
