/** Names of chains of stages, which become parts of subjects and keys of a NATS server. */
import { PenjingError } from '@penjing/core';

/** Throws `E_OPTION`. `*` and `>` would hear all chains of the server. */
export function checkChainName(chain: string): void {
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(chain)) throw new PenjingError('E_OPTION', `${JSON.stringify(chain)} is no name of a chain`, { hint: 'Use at most 32 letters, digits, - and _.' });
}
