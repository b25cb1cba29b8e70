/** Failures as replies: one table of statuses, one writer for each API. */
import { isPenjingError, PenjingError } from '@penjing/core';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { RequestVariables } from '../context.js';

/** What is not listed is a failure of ours: 500. */
const statuses: Readonly<Record<string, ContentfulStatusCode>> = {
  E_REQUEST: 400,
  E_OPTION: 400,
  E_INPUT: 400,
  E_SHAPE: 400,
  E_DTYPE: 400,
  E_TASK: 400,
  E_CONTEXT: 400,
  E_GRAMMAR: 400,
  E_CHAT_TEMPLATE: 400,
  E_UNSUPPORTED: 400,
  E_KEY: 401,
  E_SCOPE: 403,
  E_MODEL_NOT_FOUND: 404,
  E_ROUTE: 404,
  E_METHOD: 405,
  E_BODY_SIZE: 413,
  E_LIMIT: 413,
  E_ENCODING: 415,
  E_OVERLOADED: 429,
  E_CANCELLED: 499 as ContentfulStatusCode,
  E_UNAVAILABLE: 503,
  E_MODEL_LOST: 503,
  E_DISPOSED: 503,
  E_DEADLINE: 504,
};

export interface Failure {
  readonly status: ContentfulStatusCode;
  readonly code: `E_${string}`;
  /** For the client: of failures that are ours it says nothing about the inside. */
  readonly message: string;
  readonly hint: string | undefined;
  /** Which field of the request is wrong. */
  readonly param: string | undefined;
  /** Seconds until it makes sense to ask again. */
  readonly retryAfter: number | undefined;
}

export function failureOf(thrown: unknown): Failure {
  const error = isPenjingError(thrown) ? thrown : abortOf(thrown);
  const status = statuses[error?.code ?? ''] ?? 500;
  const { retryAfter, param } = error?.details ?? {};
  const known = error !== undefined && error.code !== 'E_INTERNAL';
  return {
    status,
    code: error?.code ?? 'E_INTERNAL',
    message: known ? error.message : 'the server failed; its log says more under the request id',
    hint: known ? error.hint : undefined,
    param: typeof param === 'string' ? param : undefined,
    retryAfter: typeof retryAfter === 'number' ? retryAfter : status === 503 || status === 429 ? 1 : undefined,
  };
}

/** Signals reject with DOM exceptions. */
function abortOf(thrown: unknown): PenjingError | undefined {
  if (!(thrown instanceof Error) || (thrown.name !== 'AbortError' && thrown.name !== 'TimeoutError')) return undefined;
  return thrown.name === 'AbortError' ? new PenjingError('E_CANCELLED', 'the client has left') : new PenjingError('E_DEADLINE', 'the time for the request is over');
}

/** The types of OpenAI's errors by status. */
const openAiTypes: Readonly<Record<number, string>> = { 400: 'invalid_request_error', 401: 'authentication_error', 403: 'permission_error', 404: 'invalid_request_error', 405: 'invalid_request_error', 413: 'invalid_request_error', 415: 'invalid_request_error', 429: 'rate_limit_error' };
const openAiCodes: Readonly<Record<string, string>> = { E_CONTEXT: 'context_length_exceeded', E_MODEL_NOT_FOUND: 'model_not_found', E_KEY: 'invalid_api_key', E_OVERLOADED: 'rate_limit_exceeded', E_UNAVAILABLE: 'service_unavailable', E_MODEL_LOST: 'service_unavailable' };

export interface OpenAiError {
  readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string };
}

export function openAiError({ status, code, message, hint, param }: Failure): OpenAiError {
  return { error: { message: hint === undefined ? message : `${message}. ${hint}`, type: openAiTypes[status] ?? 'server_error', param: param ?? null, code: openAiCodes[code] ?? code.slice(2).toLowerCase() } };
}

/** By the beginning of the path; the first that fits. */
const writers: readonly (readonly [prefix: string, write: (failure: Failure) => object])[] = [
  ['/v1/', openAiError],
  ['/v2', ({ message }) => ({ error: message })],
  ['/', ({ code, message, hint }) => ({ error: { code, message, ...(hint !== undefined && { hint }) } })],
];

export function errorReply(c: Context<{ Variables: RequestVariables }>, thrown: unknown): Response {
  const failure = failureOf(thrown);
  if (failure.status >= 500) c.get('logger')?.().error({ code: failure.code, error: isPenjingError(thrown) ? { message: thrown.message, details: thrown.details } : thrown instanceof Error ? thrown.stack : String(thrown) }, 'request failed');
  if (failure.retryAfter !== undefined) c.header('Retry-After', String(Math.ceil(failure.retryAfter)));
  if (failure.code === 'E_KEY') c.header('WWW-Authenticate', 'Bearer');
  const [, write] = writers.find(([prefix]) => c.req.path.startsWith(prefix))!;
  return c.json(write(failure), failure.status);
}
