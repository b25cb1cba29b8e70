/** A server with OpenAI's API as the partner of a conversation: one of ours, or another. */
import { PenjingError } from '@penjing/core';
import { createParser } from 'eventsource-parser';
import type { Sampling } from '../sampling-options.js';
import type { Partner } from './partner.js';

export interface ServerPartnerOptions {
  /** The only model that writes text when absent. */
  readonly model: string | undefined;
  readonly apiKey: string | undefined;
  readonly sampling: Sampling & { readonly seed: number | undefined };
  readonly signal: AbortSignal;
}

interface ModelEntry {
  readonly id: string;
  /** Of ours only. */
  readonly task?: string;
}

interface Chunk {
  readonly choices?: readonly { readonly delta?: { readonly content?: string | null }; readonly finish_reason?: string | null }[];
  readonly error?: ServerError;
}

interface ServerError {
  readonly message?: string;
  readonly code?: string | number | null;
}

/** `url` with or without /v1. Throws `E_SERVER` for what cannot be reached or answers no chats, `E_MODEL_NOT_FOUND`. */
export async function serverPartner(url: string, { model: wanted, apiKey, sampling, signal }: ServerPartnerOptions): Promise<Partner> {
  const base = url.replace(/\/+$/, '').replace(/\/v1$/, '');
  const ask = async (path: string, init: RequestInit): Promise<Response> => {
    const response = await fetch(`${base}/v1/${path}`, { ...init, headers: { 'Content-Type': 'application/json', ...(apiKey !== undefined && { Authorization: `Bearer ${apiKey}` }) } }).catch((cause: unknown) => {
      init.signal?.throwIfAborted();
      throw new PenjingError('E_SERVER', `${base} cannot be reached`, { cause, hint: 'Is it the address of a server (penjing serve)?' });
    });
    if (!response.ok) throw failureOf(base, response.status, await errorIn(response));
    return response;
  };
  const model = wanted ?? onlyModel(base, await modelsIn(base, await ask('models', { signal }), signal));
  return {
    async reply(messages, { signal: stop, onText }) {
      const response = await ask('chat/completions', { method: 'POST', signal: stop, body: JSON.stringify({ model, messages, stream: true, ...fieldsOf(sampling) }) });
      let text = '';
      let finish: string | undefined;
      for await (const { choices, error } of chunksOf(base, response, stop)) {
        if (error) throw failureOf(base, response.status, error);
        const piece = choices?.[0]?.delta?.content ?? '';
        text += piece;
        if (piece !== '') onText(piece);
        finish = choices?.[0]?.finish_reason ?? finish;
      }
      if (finish === undefined) throw new PenjingError('E_SERVER', `${base} ended its reply in the middle`);
      return { text, finish: finish === 'length' ? 'length' : 'end' };
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

async function modelsIn(base: string, response: Response, signal: AbortSignal): Promise<readonly ModelEntry[]> {
  const body = (await response.json().catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new PenjingError('E_SERVER', `${base} answers with what is no JSON`, { cause, hint: "Is it the address of a server with OpenAI's API (penjing serve)?" });
  })) as { readonly data?: readonly ModelEntry[] } | null;
  return (Array.isArray(body?.data) ? body.data : []) as readonly ModelEntry[];
}

/** What it says piece by piece. Throws `E_SERVER` when it ends in the middle, as a server that is killed, or says what cannot be read; the reason of the signal when that is why. */
async function* chunksOf(base: string, { body }: Response, signal: AbortSignal): AsyncGenerator<Chunk, void, undefined> {
  try {
    for await (const data of eventsOf(body! as ReadableStream & AsyncIterable<Uint8Array>)) {
      if (data === '[DONE]') return;
      yield (JSON.parse(data) ?? {}) as Chunk;
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw new PenjingError('E_SERVER', `${base} ${cause instanceof SyntaxError ? 'replies with what is no JSON' : 'broke off its reply'}`, { cause });
  }
}

/** The data of its server-sent events. */
async function* eventsOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const events: string[] = [];
  const parser = createParser({ onEvent: ({ data }) => void events.push(data) });
  const decoder = new TextDecoder();
  for await (const bytes of body) {
    parser.feed(decoder.decode(bytes, { stream: true }));
    yield* events.splice(0);
  }
}

function onlyModel(base: string, models: readonly ModelEntry[]): string {
  const writing = models.filter(({ task }) => task === undefined || task === 'text-generation');
  if (writing.length === 1) return writing[0]!.id;
  throw new PenjingError('E_MODEL_NOT_FOUND', writing.length === 0 ? `${base} has no model that writes text` : `${base} has several models`, {
    hint: writing.length === 0 ? 'Serve one: penjing serve MODEL.' : `Name one: ${writing.map(({ id }) => id).join(', ')}.`,
  });
}

/** As the API names them; those after the penalties are ours and vLLM's, and go only where they were asked for. */
function fieldsOf({ maxNewTokens, temperature = 0, topP, frequencyPenalty, presencePenalty, topK, minP, repetitionPenalty, stop, seed }: ServerPartnerOptions['sampling']): object {
  return {
    max_tokens: maxNewTokens, temperature, top_p: topP, frequency_penalty: frequencyPenalty, presence_penalty: presencePenalty, seed,
    ...(stop.length > 0 && { stop }),
    top_k: topK, min_p: minP, repetition_penalty: repetitionPenalty,
  };
}

async function errorIn(response: Response): Promise<ServerError> {
  const body = await response.json().catch(() => ({})) as { readonly error?: ServerError };
  return body.error ?? {};
}

function failureOf(base: string, status: number, { message = `status ${status}`, code }: ServerError): PenjingError {
  if (code === 'context_length_exceeded') return new PenjingError('E_CONTEXT', message);
  const hint = status === 401 ? 'Give its key: --api-key, or PENJING_API_KEY.' : undefined;
  return new PenjingError('E_SERVER', `${base} says: ${message}`, { details: { status }, ...(hint !== undefined && { hint }) });
}
