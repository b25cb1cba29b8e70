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
  const urls = texts.map((text) => parseUrl(text, texts.join()));
  const named = urls.find(({ username }) => username !== '');
  return {
    hosts: urls.map(({ hostname, port }) => `${hostname}:${port || DEFAULT_PORT}`),
    tls: urls.some(({ protocol }) => protocol === 'tls:'),
    credentials: named && credentialsOf(named),
  };
}

function parseUrl(text: string, all: string): URL {
  const shown = withoutSecret(text, all);
  const full = text.includes('://') ? text : `nats://${text}`;
  if (!URL.canParse(full)) throw badServer(`${shown} is no address of a NATS server`);
  const url = new URL(full);
  const { protocol, hostname, pathname, search, hash } = url;
  // What follows the host may be the end of a password with a sign in it that was not escaped: then the host is its beginning.
  const ends = (pathname === '' || pathname === '/') && search === '' && hash === '';
  if ((protocol !== 'nats:' && protocol !== 'tls:') || hostname === '' || !ends) throw badServer(`${shown} is no address of a NATS server`);
  return url;
}

/** People write passwords with `/`, `@`, `#` and `,` in them: all before the last @ may be one, and so may a text that a comma cut off. */
function withoutSecret(text: string, all: string): string {
  const at = text.lastIndexOf('@');
  if (at === -1) return all.includes('@') ? 'one of the addresses' : text;
  return `${/^(nats|tls):\/\//.exec(text)?.[0] ?? ''}…${text.slice(at)}`;
}

function credentialsOf({ username, password }: URL): NatsCredentials {
  try {
    const user = decodeURIComponent(username);
    return password === '' ? { kind: 'token', token: user } : { kind: 'password', user, password: decodeURIComponent(password) };
  } catch {
    throw badServer('the user, password or token before the @ has a % that is no escape');
  }
}

function badServer(message: string): PenjingError {
  return new PenjingError('E_OPTION', message, { hint: 'Write nats://HOST:4222 or tls://HOST:4222; in a password write %2F for /, %40 for @, %2C for a comma and %25 for %.' });
}
