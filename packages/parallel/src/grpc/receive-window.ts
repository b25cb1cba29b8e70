/** How much may be on its way to a gRPC server before it answers. */
import type { Http2Server, ServerHttp2Session } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

/** Bytes. With HTTP/2's 64 KB, 4 MB take 64 round trips: 1.2 s where one takes 10 ms, against 60 ms. */
export const RECEIVE_WINDOW = 8 << 20;

interface Inside {
  readonly commonServerOptions?: { settings?: object };
  readonly http2Servers?: ReadonlyMap<Http2Server, unknown>;
}

/** For streams to come. The library has an option for this in its client and none in its server, so its fields are set; a test says when they are gone. Call it before `bindAsync`. */
export function widenStreams(server: Server, bytes = RECEIVE_WINDOW): void {
  const { commonServerOptions: options } = server as unknown as Inside;
  if (options) options.settings = { ...options.settings, initialWindowSize: bytes };
}

/** For connections to come. Call it after `bindAsync`. */
export function widenConnections(server: Server, bytes = RECEIVE_WINDOW): void {
  for (const http2 of (server as unknown as Inside).http2Servers?.keys() ?? []) http2.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(bytes));
}
