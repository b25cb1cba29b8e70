/** A plan as data: which device computes what of a model, and what that is expected to cost. */
import type { Device, Link } from './device.js';

/** How the parts of a parallel run become one output: y = 1/N Σ fᵢ(x), Σ fᵢ(x), or the parts side by side. */
export type Reduction = 'mean' | 'sum' | 'concat';

/** What a plan is made for: the time of one request, requests per second, or bytes per device. */
export type Goal = 'latency' | 'throughput' | 'memory';

/**
 * What shards have of a mixture of experts: `sliced`, a part of every expert; `whole`, some experts whole, and a part of every other large matrix; `only`, some experts whole, and all of the rest
 * (expert parallelism as in GShard and Switch).
 */
export const expertShardings = ['sliced', 'whole', 'only'] as const;
export type ExpertSharding = (typeof expertShardings)[number];

/** Part of a graph, by the names of the values at its borders: the nodes between them (`extractModel` of `core/calibrate`). */
export interface Part {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** A part and where it runs. Names of values tie parts together: what one gives, others take. */
export interface PlacedPart extends Part {
  readonly layout: Layout;
}

/**
 * Where a model runs, as a tree: leaves are devices, and every layout takes the place of a device in another one, so that plans
 * combine. `openLayout` (`parallel/node`) makes an `Executor` of it, the simulator a forecast.
 */
export type Layout =
  | { readonly kind: 'device'; readonly device: string; readonly threads?: number }
  /** Replicas. `concat` gives each its share of the batch; `mean` and `sum` give all of it to each (ensembles). */
  | { readonly kind: 'data'; readonly reduction: Reduction; readonly replicas: readonly Layout[] }
  /** A chain of parts; a batch passes through it in `microBatches` pieces. */
  | { readonly kind: 'pipeline'; readonly stages: readonly PlacedPart[]; readonly microBatches: number }
  /** Matrices cut by columns and rows, experts of a mixture as `experts` says. One shard per device. */
  | { readonly kind: 'tensor'; readonly devices: readonly string[]; readonly experts?: ExpertSharding }
  /** Branches that need nothing of each other run at the same time. Parts are in an order in which each finds its inputs. */
  | { readonly kind: 'tasks'; readonly parts: readonly PlacedPart[] };

/** What a plan is expected to cost. */
export interface Forecast {
  /** Seconds from a request to its answer when nothing else runs. */
  readonly latency: number;
  /** Requests per second when there are always some waiting. */
  readonly throughput: number;
  /** Bytes of weights and activations by device. */
  readonly memory: Readonly<Record<string, number>>;
  /** Share of the time in which a device of a pipeline waits, in [0, 1). */
  readonly bubble: number;
  /** Speed-up over one device, by the number of devices. */
  readonly efficiency: number;
}

/** What a layout gave when it ran on the machine that planned, as far as the goal asks for it. */
export type Measured = Partial<Pick<Forecast, 'latency' | 'throughput'>>;

export interface Plan {
  readonly version: 1;
  readonly goal: Goal;
  readonly model: PlannedModel;
  readonly devices: readonly Device[];
  readonly links: readonly Link[];
  readonly layout: Layout;
  readonly forecast: Forecast;
  /** Why this layout, in sentences. */
  readonly reasons: readonly string[];
  /** What else was looked at, best first; the layout chosen is among it. */
  readonly considered?: readonly Considered[];
}

/** A layout that was forecast, and measured where it was run; or why it was not. */
export interface Considered {
  readonly name: string;
  readonly forecast?: Forecast;
  readonly measured?: Measured;
  readonly refused?: string;
}

/** What a plan says of the model it was made for. */
export interface PlannedModel {
  readonly name: string;
  readonly weightBytes: number;
  /** Sizes of the request that the forecast is for, by symbol of a dimension. */
  readonly sizes: Readonly<Record<string, number>>;
}
