/** What the converter needs to know of an architecture; one small file each in `arch/`. */
import type { Fields } from './fields.js';
import type { JsonObject } from './folder.js';
import type { Network } from './network.js';

/** As Optimum and `pipeline()` of transformers.js name them. */
export type Task =
  | 'text-generation' | 'text2text-generation' | 'automatic-speech-recognition'
  | 'fill-mask' | 'text-classification' | 'token-classification' | 'question-answering' | 'multiple-choice' | 'feature-extraction' | 'sentence-similarity'
  | 'audio-classification'
  | 'image-classification' | 'image-feature-extraction' | 'zero-shot-image-classification';

/** Builds one graph over the weights: inputs, layers, outputs. */
export type BuildGraph = (net: Network, config: Fields, task: Task) => void;

export type Renaming = readonly [from: RegExp, to: string];

export interface Architecture {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** Classes of `architectures`, with the task each was trained for. */
  readonly classes: Readonly<Record<string, Task>>;
  /** Tasks that every checkpoint of this architecture serves besides its own: an encoder without its head. */
  readonly otherTasks?: readonly Task[];
  /**
   * The module that holds the network without its head: `bert`. Checkpoints of the bare class leave it out of their
   * names; a task other than the trained one needs nothing outside it.
   */
  readonly backbone?: string;
  /** Other spellings of names in checkpoints, and what replaces the match; what is stored under the right name wins. */
  readonly renamed?: readonly Renaming[];
  /** The embedding table, and the head that is the same matrix when `tie_word_embeddings` is true. */
  readonly tied?: { readonly table: string; readonly head: string; readonly byDefault: boolean };
  /** Tensors that a task other than the trained one does not need, besides those outside the backbone. */
  readonly unneeded?: Readonly<Partial<Record<Task, readonly RegExp[]>>>;
  /** Tensors that old checkpoints carry and transformers does not read. */
  readonly ignoredWeights: readonly RegExp[];
  /** Fields that transformers.js reads from config.json and that old files leave out. */
  clientConfig(config: Fields): JsonObject;
  /** The graphs a task needs, by the file names of transformers.js: `model`, or `encoder_model` and its decoder. */
  graphs(task: Task): Readonly<Record<string, BuildGraph>>;
}
