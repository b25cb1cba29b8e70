/** Errors on their way between processes. */
import { isPenjingError, type PlainError, toPlainError } from '@penjing/core';

export function toWireError(error: unknown): PlainError {
  if (isPenjingError(error)) return toPlainError(error, 'E_INTERNAL');
  // Not one of ours: its text may name what only this process should know.
  return { code: 'E_INTERNAL', message: 'the model failed for a reason that it does not know', details: { cause: error instanceof Error ? (error.stack ?? error.message) : String(error) } };
}
