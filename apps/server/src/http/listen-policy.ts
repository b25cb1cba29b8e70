/** Whether a server may listen where it is told to. */
import { PenjingError } from '@penjing/core';
import type { ServerConfig } from '../config/schema.js';

/** An address that other machines do not reach. */
export function isLocal(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/** Throws `E_PUBLIC` for a public address without a key, unless that is forced. Some 300,000 servers of language models stand open in the internet. */
export function checkListening({ host, keys, admin, grpc, allowPublicWithoutKey }: ServerConfig): void {
  const open = [host, ...(admin ? [admin.host] : []), ...(grpc ? [grpc.host] : [])].find((address) => !isLocal(address));
  if (open === undefined || keys.length > 0 || allowPublicWithoutKey) return;
  throw new PenjingError('E_PUBLIC', `listening on ${open} would let everybody in: there is no API key`, {
    hint: 'Set PENJING_API_KEY (or keys in the configuration), listen on 127.0.0.1, or force it with allowPublicWithoutKey (--allow-public-without-key).',
  });
}
