/** Who may speak to a stage: a token that both sides share, TLS, certificates of both sides. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';
import { type ChannelCredentials, credentials, Metadata, ServerCredentials } from '@grpc/grpc-js';
import { PenjingError } from '@penjing/core';

/** PEM texts. */
export interface StageTls {
  /** Whom to believe: authorities of the other side's certificates. A stage that has some asks its clients for one. */
  readonly ca?: string;
  /** Own certificate and key; a stage needs them, a client where the stage asks. */
  readonly cert?: string;
  readonly key?: string;
  /** Name in the certificate of the stage, where it is not its address. */
  readonly serverName?: string;
}

export interface StageSecurity {
  /** Shared by all stages of a chain and its fronts. Without TLS it can be read on the wire. */
  readonly token?: string;
  readonly tls?: StageTls;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, `[HOST]:PORT`. Throws `E_OPTION`. */
export function parseAddress(address: string): Address {
  const [, host, port] = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(address) ?? [];
  if (host === undefined || Number(port) > 65535) throw new PenjingError('E_OPTION', `${JSON.stringify(address)} is no address`, { hint: 'Give HOST:PORT.' });
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

export function formatAddress({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Throws `E_OPTION` where anybody on the network could run the stage. */
export function checkExposure(host: string, { token, tls }: StageSecurity, force: boolean): void {
  if (token !== undefined && !/^[\x21-\x7e]{16,1024}$/.test(token)) throw new PenjingError('E_OPTION', 'the token of the stages is not 16 to 1024 visible characters without spaces', { hint: 'Make one with: openssl rand -hex 32' });
  if (force || token !== undefined || tls?.ca !== undefined || isLoopback(host)) return;
  throw new PenjingError('E_OPTION', `${host} can be reached from other machines, and the stage would take requests of anybody`, { hint: 'Give a token, or TLS with ca, so that clients must show a certificate; or listen on 127.0.0.1.' });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || (isIPv4(host) && host.startsWith('127.')) || (isIPv6(host) && /^(0*:)*0*1$/.test(host));
}

export function serverCredentials({ tls }: StageSecurity): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure();
  const { ca, cert, key } = tls;
  if (cert === undefined || key === undefined) throw new PenjingError('E_OPTION', 'a stage with TLS needs a certificate and its key', { hint: 'Give tls.cert and tls.key.' });
  return ServerCredentials.createSsl(ca === undefined ? null : Buffer.from(ca), [{ cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }], ca !== undefined);
}

export function clientCredentials({ tls }: StageSecurity): ChannelCredentials {
  if (!tls) return credentials.createInsecure();
  const buffer = (text: string | undefined): Buffer | null => (text === undefined ? null : Buffer.from(text));
  return credentials.createSsl(buffer(tls.ca), buffer(tls.key), buffer(tls.cert));
}

export function tokenMetadata({ token }: StageSecurity): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/** Throws `E_KEY`. Hashes are compared, so that the time tells neither the token nor its length. */
export function checkToken(metadata: Metadata, { token }: StageSecurity): void {
  if (token === undefined) return;
  const [given] = metadata.get('authorization');
  const presented = /^Bearer (\S{1,1024})$/.exec(typeof given === 'string' ? given : '')?.[1] ?? '';
  if (!timingSafeEqual(sha256(presented), sha256(token))) throw new PenjingError('E_KEY', presented === '' ? 'the stage wants a token' : 'the token is not that of the stage', { hint: 'Give all stages and fronts the same token.' });
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
