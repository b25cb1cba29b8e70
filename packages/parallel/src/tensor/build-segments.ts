/** Cuts what shards run into segments between collectives, and makes a model of each. */
import {
  type AttributeInput, type Attribute, attribute, byteSize, cloneGraph, cloneModel, DenseTensor, denseOf, type Dim, elementCount, Graph, Model, Names, modelGraphs, Node, PenjingError, Value,
} from '@penjing/core';
import { removeDead } from '@penjing/core/rewrite';
import type { GraphFacts } from './graph-facts.js';
import type { LocalCollective, LocalStep, LocalValue, SegmentTarget } from './local-graph.js';
import type { PlacedGraph } from './place-nodes.js';
import type { TensorStep } from './sharded-model.js';

export interface BuiltSegments {
  readonly program: readonly TensorStep[];
  readonly segments: readonly (readonly Model[])[];
}

export function buildSegments(facts: GraphFacts, placed: PlacedGraph): BuiltSegments {
  const { collectives, needs } = findNeeded(facts.shards, placed);
  const levels = 1 + Math.max(0, ...placed.steps.map(({ level }) => level), ...collectives.map(({ collective }) => collective.from.level + 1));
  const drafts = Array.from({ length: facts.shards }, (_, shard) => Array.from({ length: levels }, (_, level) => draftSegment(facts, placed.steps.filter((step) => !step.floating && step.level === level && needs[shard]!.has(step)), shard)));

  const program: TensorStep[] = [];
  const used: number[] = [];
  for (let level = 0; level < levels; level++) {
    if (drafts.some((shard) => shard[level]!.made.size > 0)) {
      program.push({ kind: 'run', segment: used.length });
      used.push(level);
    }
    const here = collectives.filter(({ collective }) => collective.from.level === level);
    const sums = here.filter(({ collective }) => collective.kind === 'reduce').map(trafficOf);
    const joins = here.filter(({ collective }) => collective.kind === 'gather').map((found) => ({ ...trafficOf(found), cut: found.collective.cut! }));
    if (sums.length > 0) program.push({ kind: 'reduce', values: sums });
    if (joins.length > 0) program.push({ kind: 'gather', values: joins });
  }

  const given = [...placed.outputs.map(({ value }) => value), ...collectives.map(({ collective }) => collective.from)].map(({ name }) => name);
  const segments = drafts.map((shard) => {
    const wanted = new Set([...given, ...shard.flatMap(({ inputs }) => [...inputs.keys()])]);
    return used.map((level) => finishSegment(facts.model, shard[level]!, wanted));
  });
  return { program, segments };
}

interface NeededCollective {
  readonly to: LocalValue;
  readonly collective: LocalCollective;
}

function trafficOf({ to, collective: { from, shape } }: NeededCollective): { from: string; to: string; dtype: NonNullable<LocalValue['dtype']>; shape: readonly Dim[] | undefined } {
  if (!to.dtype) throw new PenjingError('E_UNSUPPORTED', `the type of ${to.name} is not known, so shards cannot exchange it`);
  return { from: from.name, to: to.name, dtype: to.dtype, shape };
}

/** Collectives that some shard needs, which all must take part in, and the steps that each shard needs. */
function findNeeded(shards: number, { outputs }: PlacedGraph): { collectives: NeededCollective[]; needs: readonly ReadonlySet<LocalStep>[] } {
  const collectives = new Map<LocalCollective, NeededCollective>();
  const needs = Array.from({ length: shards }, () => new Set<LocalStep>());
  const pending: LocalValue[] = outputs.map(({ value }) => value);
  for (let root = pending.pop(); root; root = pending.pop()) {
    for (const own of needs) {
      const open = [root];
      for (let value = open.pop(); value; value = open.pop()) {
        const { collective, step } = value;
        if (collective && !collectives.has(collective)) {
          collectives.set(collective, { to: value, collective });
          pending.push(collective.from);
        }
        if (!step || own.has(step)) continue;
        if (step.only !== undefined && needs[step.only] !== own) continue;
        own.add(step);
        open.push(...step.inputs);
      }
    }
  }
  return { collectives: [...collectives.values()], needs };
}

/** A segment whose outputs are not known yet. */
interface Draft {
  readonly graph: Graph;
  /** Values of earlier steps, by name. */
  readonly inputs: ReadonlyMap<string, Value>;
  /** Values that its own steps make, by name. */
  readonly made: ReadonlyMap<string, Value>;
}

function draftSegment(facts: GraphFacts, steps: readonly LocalStep[], shard: number): Draft {
  const graph = new Graph(facts.model.graph.name);
  const names = new Names(modelGraphs(facts.model));
  const inputs = new Map<string, Value>();
  const made = new Map<string, Value>();
  const values = new Map<LocalValue, Value>();
  const built = new Set<LocalStep>();

  const run = (step: LocalStep): void => {
    built.add(step);
    const results = step.build(target);
    step.outputs.forEach((local, i) => {
      const value = results[i];
      if (!value || local.name === '') return;
      value.name = local.name;
      if (local.dtype) value.type = { kind: 'tensor', dtype: local.dtype };
      values.set(local, value);
      if (!step.floating) made.set(local.name, value);
    });
  };
  const target: SegmentTarget = {
    shard,
    value(local) {
      let value = values.get(local);
      if (value) return value;
      if (local.tensors) {
        const tensor = Array.isArray(local.tensors) ? (local.tensors as readonly DenseTensor[])[shard]! : (local.tensors as DenseTensor);
        value = graph.addInitializer(local.name, tensor);
      } else if (local.step?.floating) {
        run(local.step);
        return values.get(local)!;
      } else {
        value = new Value(local.name, { kind: 'tensor', ...(local.dtype && { dtype: local.dtype }), ...(local.rank !== undefined && { shape: new Array<Dim>(local.rank).fill(null) }) });
        inputs.set(local.name, value);
      }
      values.set(local, value);
      return value;
    },
    op(opType, from, attributes = {}, domain = '') {
      const name = names.claim(`${opType}/tensor`);
      const node = new Node(opType, from.map((value) => value ?? null), [new Value(name)], { domain, name, attributes: attributesOf(attributes) });
      return graph.append(node).output();
    },
    constant: (dtype, numbers) => {
      const list = typeof numbers === 'number' ? [numbers] : numbers;
      const shape = typeof numbers === 'number' ? [] : [numbers.length];
      const tensor = list.every((number) => number === 0) ? new DenseTensor(dtype, shape, new Uint8Array(byteSize(dtype, elementCount(shape)))) : denseOf(dtype, shape, list);
      return graph.addInitializer(names.claim('constant/tensor'), tensor);
    },
    copy(node, from, changes = {}, captured = new Map()) {
      const attributes = new Map<string, Attribute>();
      for (const [name, value] of node.attributes) attributes.set(name, withOuter(value, captured));
      for (const [name, value] of Object.entries(changes)) {
        const [made] = value === undefined ? [] : attributesOf({ [name]: value });
        if (made) attributes.set(name, made[1]);
        else attributes.delete(name);
      }
      const copy = new Node(node.opType, from, node.outputs.map(({ name }) => new Value(name === '' ? '' : names.claim(`${name}/tensor`))), { domain: node.domain, overload: node.overload, name: node.name, attributes });
      return graph.append(copy).outputs;
    },
  };
  for (const step of steps) run(step);
  return { graph, inputs, made };
}

function withOuter(value: Attribute, captured: ReadonlyMap<Value, Value>): Attribute {
  if (value.kind === 'graph') return { ...value, value: cloneGraph(value.value, new Map(captured)) };
  return value.kind === 'graphs' ? { ...value, value: value.value.map((graph) => cloneGraph(graph, new Map(captured))) } : value;
}

function attributesOf(inputs: Readonly<Record<string, AttributeInput>>): [string, Attribute][] {
  return Object.entries(inputs).map(([name, input]) => {
    if (typeof input === 'number' || typeof input === 'bigint') return [name, attribute.int(input)];
    if (typeof input === 'string') return [name, attribute.string(input)];
    return [name, Array.isArray(input) ? attribute.ints(input as number[]) : (input as Attribute)];
  });
}

function finishSegment(original: Model, { graph, inputs, made }: Draft, wanted: ReadonlySet<string>): Model {
  const model = new Model(graph);
  model.irVersion = original.irVersion;
  model.producerVersion = original.producerVersion;
  for (const [domain, version] of original.opsetImports) model.opsetImports.set(domain, version);
  graph.inputs.push(...inputs.values());
  for (const [name, value] of made) if (wanted.has(name)) graph.outputs.push(value);
  if (original.functions.length > 0) model.functions.push(...cloneModel(original).functions);
  removeDead(model);
  return model;
}
