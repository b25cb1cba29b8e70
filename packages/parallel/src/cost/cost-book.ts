/** What parts of one model cost at any size of the batch; every size is worked out once. */
import { capturedValues, type Model, type Node, type Value } from '@penjing/core';
import type { Part } from '../plan/plan.js';
import { completeSizes, type Sizes } from './bind-sizes.js';
import { type ModelCost, modelCost, type NodeCost } from './model-cost.js';
import { type CutBlock, cutBlocks } from '../split/cut-blocks.js';
import { provenBatch } from '../split/follow-rows.js';
import { rowGrain } from '../split/row-grain.js';
import { type DeviceSpeed, type Seconds, secondsOf } from './roofline.js';

export interface CostBook {
  readonly model: Model;
  /** Complete. */
  readonly sizes: Sizes;
  /** Rows of a request; 1 when the model has no symbol for them. */
  readonly batch: number;
  readonly batchSymbol: string | undefined;
  /** Fewest rows of a piece of the batch. */
  readonly smallestPiece: number;
  /** The whole model as a part. */
  readonly whole: Part;
  /** Where a pipeline can be cut. */
  readonly blocks: readonly CutBlock[];
  at(batch: number): ModelCost;
  nodes(part: Part, batch: number): readonly NodeCost[];
  /** By kinds of work; `correct` makes of it what is known of this model, where `many` requests wait or one is alone. */
  seconds(part: Part, batch: number, speed: DeviceSpeed): Seconds;
  correct(seconds: Seconds, batch: number, speed: DeviceSpeed, many: boolean): Seconds;
  /** Bytes of values by name. */
  bytes(names: readonly string[], batch: number): number;
  weightBytes(part: Part): number;
  /** The most that activations take at a time, when each is given up after its last reader. */
  activationBytes(part: Part, batch: number): number;
}

export function costBook(model: Model, options: { readonly sizes?: Sizes } = {}): CostBook {
  const sizes = completeSizes(model, options.sizes);
  const batchSymbol = findBatchSymbol(model, sizes);
  const batch = batchSymbol === undefined ? 1 : sizes[batchSymbol]!;
  const known = new Map<number, ModelCost>();
  const values = valuesByName(model);
  const at = (rows: number): ModelCost => {
    const found = known.get(rows) ?? modelCost(model, { sizes: batchSymbol === undefined ? sizes : { ...sizes, [batchSymbol]: rows } });
    known.set(rows, found);
    return found;
  };
  const parts = new Map<string, readonly Node[]>();
  const nodesOf = (part: Part): readonly Node[] => {
    const key = `${part.inputs.join('\n')}\n\n${part.outputs.join('\n')}`;
    const found = parts.get(key) ?? nodesBetween(values, part);
    parts.set(key, found);
    return found;
  };
  const timed = new Map<DeviceSpeed, Map<string, Seconds>>();
  const nodes = (part: Part, rows: number): readonly NodeCost[] => nodesOf(part).map((node) => at(rows).nodes.get(node)!);
  const bytes = (names: readonly string[], rows: number): number => names.reduce((sum, name) => sum + (values.has(name) ? at(rows).bytesOf(values.get(name)!) : 0), 0);
  return {
    model, sizes, batch, batchSymbol, at, nodes,
    blocks: cutBlocks(model),
    smallestPiece: rowGrain(model),
    whole: { inputs: model.graph.inputs.map(({ name }) => name), outputs: model.graph.outputs.map(({ name }) => name) },
    seconds(part, rows, speed) {
      const bySpeed = timed.get(speed) ?? new Map<string, Seconds>();
      timed.set(speed, bySpeed);
      const key = `${rows}\n${part.inputs.join('\n')}\n\n${part.outputs.join('\n')}`;
      const found = bySpeed.get(key) ?? secondsOf(nodes(part, rows), speed, part.outputs.map((name) => bytes([name], rows)));
      bySpeed.set(key, found);
      return found;
    },
    correct: (seconds) => seconds,
    bytes,
    weightBytes(part) {
      const weights = new Set<Value>();
      for (const node of nodesOf(part)) for (const value of readBy(node)) if (value.tensor) weights.add(value);
      return [...weights].reduce((sum, value) => sum + value.tensor!.byteLength, 0);
    },
    activationBytes(part, rows) {
      const { bytesOf } = at(rows);
      const list = nodesOf(part);
      const lastRead = new Map<Value, number>();
      list.forEach((node, i) => readBy(node).forEach((value) => lastRead.set(value, i)));
      const kept = new Set(part.outputs);
      let live = part.inputs.reduce((sum, name) => sum + (values.has(name) ? bytesOf(values.get(name)!) : 0), 0);
      let most = live;
      const dying = new Map<number, number>();
      list.forEach((node, i) => {
        for (const value of node.outputs) {
          live += bytesOf(value);
          const end = lastRead.get(value) ?? i;
          if (!kept.has(value.name)) dying.set(end, (dying.get(end) ?? 0) + bytesOf(value));
        }
        most = Math.max(most, live);
        live -= dying.get(i) ?? 0;
      });
      return most;
    },
  };
}

/** As `openLayout` finds it, so that what is forecast can run. */
function findBatchSymbol(model: Model, sizes: Sizes): string | undefined {
  const symbol = provenBatch(model)?.symbol;
  return symbol !== undefined && Object.hasOwn(sizes, symbol) ? symbol : undefined;
}

function readBy(node: Node): Value[] {
  return [...node.inputs.filter((value) => value !== null), ...node.subgraphs().flatMap((inner) => [...capturedValues(inner)])];
}

function valuesByName({ graph }: Model): ReadonlyMap<string, Value> {
  const values = new Map<string, Value>();
  for (const value of [...graph.inputs, ...graph.initializers.values()]) values.set(value.name, value);
  for (const node of graph.nodes()) for (const value of node.outputs) if (value.name !== '') values.set(value.name, value);
  return values;
}

/** In the order of the graph. */
function nodesBetween(values: ReadonlyMap<string, Value>, { inputs, outputs }: Part): Node[] {
  const given = new Set(inputs);
  const found = new Set<Node>();
  const open = outputs.filter((name) => !given.has(name)).map((name) => values.get(name)?.producer);
  for (let node = open.pop(); open.length > 0 || node; node = open.pop()) {
    if (!node || found.has(node)) continue;
    found.add(node);
    for (const value of readBy(node)) if (!given.has(value.name) && value.producer) open.push(value.producer);
  }
  const [any] = found;
  return any?.graph ? [...any.graph.nodes()].filter((node) => found.has(node)) : [];
}
