/** What proves who a peer is: a token, and TLS from PEM files. */
import type { StageSecurity } from '@penjing/parallel/grpc';
import { readPem } from './read-pem.js';

export interface SecurityFiles {
  /** Shared by all peers. */
  readonly token?: string | undefined;
  /** Paths of PEM files: authorities, own certificate and its key. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The name in the certificate of the other side, where it is not that of its address. */
  readonly serverName?: string | undefined;
}

/** Throws `E_OPTION` for files that cannot be read. */
export async function securityOf({ token, ca, cert, key, serverName }: SecurityFiles): Promise<StageSecurity> {
  const tls = {
    ...(ca !== undefined && { ca: await readPem(ca) }), ...(cert !== undefined && { cert: await readPem(cert) }), ...(key !== undefined && { key: await readPem(key) }),
    ...(serverName !== undefined && { serverName }),
  };
  return { ...(token !== undefined && { token }), ...(Object.keys(tls).length > 0 && { tls }) };
}
