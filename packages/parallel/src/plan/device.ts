/** What a plan runs on: devices, and the links between them. */

/** Something that runs an engine: cores of a machine, or an accelerator. */
export interface Device {
  readonly name: string;
  /** The machine it belongs to; devices of one host share its memory bandwidth. The device itself when absent. */
  readonly host?: string;
  /** Bytes a model part may take there. */
  readonly memoryBytes: number;
  /** Sustained FLOP/s of a large matrix product in float32. */
  readonly flops: number;
  /** Bytes per second at which weights are read; what bounds a product with one row. */
  readonly memoryBandwidth: number;
  /** Cores that an engine there may use. */
  readonly cores?: number;
  /** What `penjing doctor --links` measured; without it everything follows from `flops` and `memoryBandwidth`. */
  readonly measured?: MeasuredSpeed;
}

/** Pairs of a size and what was measured there, sizes ascending; between them it is interpolated. */
export type Ladder = readonly (readonly [size: number, value: number])[];

/** How fast an engine with some number of threads is. */
export interface EngineSpeed {
  readonly threads: number;
  /** FLOP/s by kind of work (`cost/work.ts`), against rows for products and elements for what is done to each. */
  readonly flops: Readonly<Record<string, Ladder>>;
  /** Bytes per second against the bytes that are read again and again: what fits into a cache is read faster. */
  readonly bandwidth: Ladder;
  /** Seconds per node of a graph beyond what it computes. */
  readonly nodeSeconds: number;
  /** Seconds per call of a session, there and back. */
  readonly callSeconds: number;
  /** Bytes per second at which an output leaves the engine, for memory of its own, against its bytes: fresh pages cost more than copying. Nothing counts when absent. */
  readonly outputs?: Ladder;
}

export interface MeasuredSpeed {
  /** By numbers of threads, ascending. */
  readonly engines: readonly EngineSpeed[];
  /** Each of as many engines with one thread as the host has cores, while all of them do the same. */
  readonly together: EngineSpeed;
  /** What the thread costs that calls the engines of the host; nothing when absent. */
  readonly caller?: CallerSpeed;
  /** Seconds of a sum over shards on all cores, beyond what they compute, against its bytes. */
  readonly sums?: Ladder;
}

/** The thread that hands requests to engines: there is one, whatever the number of engines, and it takes a core while it works. */
export interface CallerSpeed {
  /** Its own seconds for each call of an engine. */
  readonly callSeconds: number;
  /** The same of an engine that is a step or a branch whose values this thread hands on; as `callSeconds` when absent. */
  readonly stepSeconds?: number;
  /** Of a request through a chain of engines that hand on values themselves, in with all inputs and out with all outputs, whatever the number of engines; as two steps when absent. */
  readonly chainSeconds?: number;
  /** Bytes per second of cutting and joining batches and of handing over what is not given away, against the bytes. */
  readonly copy: Ladder;
}

/** A way for activations from one device or host to another; the same in both directions unless the other one is listed too. */
export interface Link {
  /** Name of a device or of a host. */
  readonly from: string;
  readonly to: string;
  /** One way, in seconds. */
  readonly latency: number;
  /** Bytes per second. */
  readonly bandwidth: number;
}
