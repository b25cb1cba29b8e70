/** Brings a run together with others that train the same on other machines. */
import type { TrainingExchange } from '@penjing/parallel/grpc';
import { type SecurityFiles, securityOf } from './read-security.js';

export interface JoinTrainingFiles extends Omit<SecurityFiles, 'serverName'> {
  /** Of rank 0, as `HOST:PORT`. */
  readonly address: string;
  readonly rank: number;
  readonly world: number;
  readonly signal?: AbortSignal | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

/** For `RunRecipeOptions.exchange`. Throws what `joinTraining` of `@penjing/parallel/grpc` throws, and `E_OPTION` for files that cannot be read. */
export async function joinTraining({ address, rank, world, signal, onNote, ...files }: JoinTrainingFiles): Promise<TrainingExchange> {
  const parallel = await import('@penjing/parallel/grpc');
  return parallel.joinTraining({ address, rank, world, security: await securityOf(files), signal, onNote });
}
