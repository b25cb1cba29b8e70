/** Addresses of NATS servers as people write them. */
import { PenjingError } from '@penjing/core';
import type { NatsCredentials } from './credentials.js';

export interface ParsedServers {
  /** `host:port`. */
  readonly hosts: readonly string[];
  /** Some address says tls://. One connection in clear would give away what TLS keeps, so it holds for all. */
  readonly tls: boolean;
  /** From the first address that has any. */
  readonly credentials: NatsCredentials | undefined;
}

const DEFAULT_PORT = '4222';

/** Several may also stand in one text, with commas between. Throws `E_OPTION`, never with a secret in its message. */
export function parseServers(servers: string | readonly string[]): ParsedServers {
  const texts = (typeof servers === 'string' ? servers.split(',') : [...servers]).map((text) => text.trim()).filter((text) => text !== '');
  if (texts.length === 0) throw badServer('no NATS server was named');
  const urls = texts.map(parseUrl);
  const named = urls.find(({ username }) => username !== '');
  return {
    hosts: urls.map(({ hostname, port }) => `${hostname}:${port || DEFAULT_PORT}`),
    tls: urls.some(({ protocol }) => protocol === 'tls:'),
    credentials: named && credentialsOf(named),
  };
}

function parseUrl(text: string): URL {
  const shown = text.replace(/\/\/[^@/]*@/, '//…@');
  const full = text.includes('://') ? text : `nats://${text}`;
  if (!URL.canParse(full)) throw badServer(`${shown} is no address of a NATS server`);
  const url = new URL(full);
  if (url.protocol !== 'nats:' && url.protocol !== 'tls:') throw badServer(`${shown} starts with ${url.protocol}//`);
  if (url.hostname === '' || (url.pathname !== '' && url.pathname !== '/') || url.search !== '') throw badServer(`${shown} is no address of a NATS server`);
  return url;
}

function credentialsOf({ username, password }: URL): NatsCredentials {
  const user = decodeURIComponent(username);
  return password === '' ? { kind: 'token', token: user } : { kind: 'password', user, password: decodeURIComponent(password) };
}

function badServer(message: string): PenjingError {
  return new PenjingError('E_OPTION', message, { hint: 'Write nats://HOST:4222 or tls://HOST:4222.' });
}
