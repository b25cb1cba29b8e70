/** What every call of gRPC goes through: keys, draining, the client's deadline and leave, logs and counts. */
import { randomUUID } from 'node:crypto';
import { Metadata, type ServerDuplexStream, type ServerUnaryCall } from '@grpc/grpc-js';
import { PenjingError } from '@penjing/core';
import type { Logger } from 'pino';
import type { Scope, ServerConfig } from '../../config/schema.js';
import type { ServerContext } from '../../context.js';
import { keyRing } from '../../http/api-keys.js';

export type AnyCall = ServerUnaryCall<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

export interface CallContext {
  readonly caller: { readonly name: string | undefined };
  /** Fires when the client has left or its deadline has passed. */
  readonly signal: AbortSignal;
  /** Milliseconds that the client waits; undefined without a deadline. */
  readonly timeoutMs: number | undefined;
  readonly logger: Logger;
  /** What goes out before the answer of a unary call. */
  readonly headers: Metadata;
}

export type Gate = (call: AnyCall, scope: Scope | 'open') => CallContext;

/** Throws `E_REQUEST` for too much metadata, `E_KEY`, `E_SCOPE`, and `E_UNAVAILABLE` of a server that ends. */
export function createGate({ config, logger, draining }: ServerContext, stop: AbortSignal): Gate {
  const keys = keyRing(config.keys);
  return (call, scope) => {
    checkSize(call.metadata, config.limits);
    const caller = checkKey(call.metadata, scope, config, keys);
    if (draining() && scope !== 'open') throw new PenjingError('E_UNAVAILABLE', 'the server is ending', { details: { retryAfter: 1 } });
    const left = new AbortController();
    call.on('cancelled', () => left.abort(new PenjingError('E_CANCELLED', 'the client has left')));
    const deadline = call.getDeadline();
    const at = typeof deadline === 'number' ? deadline : deadline.getTime();
    return {
      caller, signal: AbortSignal.any([left.signal, stop]), timeoutMs: Number.isFinite(at) ? at - Date.now() : undefined,
      logger: logger.child({ requestId: randomUUID(), method: call.getPath() }), headers: new Metadata(),
    };
  };
}

/** The library tells clients the limit and holds nobody to it; beyond 64 KiB HTTP/2 itself refuses. */
function checkSize(metadata: Metadata, { headerBytes }: ServerConfig['limits']): void {
  const bytes = Object.entries(metadata.getMap()).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (bytes > headerBytes) throw new PenjingError('E_REQUEST', `the metadata is larger than ${headerBytes} bytes`);
}

function checkKey(metadata: Metadata, scope: Scope | 'open', { keys }: Pick<ServerConfig, 'keys'>, callerOf: ReturnType<typeof keyRing>): { readonly name: string | undefined } {
  if (keys.length === 0 || scope === 'open') return { name: undefined };
  const [authorization] = metadata.get('authorization');
  const [plain] = metadata.get('x-api-key');
  const presented = /^bearer +(\S+)$/i.exec(typeof authorization === 'string' ? authorization : '')?.[1] ?? (typeof plain === 'string' ? plain : undefined);
  const caller = presented === undefined ? undefined : callerOf(presented);
  if (!caller) throw new PenjingError('E_KEY', presented === undefined ? 'an API key is needed' : 'the API key is not known', { hint: 'Send it in the metadata as authorization: Bearer KEY.' });
  if (!caller.scopes.includes(scope)) throw new PenjingError('E_SCOPE', `the API key is not for ${scope}`);
  return { name: caller.name };
}
