/** Statistics that outlive the run that gathered them: a run goes on where it was cut off, and a later one need not run the model. */
import type { Shelf, ShelfReference } from '../job.js';
import type { Collected, StatisticRequest } from './block-job.js';

/**
 * Statistics by a key that says all they depend on: the samples, the nodes and the weights of the model up to the value as they were,
 * the collector and its version. What has the same key is the same, so nothing else has to be compared. Passes that edit the model
 * as they go (GPTQ, AWQ, SparseGPT, Wanda, SVD-LLM) change the keys of every later block; only the first is shared with other methods.
 */
export interface CalibrationStore {
  /** Where jobs put statistics that are large. */
  readonly shelf: Shelf & ShelfReference;
  /** Throws `E_DATA` for an entry that is no such statistic. */
  get(key: string, wanted: StatisticRequest): Promise<Collected | undefined>;
  put(key: string, collected: Collected): Promise<void>;
  /** The run is done with these: large ones need not be kept for it. */
  release(keys: readonly string[]): Promise<void>;
}
