/** Who a peer says it is: NKey seed, .creds file, user with password, or token; and the certificates it trusts. */
import { readFile } from 'node:fs/promises';
import { type Authenticator, credsAuthenticator, nkeyAuthenticator, tokenAuthenticator, usernamePasswordAuthenticator } from '@nats-io/nats-core';
import { fromSeed } from '@nats-io/nkeys';
import { PenjingError } from '@penjing/core';

export type NatsCredentials =
  /** An NKey of a user, `SU…`: the server knows its public half only, and no secret crosses the network. */
  | { readonly kind: 'nkey'; readonly seed: string }
  /** Content of a `.creds` file: a JWT and the seed that belongs to it. */
  | { readonly kind: 'creds'; readonly text: string }
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'token'; readonly token: string };

/** PEM texts. Being there, even empty, refuses a connection without TLS. */
export interface NatsTls {
  /** Certificates of authorities to trust beside those of Node. */
  readonly ca?: string;
  /** Certificate and key of this peer, where the server asks for one (`verify: true`). */
  readonly cert?: string;
  readonly key?: string;
}

/** Throws `E_CONFIG` for what is no seed or no credentials, without repeating it. */
export function authenticatorOf(credentials: NatsCredentials): Authenticator {
  switch (credentials.kind) {
    case 'nkey':
      return nkeyAuthenticator(checkedSeed(credentials.seed));
    case 'creds':
      if (!/-----BEGIN NATS USER JWT-----/.test(credentials.text)) throw new PenjingError('E_CONFIG', 'these are no NATS credentials', { hint: 'Give the .creds file that nsc wrote for the user.' });
      return credsAuthenticator(new TextEncoder().encode(credentials.text));
    case 'password':
      return usernamePasswordAuthenticator(credentials.user, credentials.password);
    case 'token':
      return tokenAuthenticator(credentials.token);
  }
}

function checkedSeed(seed: string): Uint8Array {
  const bytes = new TextEncoder().encode(seed.trim());
  try {
    if (fromSeed(bytes).getPublicKey().startsWith('U')) return bytes;
  } catch {
    // Told below: the cause may show parts of the seed.
  }
  throw new PenjingError('E_CONFIG', 'this is no NKey seed of a user', { hint: 'Give the file with the seed (it starts with SU) that `nk -gen user` made.' });
}

/** Reads a file with a seed or with credentials; the content says which. Throws `E_NOT_FOUND`, `E_CONFIG`. */
export async function readCredentials(path: string): Promise<NatsCredentials> {
  const text = await readText(path, 'credentials');
  if (text.includes('-----BEGIN NATS USER JWT-----')) return { kind: 'creds', text };
  // `nk` writes a bare seed; people put comments around it.
  const seed = /^\s*(SU[A-Z2-7]{40,})\s*$/m.exec(text)?.[1];
  if (seed) return { kind: 'nkey', seed };
  throw new PenjingError('E_CONFIG', `${path} holds neither an NKey seed nor NATS credentials`, { hint: 'A seed is a line that starts with SU, made by `nk -gen user`.' });
}

/** Reads PEM files. */
export async function readTls(paths: { readonly ca?: string; readonly cert?: string; readonly key?: string }): Promise<NatsTls> {
  const entries = Object.entries(paths).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const texts: Record<string, string> = {};
  for (const [name, path] of entries) texts[name] = await readText(path, name);
  return texts;
}

async function readText(path: string, what: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `the file of the ${what}, ${path}, cannot be read`, { cause });
  });
}
