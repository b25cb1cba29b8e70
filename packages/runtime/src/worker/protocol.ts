/** What the calling thread and a session worker say to each other: plain data, buffers by transfer. */
import type { DType } from '@penjing/core';
import type { BenchParams, BenchTimes } from './bench.js';
import type { ScoreEvent, ScoreParams, ScoreResult } from './score.js';
import type { GenerateParams, GenerateResult, TokenEvent } from './generate.js';
import type { OutputDifference } from '../compare/difference.js';

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
  readonly providers: readonly string[];
  /** False keeps float weights where they are mapped instead of copying them into packed form. */
  readonly prepack: boolean;
  readonly optimization: 'none' | 'basic' | 'extended' | 'all';
  /** False lets idle intra-op threads sleep at once; right when two sessions take turns. */
  readonly spin: boolean;
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

/** Every request a worker answers: its parameters, its result, and the events it sends on the way. */
export interface Methods {
  open: { params: { source: SessionSource; settings: SessionSettings }; result: SessionInfo; event: never };
  close: { params: { handle: number }; result: void; event: never };
  run: { params: { handle: number; feeds: WireTensors; outputs: readonly string[] }; result: WireTensors; event: never };
  /** Runs two sessions on the same feeds; only the differences leave the worker. */
  difference: {
    params: { a: number; b: number; feeds: WireTensors; outputs: readonly string[] };
    result: readonly OutputDifference[];
    event: never;
  };
  generate: { params: GenerateParams; result: GenerateResult; event: TokenEvent };
  score: { params: ScoreParams; result: ScoreResult; event: ScoreEvent };
  bench: { params: BenchParams; result: BenchTimes; event: never };
}

export type Method = keyof Methods;

export type Request =
  | { readonly [M in Method]: { readonly id: number; readonly method: M; readonly params: Methods[M]['params'] } }[Method]
  | { readonly cancel: number }
  | { readonly shutdown: true };

export interface WireError {
  readonly code: `E_${string}`;
  readonly message: string;
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export type Reply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: WireError }
  | { readonly id: number; readonly event: unknown };

/** What a handler gets besides its parameters. */
export interface CallContext<Event> {
  /** Fires when the caller gives up; handlers look at it between runs, since a run cannot be stopped. */
  readonly signal: AbortSignal;
  readonly emit: (event: Event) => void;
  /** Buffers to hand over with the result. */
  readonly transfer: ArrayBuffer[];
}

export type Handlers = {
  readonly [M in Method]: (
    params: Methods[M]['params'],
    context: CallContext<Methods[M]['event']>,
  ) => Promise<Methods[M]['result']>;
};
