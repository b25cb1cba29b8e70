/** What every long call takes: cancellation, progress and a seed. */

export interface Progress {
  /** Name of the phase, for example `quantize`. */
  readonly phase: string;
  /** Units done and in all; the unit is named, usually `bytes`, `tensors`, `tokens`. */
  readonly done: number;
  readonly total: number;
  readonly unit: string;
  /** What is being worked on, usually a tensor name. */
  readonly item?: string;
  /** Numbers by name, of work that has any: the loss of a training step. */
  readonly figures?: Readonly<Record<string, number>>;
}

export interface TaskOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  readonly seed?: number;
}
