/** Named tensors without a graph: what a weights file can give. */
import type { Tensor } from './tensor.js';

export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: ReadonlyMap<string, string>;
}
