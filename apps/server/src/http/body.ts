/** Bodies within limits: bytes, pieces, encodings, nesting. */
import type { IncomingMessage } from 'node:http';
import { PenjingError } from '@penjing/core';
import type { z } from 'zod';
import type { Limits } from '../config/schema.js';
import { exchangeOf } from './incoming.js';
import { withinDepth } from './json-depth.js';

/** The whole body. Throws `E_BODY_SIZE`, `E_ENCODING` for one that is compressed, `E_REQUEST` for one that breaks off. */
export async function readBody(request: Request, { bodyBytes, bodyChunks }: Pick<Limits, 'bodyBytes' | 'bodyChunks'>): Promise<Uint8Array<ArrayBuffer>> {
  const encoding = request.headers.get('content-encoding');
  if (encoding !== null && encoding.toLowerCase() !== 'identity') throw new PenjingError('E_ENCODING', 'the body is compressed, which is refused', { hint: 'Send it as it is, without Content-Encoding.' });
  const declared = request.headers.get('content-length');
  if (declared !== null && !(Number(declared) <= bodyBytes)) throw tooLarge(bodyBytes);
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const take = (chunk: Uint8Array<ArrayBuffer>): void => {
    size += chunk.byteLength;
    if (size > bodyBytes) throw tooLarge(bodyBytes);
    if (chunks.push(chunk) > bodyChunks) throw new PenjingError('E_BODY_SIZE', `the body comes in more than ${bodyChunks} pieces`);
  };
  try {
    const incoming = exchangeOf(request)?.incoming;
    await (incoming ? readIncoming(incoming, take) : readStream(request.body, take));
  } catch (error) {
    if (error instanceof PenjingError) throw error;
    throw new PenjingError('E_REQUEST', 'the body ended before it was whole', { cause: error });
  }
  // As buffers, whose searches for a byte are native; mostly there is one, which is nobody else's.
  return chunks.length === 1 ? Buffer.from(chunks[0]!.buffer, chunks[0]!.byteOffset, size) : Buffer.concat(chunks, size);
}

function readIncoming(incoming: IncomingMessage, take: (chunk: Uint8Array<ArrayBuffer>) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: unknown): void => {
      incoming.off('data', onData).off('end', onEnd).off('error', done).off('close', onClose);
      if (error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error('the connection was closed'));
    };
    const onEnd = (): void => done();
    const onClose = (): void => done(incoming.errored ?? new Error('the connection was closed'));
    const onData = (chunk: Buffer<ArrayBuffer>): void => {
      try {
        take(chunk);
      } catch (error) {
        // What follows is thrown away by the listener, so that the refusal can be sent.
        incoming.pause();
        done(error);
      }
    };
    if (incoming.readableEnded) return done();
    if (incoming.destroyed) return onClose();
    incoming.on('data', onData).on('end', onEnd).on('error', done).on('close', onClose);
  });
}

async function readStream(body: Request['body'], take: (chunk: Uint8Array<ArrayBuffer>) => void): Promise<void> {
  if (!body) return;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      take(value);
    }
  } catch (error) {
    await reader.cancel().catch(() => {});
    throw error;
  }
}

/** Throws `E_REQUEST` for what is no JSON in UTF-8, or nests too deep. */
export function parseJson(bytes: Uint8Array, { jsonDepth }: Pick<Limits, 'jsonDepth'>): unknown {
  if (!withinDepth(bytes, jsonDepth)) throw new PenjingError('E_REQUEST', `the JSON nests deeper than ${jsonDepth} levels`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new PenjingError('E_REQUEST', 'the body is not UTF-8', { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    // Node's message quotes the text, which may be somebody's prompt.
    throw new PenjingError('E_REQUEST', 'the body is not JSON', { cause });
  }
}

/** The body as JSON of a schema. Throws `E_REQUEST` naming the field, which is `details.param`. */
export async function readJson<T extends z.ZodType>(request: Request, schema: T, limits: Limits): Promise<z.output<T>> {
  const bytes = await readBody(request, { ...limits, bodyBytes: Math.min(limits.bodyBytes, limits.jsonBytes) });
  return parseWith(schema, parseJson(bytes, limits));
}

/** Throws `E_REQUEST` naming the field, which is `details.param`. */
export function parseWith<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const param = issue?.path.join('.') ?? '';
  throw new PenjingError('E_REQUEST', `${param === '' ? 'the body' : param}: ${issue?.message ?? 'is wrong'}`, { details: { param } });
}

function tooLarge(limit: number): PenjingError {
  return new PenjingError('E_BODY_SIZE', `the body is larger than ${limit} bytes`);
}
