/** API keys: only their hashes are known, and comparing takes as long for a wrong key as for a right one. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Scope, ServerConfig } from '../config/schema.js';

export interface Caller {
  readonly name: string | undefined;
  readonly scopes: readonly Scope[];
}

/** Nobody's key is longer. */
const LONGEST = 512;

export function keyRing(keys: ServerConfig['keys']): (presented: string) => Caller | undefined {
  const known = keys.map(({ name, sha256, scopes }) => ({ name, scopes, hash: Buffer.from(sha256, 'hex') }));
  return (presented) => {
    if (presented.length > LONGEST) return undefined;
    const hash = createHash('sha256').update(presented).digest();
    let found: Caller | undefined;
    // All of them, so that time does not tell which.
    for (const key of known) if (timingSafeEqual(key.hash, hash)) found = key;
    return found && { name: found.name, scopes: found.scopes };
  };
}
