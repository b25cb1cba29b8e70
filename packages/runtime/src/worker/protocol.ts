/** What the calling thread and a session worker say to each other: plain data, buffers by transfer. */
import type { PlainError, Progress } from '@penjing/core';
import type { ChainLink } from './chain-stage.js';
import type { BenchParams, BenchTimes } from './bench.js';
import type { FitCacheParams } from './fit-cache.js';
import type { GenerateParams, GenerateResult, TokenEvent } from './generate.js';
import type { Measured, MeasureParams } from './measure.js';
import type { Reduced, ReduceParams } from './reduce.js';
import type { JobParams } from './run-job.js';
import type { ScoreSums } from '../compare/score-sums.js';
import type { ScoreEvent, ScoreParams } from './score.js';
import type { TranscribeParams, TranscribeResult } from './transcribe.js';
import type { VoiceEvent, VoiceParams } from './voice.js';
import type { CallContext, SessionInfo, SessionSettings, SessionSource, WireTensors } from './wire-types.js';

/** Every request a worker answers: its parameters, its result, and the events it sends on the way. */
export interface Methods {
  open: { params: { source: SessionSource; settings: SessionSettings }; result: SessionInfo; event: never };
  close: { params: { handle: number }; result: void; event: never };
  run: { params: { handle: number; feeds: WireTensors; outputs: readonly string[] }; result: WireTensors; event: never };
  /** Makes a session a stage of a chain, in place of what it was in one before. */
  chain: { params: ChainLink; result: void; event: never };
  /** Runs, and gives what is made of one output: embeddings, the likeliest tokens. */
  reduce: { params: ReduceParams; result: Reduced; event: never };
  /** Writes what a window of sound says. */
  transcribe: { params: TranscribeParams; result: TranscribeResult; event: never };
  /** The probability of voice in each window of a sound. */
  voice: { params: VoiceParams; result: Float32Array; event: VoiceEvent };
  /** Runs one session or two on the same feeds; only figures leave the worker. */
  measure: { params: MeasureParams; result: Measured; event: never };
  /** Finds what the bytes of a cache are worth, before anything else is run. */
  fitCache: { params: FitCacheParams; result: void; event: never };
  generate: { params: GenerateParams; result: GenerateResult; event: TokenEvent };
  score: { params: ScoreParams; result: ScoreSums; event: ScoreEvent };
  /** Runs a function of any module beside the sessions of this worker. */
  job: { params: JobParams; result: unknown; event: Progress };
  bench: { params: BenchParams; result: BenchTimes; event: never };
}

export type Method = keyof Methods;

export type Request =
  | { readonly [M in Method]: { readonly id: number; readonly method: M; readonly params: Methods[M]['params'] } }[Method]
  | { readonly cancel: number }
  | { readonly shutdown: true };

export type Reply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: PlainError }
  | { readonly id: number; readonly event: unknown };

export type Handlers = {
  readonly [M in Method]: (
    params: Methods[M]['params'],
    context: CallContext<Methods[M]['event']>,
  ) => Promise<Methods[M]['result']>;
};
