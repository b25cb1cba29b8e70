/** Structured pruning: heads, channels and features go, and everything that reads them is cut to fit. */
import { allGraphs, type Model, type Pass, PenjingError, type Tensor, type Value, type WeightRecord } from '@penjing/core';
import { keepSamples } from '@penjing/core/calibrate';
import { removeDead } from '@penjing/core/rewrite';
import { type Consumer, consumersOf, layerKey } from './consumers.js';
import { cut, Kept } from './cut.js';
import type { Unit, UnitGroup, UnitKind } from './dimensions.js';
import { dropLayers } from './drop-layers.js';
import { planUnits } from './plan-units.js';
import { compensate, featuresOf, type GramShelf, type Scored, scoreUnits, type UnitMethod, type UnitTools } from './score-units.js';
import type { GateModel } from './taylor.js';

export interface StructuredPruneOptions {
  /**
   * `heads`: attention heads, with the key and value head they share. `ffn`: what lies inside of feed-forward parts. `channels`: filters of convolutions. `hidden`: the features that go from part to part of a
   * transformer, in all of its layers, embeddings, norms and heads at once; norms then look at what is left, so the model has to be trained again. `layers`: whole residual blocks.
   */
  readonly structure: UnitKind | 'layers';
  /** Share of the units of each dimension that go. */
  readonly ratio?: number;
  /** Instead: how many stay of the dimensions that have as many as most do; of `heads`, those of queries. */
  readonly size?: number;
  /** `norm`: the smallest weights. `activation`: what adds least to the layer that reads it. `obs`: what the other inputs of that layer can best make up for. `taylor`: what changes the loss least, by `gateModel`. `norm` when absent; layers know only their own. */
  readonly method?: UnitMethod;
  /** Fits the weights that remain in the reading layers to what these computed, by least squares. True for `obs` when absent, false otherwise. */
  readonly update?: boolean;
  /** Of `taylor`: the gradients, which this package does not make. */
  readonly gateModel?: GateModel;
  /** Dimensions to leave alone, by the name of a weight: exact names, or patterns. */
  readonly exclude?: readonly (string | RegExp)[];
}

/**
 * An eager pass. Units are chosen dimension by dimension, as many of each, so that layers keep one shape and config.json holds.
 * `activation`, `obs`, `update` and `layers` run the model over `context.samples`. Throws `E_OPTION` for contradicting options,
 * `E_ENGINE` without a host for jobs, `E_DATA` without samples, `E_NOTHING_TO_DO` with the reasons when no dimension can shrink.
 */
export function structuredPrune(options: StructuredPruneOptions): Pass {
  const { structure, ratio, size, method = 'norm', update = method === 'obs', exclude = [], gateModel } = options;
  if (method === 'taylor' && !gateModel) throw new PenjingError('E_OPTION', 'taylor needs a model of gradients: `gateModel`');
  if ((ratio === undefined) === (size === undefined)) throw new PenjingError('E_OPTION', 'either a ratio or a size says what stays');
  if (ratio !== undefined && !(ratio > 0 && ratio < 1)) throw new PenjingError('E_OPTION', `a ratio of ${ratio}: more than 0 and less than 1 is possible`);
  if (size !== undefined && !(Number.isInteger(size) && size >= 1)) throw new PenjingError('E_OPTION', `a size of ${size}: a whole number of at least 1 is possible`);
  if (structure === 'hidden' && update) throw new PenjingError('E_OPTION', 'hidden features are not made up for by what remains: every part of the model reads them', { hint: 'Choose --method norm, activation or taylor without --update, and train the result.' });
  if (structure === 'layers') {
    if (ratio === undefined) throw new PenjingError('E_OPTION', 'a size says nothing of layers', { hint: 'Give a ratio.' });
    if (options.method !== undefined || options.update) throw new PenjingError('E_OPTION', 'layers are chosen by how little they change what passes through them', { hint: 'Leave out --method and --update.' });
    return dropLayers({ ratio });
  }
  const name = `${structure} ${method} ${ratio ?? `to ${size}`}${update ? ' with update' : ''}`;
  return {
    name: `prune ${name}`,
    async run(model, { samples, jobs, ...task }) {
      if (!jobs) throw new PenjingError('E_ENGINE', 'structured pruning needs a host for jobs', { hint: 'Give `ortJobs()` of @penjing/runtime as `jobs`.' });
      const calibrated = method !== 'norm' || update;
      if (calibrated && !samples) throw new PenjingError('E_DATA', `${method}${update ? ' with update' : ''} needs samples of what the model will read`, { hint: 'Give --data FILE, or choose --method norm.' });
      const { groups: found, locked, ints } = await planUnits(model);
      const excluded = ({ name: weight }: UnitGroup): boolean => exclude.some((rule) => (typeof rule === 'string' ? rule === weight : weight.search(rule) !== -1));
      const candidates = mainGroups(structure, found.filter((group) => group.kind === structure && !excluded(group)), size !== undefined);
      const removedOf = (group: UnitGroup): number => (size === undefined ? Math.min(group.units.length - 1, Math.round(ratio! * group.units.length)) : group.units.length - unitsFor(size, group));
      const groups = candidates.filter((group) => removedOf(group) > 0);
      if (groups.length === 0) throw nothingToDo(structure, locked);
      await using shelved = samples && calibrated ? await keepSamples(jobs, samples, task) : undefined;
      const tools: UnitTools = { jobs, task, samples: shelved?.samples };
      const grams: GramShelf = new Map();
      const scored = await scoreUnits(model, groups, { method, count: removedOf, grams: update ? grams : undefined, gateModel }, tools);
      const chosen = groups.map((group, g) => choose(group, scored[g]!, removedOf(group)));
      const kept = new Kept(chosen.flatMap(({ removed }) => removed));
      const notes = new Map<Value, string[]>();
      const objectives = new Map<Value, number>();
      const replaced = update ? await fitted(model, chosen, grams, tools, { notes, objectives }) : new Map<Value, { axis: number; tensor: Tensor }>();
      for (const [g, group] of groups.entries()) for (const note of scored[g]!.notes) addTo(notes, firstWeight(group), note);
      const before = new Map(weights(model).map((value) => [value, value.tensor!]));
      const sizes = sizesOf(structure, groups, removedOf);
      const counts = groups.map((group) => group.units.length - removedOf(group));
      cut(model, kept, ints, replaced);
      removeDead(model);
      model.origin = undefined;
      const records = weights(model).flatMap((value): WeightRecord[] => {
        const old = before.get(value);
        if (!old || old === value.tensor) return [];
        const objective = objectives.get(value);
        const note = notes.get(value)?.join('; ');
        return [{
          name: value.name, method: name, elements: old.shape.reduce((product, size) => product * size, 1), bytesBefore: old.byteLength, bytesAfter: value.tensor!.byteLength,
          ...(objective !== undefined && { objective }), ...(note !== undefined && { note }),
        }];
      });
      return { model, modified: true, records, warnings: uneven(structure, counts), sizes };
    },
  };
}

function nothingToDo(structure: string, locked: readonly { readonly name: string; readonly reason: string }[]): PenjingError {
  const reasons = [...new Set(locked.map(({ name, reason }) => `${name}: ${reason}`))].slice(0, 5).join('; ');
  return new PenjingError('E_NOTHING_TO_DO', `no ${structure} of this model can be removed${reasons === '' ? '' : `: ${reasons}`}`, { hint: 'Choose another --structure, a larger --ratio, or simplify the model first: sizes that are computed become constants.' });
}

/** The config of a model has one number for all layers. */
function uneven(structure: string, counts: readonly number[]): string[] {
  if (structure === 'channels' || new Set(counts).size <= 1) return [];
  return [`layers differ in their number of ${structure}: config.json cannot say so`];
}

/** Of the dimensions that have as many units as most do: others, of a pooler for example, have no field of their own. */
function sizesOf(structure: UnitKind, groups: readonly UnitGroup[], removedOf: (group: UnitGroup) => number): Readonly<Record<string, { before: number; after: number }>> {
  const before = commonCount(groups);
  const like = groups.filter(({ units }) => units.length === before);
  if (structure === 'channels' || !like[0] || 2 * like.length <= groups.length) return {};
  return { [structure]: { before, after: before - removedOf(like[0]) } };
}

/** How many units most groups have; of two counts that are as common the larger. */
function commonCount(groups: readonly UnitGroup[]): number {
  const counts = new Map<number, number>();
  for (const { units } of groups) counts.set(units.length, (counts.get(units.length) ?? 0) + 1);
  return Math.max(0, ...[...counts].sort(([a, i], [b, j]) => j - i || b - a).slice(0, 1).map(([count]) => count));
}

/** Hidden features are those that most of the model reads; those of a narrower embedding, or of the norm of a head, have a size of their own. */
function mainGroups(structure: UnitKind, groups: readonly UnitGroup[], sized: boolean): readonly UnitGroup[] {
  const largest = groups.reduce<UnitGroup | undefined>((best, group) => (best && best.units[0]!.parts.length >= group.units[0]!.parts.length ? best : group), undefined);
  const count = structure === 'hidden' ? largest?.units.length : sized ? commonCount(groups) : undefined;
  return count === undefined ? groups : groups.filter(({ units }) => units.length === count);
}

/** Units that stay when `size` of what they count stay. Throws `E_OPTION` for more than there are, and for heads that share keys with others that would go. */
function unitsFor(size: number, group: UnitGroup): number {
  const each = group.kind === 'heads' ? queriesOf(group) / group.units.length : 1;
  const all = each * group.units.length;
  if (size > all || !Number.isInteger(size / each)) {
    throw new PenjingError('E_OPTION', `${size} of ${all} ${group.kind} of ${group.name} cannot stay`, { hint: each === 1 ? `At most ${all} are possible.` : `They go ${each} at a time, with the keys and values that they share: a multiple of ${each} up to ${all} is possible.` });
  }
  return size / each;
}

/** Query heads, where an operator counts them. */
function queriesOf({ units }: UnitGroup): number {
  for (const { value } of units[0]!.parts) {
    for (const { node, index } of value.uses()) {
      const heads = index === 0 ? (node.int('q_num_heads', 0) || node.int('num_heads', 0)) : 0;
      if (heads > 0 && heads % units.length === 0) return heads;
    }
  }
  return units.length;
}

interface Chosen {
  readonly group: UnitGroup;
  readonly removed: readonly Unit[];
  readonly kept: readonly Unit[];
}

/** The lowest scores. */
function choose(group: UnitGroup, { scores }: Scored, count: number): Chosen {
  const { units } = group;
  const order = units.map((_, i) => i).sort((i, j) => scores[i]! - scores[j]! || i - j);
  const gone = new Set(order.slice(0, count));
  return { group, removed: units.filter((_, i) => gone.has(i)), kept: units.filter((_, i) => !gone.has(i)) };
}

interface Said {
  readonly notes: Map<Value, string[]>;
  readonly objectives: Map<Value, number>;
}

/** New weights of the layers that read what goes, cut along their inputs. */
async function fitted(model: Model, chosen: readonly Chosen[], grams: GramShelf, tools: UnitTools, { notes, objectives }: Said): Promise<Map<Value, { axis: number; tensor: Tensor }>> {
  // two dimensions may join before one layer: it is fitted once, without what both lose
  const readers = new Map<string, { consumer: Consumer; gone: Set<number> }>();
  for (const { group, removed } of chosen) {
    for (const consumer of consumersOf(group)) {
      const key = layerKey(consumer);
      const reader = readers.get(key) ?? { consumer, gone: new Set<number>() };
      readers.set(key, reader);
      for (const feature of join(removed, consumer)) reader.gone.add(feature);
    }
  }
  const layers = [...readers.values()].map(({ consumer, gone }) => {
    const all = (consumer.weight.tensor!.shape[consumer.axis] ?? 0) * consumer.each;
    return { consumer, removed: Uint32Array.from(gone).sort(), kept: Uint32Array.from({ length: all }, (_, i) => i).filter((i) => !gone.has(i)) };
  });
  const results = await compensate(model, layers, grams, tools);
  const made = new Map<Value, { axis: number; tensor: Tensor }>();
  for (const [i, { consumer, kept }] of layers.entries()) {
    const result = results[i]!;
    const { weight, axis, each, stored } = consumer;
    if (typeof result === 'string') addTo(notes, weight, `not updated: ${result}`);
    else if (made.has(weight)) addTo(notes, weight, 'updated for one of its readers');
    else {
      made.set(weight, { axis, tensor: stored(await tools.jobs.tensor(result.weights), kept.length / each) });
      objectives.set(weight, result.objective);
      addTo(notes, weight, `${(100 * (1 - result.objective / Math.max(result.plain, 1e-300))).toFixed(1)} % of the error of its outputs made up for`);
    }
  }
  return made;
}

function join(units: readonly Unit[], consumer: Consumer): Uint32Array {
  return Uint32Array.from(units.flatMap(({ parts }) => [...featuresOf(parts, consumer)])).sort();
}

function addTo(notes: Map<Value, string[]>, value: Value, note: string): void {
  notes.set(value, [...(notes.get(value) ?? []), note]);
}

function firstWeight({ units }: UnitGroup): Value {
  return units[0]!.parts.find(({ value }) => value.tensor !== undefined && value.tensor.shape.length >= 2)!.value;
}

function weights(model: Model): Value[] {
  return [...allGraphs(model.graph)].flatMap((graph) => [...graph.initializers.values()]).filter(({ tensor }) => tensor !== undefined && tensor.shape.length >= 1 && tensor.dtype !== 'int64' && tensor.dtype !== 'int32');
}
