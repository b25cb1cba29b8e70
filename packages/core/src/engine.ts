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

export interface Engine {
  readonly name: string;
  load(model: Model, options?: EngineOptions): Promise<Executor>;
}
