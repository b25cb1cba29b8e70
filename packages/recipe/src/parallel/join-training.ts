/** Brings a run together with others that train the same on other machines. */
import type { TrainingExchange } from '@penjing/parallel/grpc';
import { readPem } from './read-pem.js';

export interface JoinTrainingFiles {
  /** Of rank 0, as `HOST:PORT`. */
  readonly address: string;
  readonly rank: number;
  readonly world: number;
  /** Shared by all ranks. */
  readonly token?: string | undefined;
  /** Paths of PEM files: authorities, own certificate and its key. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

/** For `RunRecipeOptions.exchange`. Throws what `joinTraining` of `@penjing/parallel/grpc` throws, and `E_OPTION` for files that cannot be read. */
export async function joinTraining({ address, rank, world, token, ca, cert, key, signal, onNote }: JoinTrainingFiles): Promise<TrainingExchange> {
  const parallel = await import('@penjing/parallel/grpc');
  const tls = ca === undefined && cert === undefined && key === undefined ? undefined : { ...(ca !== undefined && { ca: await readPem(ca) }), ...(cert !== undefined && { cert: await readPem(cert) }), ...(key !== undefined && { key: await readPem(key) }) };
  return parallel.joinTraining({ address, rank, world, security: { ...(token !== undefined && { token }), ...(tls && { tls }) }, signal, onNote });
}
