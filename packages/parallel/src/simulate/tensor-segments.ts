/** What a tensor-parallel run computes and moves: the steps of the program that its shards really run. */
import { cloneModel, inferShapes, type Model, type ValueType } from '@penjing/core';
import { extractModel } from '@penjing/core/calibrate';
import { bindDim } from '../cost/bind-sizes.js';
import type { CostBook } from '../cost/cost-book.js';
import { modelCost, type NodeCost } from '../cost/model-cost.js';
import { type DeviceSpeed, type Seconds, secondsOf } from '../cost/roofline.js';
import type { Layout, Part } from '../plan/plan.js';
import type { AxisCut, ShardedModel, Traffic } from '../tensor/sharded-model.js';
import { shardModel, type ShardOptions, sparedBytes } from '../tensor/shard-model.js';
import { stepTraffic } from '../tensor/step-traffic.js';
import { lengthOf } from '../tensor/pieces.js';

export interface TensorSegment {
  /** Of the shard that has most to do: all wait for it. */
  readonly secondsOn: (speed: DeviceSpeed) => Seconds;
  /** Bytes of the sums, and of the values put together, that follow. */
  readonly reducedBytes: number;
  readonly gatheredBytes: number;
}

export interface TensorProgram {
  /** Bytes of weights that a shard holds: what is not cut lies on all of them. */
  weightBytes(shard: number): number;
  segments(rows: number): readonly TensorSegment[];
}

type TensorLayout = Layout & { kind: 'tensor' };

/** The time of more shards is reckoned as that of this many, which take no less, with the memory of each as it is: no model has so many heads that a program for each would say more. */
const MOST_SHARDS_PRICED = 16;
const programs = new WeakMap<CostBook, Map<string, TensorProgram>>();
/** Of each book one copy of its model with the types of all values, from which parts are taken. */
const typedModels = new WeakMap<CostBook, Model>();

/** As `openLayout` cuts the part; every number of shards, and each size of a batch, is worked out once. Throws what `shardModel` throws. */
export function tensorProgram(book: CostBook, part: Part, layout: TensorLayout): TensorProgram {
  const { devices, experts } = layout;
  const known = programs.get(book) ?? new Map<string, TensorProgram>();
  programs.set(book, known);
  const key = `${devices.length} ${experts ?? ''}\n${part.inputs.join('\n')}\n\n${part.outputs.join('\n')}`;
  const found = known.get(key) ?? (devices.length > MOST_SHARDS_PRICED ? ofMoreShards(book, part, layout) : ofShards(book, part, layout));
  known.set(key, found);
  return found;
}

const ofShards = (book: CostBook, part: Part, layout: TensorLayout): TensorProgram => programOf(book, shardModel(modelOf(book, part), optionsOf(layout)));

/** Times of the most shards that are worked out, and the bytes of each shard: of those, with what a shard is spared more. */
function ofMoreShards(book: CostBook, part: Part, layout: TensorLayout): TensorProgram {
  const fewer: TensorLayout = { ...layout, devices: layout.devices.slice(0, MOST_SHARDS_PRICED) };
  const priced = tensorProgram(book, part, fewer);
  const [before, after] = [fewer, layout].map((each) => sparedBytes(modelOf(book, part), optionsOf(each))) as [number[], number[]];
  return {
    segments: (rows) => priced.segments(rows),
    weightBytes: (shard) => priced.weightBytes(shard % MOST_SHARDS_PRICED) + before[shard % MOST_SHARDS_PRICED]! - after[shard]!,
  };
}

const optionsOf = ({ devices, experts }: TensorLayout): ShardOptions => ({ shards: devices.length, ...(experts && { experts }) });

function modelOf(book: CostBook, part: Part): Model {
  if (part === book.whole) return book.model;
  return extractModel(typedModel(book), part.inputs, part.outputs, { keepOutputs: true });
}

function typedModel(book: CostBook): Model {
  const known = typedModels.get(book);
  if (known) return known;
  const typed = cloneModel(book.model);
  inferShapes(typed);
  typedModels.set(book, typed);
  return typed;
}

function programOf(book: CostBook, sharded: ShardedModel): TensorProgram {
  const weights = sharded.segments.map(bytesOfSegments);
  const heaviest = weights.indexOf(Math.max(...weights));
  const known = new Map<number, readonly TensorSegment[]>();
  return {
    weightBytes: (shard) => weights[shard]!,
    segments(rows) {
      const found = known.get(rows) ?? segmentsOf(book, sharded, heaviest, rows);
      known.set(rows, found);
      return found;
    },
  };
}

/** What two segments of a shard read is one file, and in memory twice. */
function bytesOfSegments(segments: readonly Model[]): number {
  return segments.flatMap(({ graph }) => [...graph.initializers.values()]).reduce((sum, { tensor }) => sum + (tensor?.byteLength ?? 0), 0);
}

/** Goes through the program once, so that each segment knows the shapes of what the ones before it gave. */
function segmentsOf(book: CostBook, sharded: ShardedModel, shard: number, rows: number): TensorSegment[] {
  const { typeOf, sizes } = book.at(rows);
  const named = new Map<string, ValueType>();
  const note = (name: string, type: ValueType | undefined): void => void (type && named.set(name, type));
  const given = new Map([...book.model.graph.inputs, ...[...book.model.graph.nodes()].flatMap(({ outputs }) => outputs)].map((value) => [value.name, value]));
  for (const { name, value, type, cut } of sharded.inputs) note(value, partOf((given.has(name) ? typeOf(given.get(name)!) : undefined) ?? type, cut, shard));
  // What is summed or put together leaves the engine too; sums were measured with that.
  const exchanged = new Set(sharded.program.flatMap((step) => (step.kind === 'run' ? [] : step.values.map(({ from }) => from))));
  const result: { costs: NodeCost[]; outputBytes: number[]; reducedBytes: number; gatheredBytes: number }[] = [];
  const program = sharded.program.map((step) => {
    if (step.kind === 'run') {
      const segment = cloneModel(sharded.segments[shard]![step.segment]!);
      for (const input of segment.graph.inputs) input.type = named.get(input.name) ?? input.type;
      const cost = modelCost(segment);
      for (const output of segment.graph.outputs) note(output.name, cost.typeOf(output));
      result.push({ costs: [...cost.nodes.values()], outputBytes: segment.graph.outputs.filter(({ name }) => !exchanged.has(name)).map(cost.bytesOf), reducedBytes: 0, gatheredBytes: 0 });
      return step;
    }
    if (step.kind === 'reduce') {
      const values = step.values.map((value) => ({ ...value, shape: shapeOf(value, named.get(value.from), sizes) }));
      for (const { to, dtype, shape } of values) note(to, { kind: 'tensor', dtype, shape });
      return { ...step, values };
    }
    const values = step.values.map((value) => ({ ...value, shape: shapeOf(value, wholeOf(named.get(value.from), value.cut), sizes) }));
    for (const { to, dtype, shape } of values) note(to, { kind: 'tensor', dtype, shape });
    return { ...step, values };
  });
  let segment = -1;
  const runs = sharded.program.map(({ kind }) => (kind === 'run' ? ++segment : segment));
  for (const { step, kind, bytes } of stepTraffic({ ...sharded, program }, sizes)) {
    const at = result[Math.max(0, runs[step]!)];
    if (at) at[kind === 'reduce' ? 'reducedBytes' : 'gatheredBytes'] += bytes;
  }
  return result.map(({ costs, outputBytes, ...bytes }) => ({ ...bytes, secondsOn: remembered((speed) => secondsOf(costs, speed, outputBytes)) }));
}

/** As the program says, or as it follows from what was computed; a size that nothing tells counts as one. */
function shapeOf({ shape }: Traffic, seen: ValueType | undefined, sizes: Readonly<Record<string, number>>): number[] {
  const inferred = seen?.kind === 'tensor' ? seen.shape : undefined;
  return (shape ?? inferred ?? []).map((dim, i) => bindDim(dim, sizes) ?? bindDim(inferred?.[i] ?? null, sizes) ?? 1);
}

function withAxis(type: ValueType | undefined, axis: number, size: number): ValueType | undefined {
  if (type?.kind !== 'tensor' || !type.shape) return type;
  return { ...type, shape: type.shape.map((dim, i) => (i === axis ? size : dim)) };
}

const partOf = (type: ValueType | undefined, cut: AxisCut | undefined, shard: number): ValueType | undefined => (cut ? withAxis(type, cut.axis, lengthOf(cut.ranges[shard]!)) : type);
const wholeOf = (type: ValueType | undefined, cut: AxisCut): ValueType | undefined => withAxis(type, cut.axis, cut.ranges.reduce((sum, own) => sum + lengthOf(own), 0));

/** Shards on devices that are alike are asked for over and over. */
function remembered(compute: TensorSegment['secondsOn']): TensorSegment['secondsOn'] {
  const known = new Map<DeviceSpeed, Seconds>();
  return (speed) => {
    const found = known.get(speed) ?? compute(speed);
    known.set(speed, found);
    return found;
  };
}
