/** What the converter needs to know of an architecture; one small file each in `arch/`. */
import type { Fields } from './fields.js';
import type { JsonObject } from './folder.js';
import type { Network } from './network.js';

/** As Optimum and `pipeline()` of transformers.js name them. */
export type Task = 'text-generation';

export interface Architecture {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** Classes of `architectures`, with the task each was trained for. */
  readonly classes: Readonly<Record<string, Task>>;
  /** The embedding table, and the head that is the same matrix when `tie_word_embeddings` is true. */
  readonly tied: { readonly table: string; readonly head: string; readonly byDefault: boolean };
  /** Tensors that old checkpoints carry and transformers does not read. */
  readonly ignoredWeights: readonly RegExp[];
  /** Fields that transformers.js reads from config.json and that old files leave out. */
  clientConfig(config: Fields): JsonObject;
  /** Reads the config, then builds the graph: inputs, layers, outputs. */
  build(net: Network, config: Fields, task: Task): void;
}
