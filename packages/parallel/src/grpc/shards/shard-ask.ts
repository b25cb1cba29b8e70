/** What a shard asks the first one for. Each question is a request of the protocol of stages; the name of the output it wants says which. */
import { type DenseTensor, encodeText, decodeText, type Fetches, type PlainError, StringTensor } from '@penjing/core';
import { broken } from '../frame.js';

export type ShardAsk =
  /** The next run: its number, what this shard takes of the inputs, and the outputs that are wanted. */
  | { readonly kind: 'feeds' }
  /** What exchange `step` of run `run`, counted from 0, makes of everyone's tensors; or nothing, where this shard only gives. */
  | { readonly kind: 'exchange' | 'give'; readonly run: number; readonly step: number }
  /** Nothing: says that the run failed here. */
  | { readonly kind: 'failed'; readonly run: number; readonly error: PlainError };

/** What a run begins with at a shard. */
export interface ShardFeeds {
  readonly run: number;
  /** In the order of the inputs of the sharded model. */
  readonly feeds: readonly (DenseTensor | StringTensor)[];
  /** Names of outputs. */
  readonly wanted: readonly string[];
}

const LONGEST_MESSAGE = 1024;

export function shardPath(shard: number): string {
  return `/penjing.Stage/Shard${shard}`;
}

export function wantedOf(ask: ShardAsk): readonly string[] {
  switch (ask.kind) {
    case 'feeds': return ['feeds'];
    case 'exchange':
    case 'give': return [`${ask.kind} ${ask.run} ${ask.step}`];
    case 'failed': return [`failed ${ask.run} ${ask.error.code} ${ask.error.message.slice(0, LONGEST_MESSAGE)}`];
  }
}

/** Throws `E_REQUEST`. */
export function askOf([text = '', ...more]: readonly string[]): ShardAsk {
  const [, kind, run, what, message] = /^(feeds|exchange|give|failed)(?: (\d{1,15}) (\d{1,15}|E_[A-Z0-9_]{1,40})(?: (.*))?)?$/s.exec(more.length > 0 ? '' : text) ?? [];
  if (kind === 'feeds' && run === undefined) return { kind };
  if ((kind === 'exchange' || kind === 'give') && message === undefined) return { kind, run: countOf(run), step: countOf(what) };
  if (kind === 'failed' && what?.startsWith('E_')) return { kind, run: countOf(run), error: { code: what as `E_${string}`, message: message?.slice(0, LONGEST_MESSAGE) ?? '' } };
  throw broken('a shard asks for what is not known');
}

function countOf(text: string | undefined): number {
  if (text === undefined || !/^\d{1,15}$/.test(text)) throw broken('a shard names a run or a step that is none');
  return Number(text);
}

/** Values as a message carries them: names are places, so that no name of a model is in the way. */
export function numbered(tensors: readonly (DenseTensor | StringTensor)[]): Fetches {
  return Object.fromEntries(tensors.map((tensor, i) => [String(i), tensor]));
}

/** Throws `E_REQUEST` where one is missing, or there are others. */
export function unnumbered(values: Fetches, count: number): (DenseTensor | StringTensor)[] {
  const tensors = Array.from({ length: count }, (_, i) => values[String(i)]);
  if (Object.keys(values).length !== count || tensors.some((tensor) => tensor === undefined)) throw broken(`a shard sends ${Object.keys(values).length} tensors, not ${count}`);
  return tensors as (DenseTensor | StringTensor)[];
}

/** Throws `E_REQUEST`. */
export function denseOnes(tensors: readonly (DenseTensor | StringTensor)[]): DenseTensor[] {
  return tensors.map((tensor) => {
    if (tensor.kind === 'string') throw broken('a shard sends texts where there are numbers');
    return tensor;
  });
}

export function feedsMessage({ run, feeds, wanted }: ShardFeeds): Fetches {
  const texts = [String(run), ...wanted].map(encodeText);
  return { ...numbered(feeds), run: new StringTensor([texts.length], texts) };
}

/** Throws `E_REQUEST`. */
export function feedsOf({ run, ...feeds }: Fetches, inputs: number): ShardFeeds {
  if (run?.kind !== 'string') throw broken('a run has no number');
  const [number, ...wanted] = run.values.map((text) => decodeText(text));
  return { run: countOf(number), feeds: unnumbered(feeds, inputs), wanted };
}
