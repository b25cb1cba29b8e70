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
