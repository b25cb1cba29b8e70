/** Ways to cut a model into shards: its matrices, its experts by number, or both. */
import type { Model } from '@penjing/core';
import type { ExpertSharding } from '../plan/plan.js';
import { shardModel } from '../tensor/shard-model.js';
import { countExperts } from '../tensor/whole-experts.js';
import type { Candidate, CandidateOptions } from './candidates.js';
import { reasonOf } from './reason-of.js';

/** Two things cut are less simple than one. */
const ways: Readonly<Record<ExpertSharding, { readonly name: (count: number) => string; readonly complexity: number }>> = {
  sliced: { name: (count) => `tensor ${count}`, complexity: 3 },
  whole: { name: (count) => `tensor ${count} with whole experts`, complexity: 3.1 },
  only: { name: (count) => `expert ${count}`, complexity: 3 },
};

/** Those of experts for models that have such alone. */
export function* shardings(options: CandidateOptions, devices: readonly string[]): Generator<Candidate, void, undefined> {
  yield sharding(options, devices, 'sliced');
  if (expertsOf(options.book.model) === 0) return;
  yield sharding(options, devices, 'whole');
  yield sharding(options, devices, 'only');
}

function sharding({ place, force, book }: CandidateOptions, devices: readonly string[], experts: ExpertSharding): Candidate {
  const made = { ...ways[experts], name: ways[experts].name(devices.length) };
  const hosts = new Set(devices.map((device) => place.hostOf(device)));
  if (hosts.size > 1 && !force) return { ...made, refused: `two sums per layer would cross from ${[...hosts].slice(0, 2).join(' to ')}: shards stay inside a host unless forced` };
  const uneven = new Set(devices.map((device) => place.device(device).flops)).size > 1;
  if (uneven && !force) return { ...made, refused: 'shards wait for each other, and these devices are not equally fast' };
  const refused = whyWhole(book.model, devices.length, experts);
  return refused === undefined ? { ...made, layout: { kind: 'tensor', devices, ...(experts !== 'sliced' && { experts }) } } : { ...made, refused };
}

/** Why a model is not cut into shards, undefined when it is; for large groups as for the largest that is worth working out. */
function whyWhole(model: Model, count: number, experts: ExpertSharding): string | undefined {
  const most = expertsOf(model);
  if (experts !== 'sliced' && count > most) return `${most} experts cannot be given out to ${count} devices`;
  const shards = Math.min(count, MOST_SHARDS_TRIED);
  const known = obstacles.get(model) ?? new Map<string, string | undefined>();
  obstacles.set(model, known);
  const key = `${shards} ${experts}`;
  if (!known.has(key)) known.set(key, findObstacle(model, shards, experts));
  return known.get(key);
}

function findObstacle(model: Model, shards: number, experts: ExpertSharding): string | undefined {
  try {
    return shardModel(model, { shards, experts }).layers.length > 0 ? undefined : 'no weights are worth a sum over the shards';
  } catch (error) {
    return reasonOf(error);
  }
}

const MOST_SHARDS_TRIED = 8;
const obstacles = new WeakMap<Model, Map<string, string | undefined>>();

/** Of the largest mixture; none where its operator cannot be taken apart either. */
export function expertsOf(model: Model): number {
  const known = mixtures.get(model) ?? mostExperts(model);
  mixtures.set(model, known);
  return known;
}

function mostExperts(model: Model): number {
  try {
    return Math.max(0, ...countExperts(model));
  } catch (error) {
    reasonOf(error);
    return 0;
  }
}

const mixtures = new WeakMap<Model, number>();
