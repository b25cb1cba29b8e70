/** What the ends of a stream say to each other besides tensors: the method, signatures, failures. */
import { type DType, dtypes, isPenjingError, PenjingError, tensorType, type ValueInfo } from '@penjing/core';
import { v2Limits } from '@penjing/graph-io/v2';
import { broken, type Frame, textOf, textTensor } from './frame.js';

export const STAGE_PATH = '/penjing.Stage/Flow';

/** What the stages from one on take and give, and how much of it. */
export interface StageFacts {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly window: number;
  readonly requestBytes: number;
  /** Hash of what the stage computes, where it was given one. */
  readonly part?: string;
}

/** A way to all stages at once for requests that are given up, besides the one from each stage to the next: that takes as long as the slowest of them. */
export interface StageCancels {
  /** Tells whoever listens; nobody answers. */
  tell(key: string): void;
  /** Returns what ends it. */
  listen(cancelled: (key: string) => void): () => void;
}

/** Frames about the stream itself. */
export function streamFrame(kind: Frame['kind'], epoch: number, rest: Partial<Frame> = {}): Frame {
  return { kind, epoch, request: 0, piece: 0, last: true, tensors: [], ...rest };
}

export function readyFrame(epoch: number, { inputs, outputs, window, requestBytes, part }: StageFacts): Frame {
  const signature = JSON.stringify({ inputs: inputs.map(plain), outputs: outputs.map(plain) });
  return streamFrame('ready', epoch, { tensors: [textTensor('signature', signature)], facts: { window, requestBytes, ...(part !== undefined && { part }) } });
}

/** Throws `E_REQUEST`. */
export function factsOf({ tensors, facts = {}, request }: Frame & { readonly intact?: boolean }): StageFacts {
  const { window, requestBytes, part } = facts;
  if (request !== 0 || typeof window !== 'number' || !Number.isSafeInteger(window) || window < 1 || typeof requestBytes !== 'number') throw broken('a stage does not say how much it takes');
  let signature: { readonly inputs?: unknown; readonly outputs?: unknown };
  try {
    signature = JSON.parse(textOf(tensors[0]?.tensor)) as typeof signature;
  } catch (cause) {
    throw isPenjingError(cause) ? cause : broken('a stage does not say what it takes');
  }
  return { inputs: infosOf(signature?.inputs), outputs: infosOf(signature?.outputs), window, requestBytes, ...(typeof part === 'string' && { part }) };
}

function plain({ name, type }: ValueInfo): object {
  return type.kind === 'tensor' ? { name, ...(type.dtype && { dtype: type.dtype }), ...(type.shape && { shape: type.shape }) } : { name };
}

function infosOf(list: unknown): ValueInfo[] {
  if (!Array.isArray(list) || list.length > v2Limits.tensors) throw broken('a stage does not say what it takes');
  return list.map((item: unknown): ValueInfo => {
    const { name, dtype, shape } = (item ?? {}) as { name?: unknown; dtype?: unknown; shape?: unknown };
    const dims = shape === undefined ? undefined : Array.isArray(shape) && shape.length <= v2Limits.rank && shape.every((dim) => dim === null || typeof dim === 'string' || Number.isSafeInteger(dim)) ? (shape as (string | number | null)[]) : null;
    if (typeof name !== 'string' || name === '' || dims === null || (dtype !== undefined && !(typeof dtype === 'string' && Object.hasOwn(dtypes, dtype)))) throw broken('a stage names a value that is none');
    return { name, type: tensorType(dtype as DType | undefined, dims) };
  });
}

/** A failure as a frame can say it. What is not one of ours may name what only its process should know. */
export function errorFrame(kind: 'error' | 'waiting', epoch: number, request: number, error: unknown): Frame {
  const { code, message, hint, details } = isPenjingError(error) ? error : new PenjingError('E_INTERNAL', 'the stage failed for a reason that it does not know');
  const retryAfter = details['retryAfter'];
  const short = (text: string): string => text.slice(0, 4096);
  return streamFrame(kind, epoch, { request, facts: { code, message: short(message), ...(hint !== undefined && { hint: short(hint) }), ...(typeof retryAfter === 'number' && { retryAfter }) } });
}

export function errorOf({ facts = {} }: Frame): PenjingError {
  const { code, message, hint, retryAfter } = facts;
  const known = typeof code === 'string' && /^E_[A-Z0-9_]{1,40}$/.test(code) ? (code as `E_${string}`) : 'E_INTERNAL';
  return new PenjingError(known, typeof message === 'string' ? message : 'a stage failed', { ...(typeof hint === 'string' && { hint }), ...(typeof retryAfter === 'number' && { details: { retryAfter } }) });
}

export function unavailable(message: string, cause?: unknown): PenjingError {
  return new PenjingError('E_UNAVAILABLE', message, { hint: 'Ask again: stages are found again by themselves when they are back.', details: { retryAfter: 1 }, cause });
}

/** Failures that a second try may not have: the request was not computed, or its answer was lost. */
export function isPassing(error: unknown): boolean {
  return isPenjingError(error) && (error.code === 'E_UNAVAILABLE' || error.code === 'E_CHECKSUM');
}
