/** Cuts a model for tensor parallelism. */
import { type Model, modelGraphs, Names, PenjingError } from '@penjing/core';
import { buildSegments } from './build-segments.js';
import { chooseCuts, type ChosenCut } from './choose-cuts.js';
import type { ExpertSharding } from '../plan/plan.js';
import { AxisNames } from './components.js';
import { type GraphFacts, graphFacts } from './graph-facts.js';
import { NodePlacer } from './place-nodes.js';
import { openMixtures } from './open-mixtures.js';
import { routerNodes } from './routers.js';
import type { ShardedLayer, ShardedModel, ShardedPort } from './sharded-model.js';
import { type WholeExperts, wholeExperts } from './whole-experts.js';

export interface ShardOptions {
  readonly shards: number;
  /** `sliced` when absent. */
  readonly experts?: ExpertSharding;
  /** Bytes of weights that a shard must be spared for each value that then crosses between shards; 64 KiB when absent. */
  readonly threshold?: number;
}

/** What one exchange costs in time, reading this many bytes of weights costs too: tens of microseconds. */
const THRESHOLD = 2 ** 16;

/**
 * The model in shards. Weights are slices that read nothing until they are saved or loaded; the model is not changed. Operators
 * without a rule run on every shard. Throws `E_UNSUPPORTED` for a model that draws random numbers, for whole experts of an operator that cannot be taken apart, and for `only` experts where no mixture has
 * one for each shard.
 */
export function shardModel(model: Model, options: ShardOptions): ShardedModel {
  const cuts = cutsOf(model, options);
  const { facts, axes, owners, chosen } = cuts;
  const placed = new NodePlacer(facts, new Names(modelGraphs(facts.model)), axes, chosen, owners).place();
  const port = ({ of, value, cut }: (typeof placed.inputs)[number]): ShardedPort => ({ name: of.name, type: of.type ?? { kind: 'tensor' }, value: value.name, ...(cut && { cut }) });
  return {
    shards: options.shards,
    inputs: placed.inputs.map(port),
    outputs: placed.outputs.map(port),
    ...buildSegments(facts, placed),
    layers: layersOf(cuts),
  };
}

/** By shard: bytes of weights that it is spared, without a model of it being made. Throws what `shardModel` throws. */
export function sparedBytes(model: Model, options: ShardOptions): number[] {
  const cuts = cutsOf(model, options);
  const all = layersOf(cuts).reduce((sum, { bytes }) => sum + bytes, 0);
  return Array.from({ length: options.shards }, (_, shard) => {
    const held = cuts.chosen.reduce((sum, { layout, weights }) => sum + (bytesOf(weights) / layout.units) * layout.share(shard).of(layout.units), 0);
    return all - held - (cuts.owners.held[shard] ?? 0);
  });
}

interface Cuts {
  readonly facts: GraphFacts;
  readonly axes: AxisNames;
  readonly owners: WholeExperts;
  readonly chosen: readonly ChosenCut[];
}

function cutsOf(model: Model, { shards, experts = 'sliced', threshold = THRESHOLD }: ShardOptions): Cuts {
  if (!Number.isInteger(shards) || shards < 1) throw new PenjingError('E_INPUT', `a model is cut into a whole number of shards, not ${shards}`);
  const apart = experts !== 'sliced' && shards > 1;
  const facts = graphFacts(apart ? openMixtures(model) : model, shards);
  const axes = new AxisNames();
  const owners = apart ? wholeExperts(facts) : { nodes: new Map(), links: new Map(), layers: [], held: [], counts: [] };
  if (experts === 'only') refuseFewer(owners, shards);
  const chosen = shards > 1 && experts !== 'only' ? chooseCuts(facts, axes, { threshold, taken: new Set([...owners.nodes.keys(), ...owners.links.keys(), ...routerNodes(facts)]) }) : [];
  return { facts, axes, owners, chosen };
}

const bytesOf = (weights: ChosenCut['weights']): number => weights.reduce((sum, { bytes }) => sum + bytes, 0);

function layersOf({ chosen, owners }: Cuts): ShardedLayer[] {
  return [...chosen.map(({ weights, collectives }) => ({ weights: weights.map(({ name }) => name), bytes: bytesOf(weights), collectives })), ...owners.layers];
}

function refuseFewer({ layers, counts }: WholeExperts, shards: number): void {
  if (layers.length > 0 || shards === 1) return;
  const most = Math.max(0, ...counts);
  throw new PenjingError('E_UNSUPPORTED', most === 0 ? 'the model has no mixture of experts' : `${most} experts cannot be given out to ${shards} shards`, { hint: 'Leave `experts` out: matrices are then cut, those of experts too.' });
}
