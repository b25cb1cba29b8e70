/** The port through which algorithms run graphs; `@penjing/runtime` implements it on ONNX Runtime. */
import type { Model } from './graph/model.js';
import type { ValueType } from './graph/value-type.js';
import type { DenseTensor, StringTensor } from './tensor.js';

export interface EngineOptions {
  /** Intra-op threads; the engine decides when absent. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

export interface ValueInfo {
  readonly name: string;
  readonly type: ValueType;
}

/** Tensors by value name. */
export type Feeds = Readonly<Record<string, DenseTensor | StringTensor>>;
export type Fetches = Record<string, DenseTensor | StringTensor>;

export interface RunOptions {
  /** Names of the outputs wanted; all of them when absent. */
  readonly outputs?: readonly string[];
  readonly signal?: AbortSignal;
  /** Names of feeds whose buffers the engine may take instead of copying them: they may be empty afterwards, whether the run ends well or not. */
  readonly transfer?: readonly string[];
}

/** A model made ready to run. */
export interface Executor extends AsyncDisposable {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** Runs once. Throws `E_INPUT` for a missing, unknown or ill-shaped feed, `E_ENGINE` when the run itself fails. */
  run(feeds: Feeds, options?: RunOptions): Promise<Fetches>;
}

export interface ChainOptions extends Pick<EngineOptions, 'signal'> {
  /** Names of the values that a run gives. */
  readonly outputs: readonly string[];
}

/** A model of a chain. */
export interface ChainStage extends Pick<EngineOptions, 'threads'> {
  readonly model: Model;
  /** Where it lies as it is, for engines that load files. */
  readonly file?: string;
}

export interface Engine {
  readonly name: string;
  load(model: Model, options?: EngineOptions): Promise<Executor>;
  /**
   * Models tied together by names of values, each behind those that give what it reads, as one executor: values go from one to the next and not through the calling thread. Runs follow each other; how many
   * are under way is for the caller to bound. When a worker dies all runs in the chain fail with `E_WORKER`, and the next run finds another worker in its place. Absent where an engine has no such way.
   */
  readonly loadChain?: (stages: readonly ChainStage[], options: ChainOptions) => Promise<Executor>;
}
