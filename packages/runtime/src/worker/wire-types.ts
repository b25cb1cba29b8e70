/** The nouns that cross the border between the calling thread and a session worker, and what every handler is given. */
import type { DType } from '@penjing/core';

/** A tensor on its way between threads: exactly its little-endian bytes, or its strings. */
export interface WireTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: ArrayBuffer | readonly string[];
}

export type WireTensors = Readonly<Record<string, WireTensor>>;

/** Where a session finds its model. */
export type SessionSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'memory'; readonly bytes: ArrayBuffer; readonly externalData: readonly ExternalBuffer[] };

/** The content of one external data file, under the location that the model gives it. */
export interface ExternalBuffer {
  readonly path: string;
  readonly data: ArrayBuffer;
}

export interface SessionSettings {
  readonly threads: number;
  /** Lists of execution providers, each tried only where the one before it is not to be had. */
  readonly attempts: readonly (readonly string[])[];
  /** False keeps float weights where they are mapped instead of copying them into packed form. */
  readonly prepack: boolean;
  readonly optimization: 'none' | 'basic' | 'extended' | 'all';
  /** False lets idle intra-op threads sleep at once; right when two sessions take turns. */
  readonly spin: boolean;
  /** False gives memory back as soon as nothing needs it, instead of planning all places at once. */
  readonly memoryPattern: boolean;
  readonly extra: Readonly<Record<string, string>>;
}

/** An input or output as ONNX Runtime tells it; no dtype for sequences and maps. */
export interface SessionValue {
  readonly name: string;
  readonly dtype?: DType;
  readonly shape?: readonly (number | string | null)[];
}

export interface SessionInfo {
  readonly handle: number;
  readonly inputs: readonly SessionValue[];
  readonly outputs: readonly SessionValue[];
}

/** What a handler gets besides its parameters. */
export interface CallContext<Event> {
  /** Fires when the caller gives up; handlers look at it between runs, since a run cannot be stopped. */
  readonly signal: AbortSignal;
  readonly emit: (event: Event) => void;
  /** Buffers to hand over with the result. */
  readonly transfer: ArrayBuffer[];
}
