/** What the server and a model's process say to each other: plain data, in both directions. */
import type { DType, PlainError } from '@penjing/core';
import type { Device } from '@penjing/runtime';

/** A tensor on its way: exactly its little-endian bytes, row-major, or its strings. */
export interface WireTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: ArrayBuffer | readonly string[];
}

export type Task = 'text-generation' | 'embedding' | 'tensors';

/** What a model's process is to open. */
export interface ModelSource {
  /** A model folder, or an ONNX file. */
  readonly path: string;
  readonly variant?: string | undefined;
  /** Told from the folder when absent. */
  readonly task?: Task | undefined;
  readonly threads?: number | undefined;
  readonly device?: Device | undefined;
  /** See `GeneratorOptions` of the runtime. */
  readonly prefixCacheBytes?: number | undefined;
  readonly kvCache?: 'int8' | undefined;
  /** Path of a plan for the cores of this machine. */
  readonly plan?: string | undefined;
  /** Where its stages run, if not here; paths of PEM files. */
  readonly stages?: { readonly plan: string; readonly addresses: readonly string[]; readonly ca?: string | undefined; readonly cert?: string | undefined; readonly key?: string | undefined } | undefined;
}

/** An input or output; sizes that are not fixed are a name, or null. */
export interface TensorSignature {
  readonly name: string;
  /** Absent for what is no tensor. */
  readonly dtype: DType | undefined;
  readonly shape: readonly (number | string | null)[] | undefined;
}

export interface ModelDescription {
  readonly task: Task;
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
  /** The file and its external data. */
  readonly bytes: number;
  /** Most tokens of prompt and text together, or of a text to embed. */
  readonly contextLength: number | undefined;
  readonly hasChatTemplate: boolean;
  /** What V2 calls it, where it is more than an ONNX file. */
  readonly platform?: 'ensemble';
}

/** A conversation, a text, or the ids of its tokens with all special ones in place. */
export type TextPrompt =
  | { readonly kind: 'chat'; readonly messages: readonly ChatTurn[]; readonly tools?: readonly unknown[] | undefined; readonly variables?: Readonly<Record<string, unknown>> | undefined }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tokens'; readonly tokens: readonly number[] };

/** A message as the model's chat template reads it. */
export interface ChatTurn {
  readonly role: string;
  readonly content: unknown;
  readonly [key: string]: unknown;
}

/** Options of the runtime's generator, as plain data. */
export interface WritingOptions {
  readonly maxNewTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly logitBias?: readonly (readonly [token: number, bias: number])[] | undefined;
  readonly logProbabilities?: number | undefined;
  readonly seed?: number | undefined;
  readonly stop?: readonly string[] | undefined;
  readonly ignoreEndToken?: boolean | undefined;
  readonly constrain?: { readonly schema: object } | { readonly regex: string } | { readonly grammar: string } | undefined;
}

export interface TokenProbability {
  readonly text: string;
  /** UTF-8 of the text; null for a token that is part of a character. */
  readonly bytes: readonly number[] | null;
  readonly logProbability: number;
}

/** A token of one of the texts. */
export interface TextEvent {
  readonly choice: number;
  /** Text that became certain with it; may be empty. */
  readonly text: string;
  readonly token?: TokenProbability & { readonly likeliest: readonly TokenProbability[] };
}

export interface WrittenText {
  readonly text: string;
  readonly tokens: number;
  readonly finishReason: 'end' | 'stop' | 'length';
}

export interface Written {
  readonly promptTokens: number;
  readonly texts: readonly WrittenText[];
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** Every request that a model's process answers: its parameters, its result, and the events on the way. */
export interface HostMethods {
  /** Runs the graph. `outputs` are all of them when absent. */
  infer: { params: { readonly inputs: Readonly<Record<string, WireTensor>>; readonly outputs?: readonly string[] | undefined }; result: { readonly outputs: Readonly<Record<string, WireTensor>>; readonly computeMs: number }; event: never };
  write: { params: { readonly prompt: TextPrompt; readonly choices: number; readonly options: WritingOptions }; result: Written; event: TextEvent };
  embed: { params: { readonly texts: readonly string[] }; result: { readonly embeddings: readonly Float32Array[]; readonly tokens: number }; event: never };
}

export type HostMethod = keyof HostMethods;

/** Memory of a model's process, in bytes; it tells it by itself from time to time. */
export interface HostMemory {
  readonly rss: number;
  readonly heap: number;
}

export type ToModel =
  | { readonly id: number; readonly open: ModelSource }
  | { readonly id: number; readonly method: HostMethod; readonly params: unknown }
  | { readonly cancel: number }
  | { readonly shutdown: true };

export type FromModel =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: PlainError }
  | { readonly id: number; readonly event: unknown }
  | { readonly memory: HostMemory };
