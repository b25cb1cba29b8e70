/** SHA-256 by the Web Crypto that Node and browsers have. */

/** Hash of the parts in order, in hex; where one part ends and the next begins counts. */
export async function sha256(...parts: readonly (string | Uint8Array)[]): Promise<string> {
  const digests = new Uint8Array(parts.length * 32);
  for (const [i, part] of parts.entries()) digests.set(await digest(typeof part === 'string' ? new TextEncoder().encode(part) : part), i * 32);
  return Array.from(await digest(digests), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function digest(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
}
