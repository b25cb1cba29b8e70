/** A file behind HTTP as a byte source: ranges are fetched when they are read. */
import { type ByteSource, checkRange, PenjingError } from '@penjing/core';

export interface HttpSourceOptions {
  /** Sent with every request, for example an authorization. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** `globalThis.fetch` when absent. */
  readonly fetch?: typeof globalThis.fetch;
}

/**
 * Asks for the first byte to learn the size. Throws `E_HTTP` when the server refuses, does not serve ranges (it would
 * send the whole file for each read), or serves another file later.
 */
export async function httpSource(url: string, options: HttpSourceOptions = {}): Promise<ByteSource> {
  const { headers = {}, signal, fetch = globalThis.fetch } = options;
  const request = async (range: string): Promise<Response> => {
    const response = await fetch(url, { headers: { ...headers, range }, ...(signal && { signal }) }).catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw new PenjingError('E_HTTP', `${url} cannot be reached`, { cause, hint: 'Check the address and the network.' });
    });
    if (response.status === 206) return response;
    await response.body?.cancel();
    throw new PenjingError('E_HTTP', `${url} answers ${response.status} to a request for a range`, {
      hint: response.ok ? 'The server does not serve ranges; download the file first.' : 'Check the address and the authorization.',
      details: { status: response.status },
    });
  };
  const probe = await request('bytes=0-0');
  const size = totalSize(probe, url);
  const version = versionOf(probe);
  await probe.arrayBuffer();
  return {
    uri: url,
    size,
    descriptor: { kind: 'http', url, size },
    async read(offset, length) {
      checkRange(url, size, offset, length);
      if (length === 0) return new Uint8Array();
      const response = await request(`bytes=${offset}-${offset + length - 1}`);
      if (totalSize(response, url) !== size || versionOf(response) !== version) {
        await response.body?.cancel();
        throw new PenjingError('E_SOURCE_CHANGED', `${url} changed while it was read`, { hint: 'Run again.' });
      }
      const bytes = new Uint8Array(await response.arrayBuffer().catch((cause: unknown) => {
        signal?.throwIfAborted();
        throw new PenjingError('E_HTTP', `${url} broke off at ${offset}`, { cause, hint: 'Run again.' });
      }));
      if (bytes.byteLength !== length) {
        throw new PenjingError('E_TRUNCATED', `${url} sent ${bytes.byteLength} of ${length} bytes at ${offset}`, { hint: 'Run again.' });
      }
      return bytes;
    },
  };
}

/** `Content-Range: bytes 0-0/12345`. */
function totalSize(response: Response, url: string): number {
  const size = Number(/\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1]);
  if (Number.isSafeInteger(size)) return size;
  throw new PenjingError('E_HTTP', `${url} does not say how large it is`, { hint: 'Download the file first.' });
}

/** A strong entity tag tells two files of the same size apart. */
function versionOf(response: Response): string | null {
  const tag = response.headers.get('etag');
  return tag?.startsWith('W/') ? null : tag;
}
