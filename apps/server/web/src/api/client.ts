/** Requests to the server that this page came from, with the API key when there is one. */
import { apiKey } from '../state/settings.js';
import { ApiError, apiErrorFrom, readErrorObject } from './api-error.js';
import { eventData } from './server-sent-events.js';

export interface RequestOptions {
  readonly method?: 'GET' | 'POST';
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly body?: Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** Throws {@link ApiError} for every status of 400 and above, with status 0 when no answer came; an abort goes through as it is. */
export async function request(path: string, { method, json, body, headers, signal }: RequestOptions = {}): Promise<Response> {
  const sent: Record<string, string> = { ...headers };
  if (json !== undefined) sent['content-type'] = 'application/json';
  if (apiKey.value !== '') sent['authorization'] = `Bearer ${apiKey.value}`;
  let response: Response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      method: method ?? (json !== undefined || body ? 'POST' : 'GET'),
      headers: sent,
      body: json !== undefined ? JSON.stringify(json) : (body ?? null),
      signal: signal ?? null,
      cache: 'no-store',
      credentials: 'same-origin',
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError('', { status: 0, code: 'unreachable' });
  }
  if (response.ok) return response;
  throw apiErrorFrom(response.status, await response.text().catch(() => ''), response.headers);
}

export async function requestJson<T>(path: string, options?: RequestOptions): Promise<T> {
  return (await (await request(path, options)).json()) as T;
}

/** The JSON of each event until `[DONE]`; an error event throws. */
export async function* requestEvents<T>(path: string, options: RequestOptions): AsyncGenerator<T, void, undefined> {
  const { body } = await request(path, options);
  if (!body) return;
  for await (const data of eventData(chunksOf(body))) {
    if (data === '[DONE]') return;
    const value: unknown = JSON.parse(data);
    const error = readErrorObject(value);
    if (error) throw new ApiError(error.message ?? 'the stream ended with an error', { status: 200, code: error.code, hint: error.hint });
    yield value as T;
  }
}

/** `for await` over a response body is not in every browser yet. */
async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
