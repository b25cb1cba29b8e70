/** The sockets: an application behind node:http or node:https, with limits of its own, that can end without losing a reply. */
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { PenjingError } from '@penjing/core';
import type { ServerConfig } from '../config/schema.js';
import { rememberExchange } from './incoming.js';
import { leavingOf } from './leaving.js';

export interface Listener {
  readonly host: string;
  readonly port: number;
  /** Takes no more connections, waits until every reply is out or `deadline` fires, and then cuts what is left. */
  close(deadline: AbortSignal): Promise<void>;
}

/**
 * An idle connection is kept for longer than clients and load balancers keep theirs (60 s is usual): who closes first must be the one that sends, or a request crosses the close
 * and is lost. With 5 s, Node's default, 41 of 1.4 million were lost on a machine that stalled now and then.
 */
const KEEP_ALIVE_MS = 75_000;

type Fetch = (request: Request) => Response | Promise<Response>;

export async function listen(fetch: Fetch, { host, port }: { readonly host: string; readonly port: number }, { limits, tls, overrideGlobalObjects }: Pick<ServerConfig, 'limits' | 'tls'> & { readonly overrideGlobalObjects: boolean }): Promise<Listener> {
  const options = { maxHeaderSize: limits.headerBytes, headersTimeout: limits.headersMs, requestTimeout: limits.requestMs, keepAliveTimeout: KEEP_ALIVE_MS, connectionsCheckingInterval: 1_000 };
  const listener = getRequestListener(
    (request, { incoming, outgoing }) => {
      rememberExchange(request, { incoming: incoming as IncomingMessage, outgoing: outgoing as ServerResponse, leaving: leavingOf((incoming as IncomingMessage).socket) });
      return fetch(request);
    },
    { overrideGlobalObjects },
  );
  const handler = (...[request, response]: Parameters<typeof listener>): void => void listener(request, response);
  const server: Server = tls ? createHttpsServer({ ...options, ...(await readCertificates(tls)) }, handler) : createHttpServer(options, handler);
  server.maxHeadersCount = limits.headers;
  server.maxConnections = limits.connections;
  // What is no HTTP gets an answer that says so, and nothing else.
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request';
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(new PenjingError('E_LISTEN', `cannot listen on ${host}:${port}: ${cause.code ?? cause.message}`, { cause, hint: 'Choose another port: --port.' })));
    server.listen({ host, port }, resolve);
  });
  return {
    host,
    port: (server.address() as AddressInfo).port,
    close: (deadline) =>
      new Promise((resolve) => {
        const cut = (): void => server.closeAllConnections();
        server.close(() => {
          deadline.removeEventListener('abort', cut);
          clearInterval(sweep);
          resolve();
        });
        // A connection that is kept alive becomes idle when its reply is out.
        const sweep = setInterval(() => server.closeIdleConnections(), 50);
        if (deadline.aborted) cut();
        else deadline.addEventListener('abort', cut, { once: true });
      }),
  };
}

/** The files of `tls`. Throws `E_NOT_FOUND`. */
export async function readCertificates({ cert, key }: NonNullable<ServerConfig['tls']>): Promise<{ readonly cert: Buffer; readonly key: Buffer }> {
  const read = (path: string): Promise<Buffer> =>
    readFile(path).catch((cause: unknown) => {
      throw new PenjingError('E_NOT_FOUND', `${path} cannot be read`, { cause });
    });
  const [certificate, secret] = await Promise.all([read(cert), read(key)]);
  return { cert: certificate, key: secret };
}
