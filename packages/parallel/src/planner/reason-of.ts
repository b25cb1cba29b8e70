/** Errors that say why a layout is impossible. */
import { isPenjingError } from '@penjing/core';

/** What makes a layout impossible is said beside it; anything else is a fault of ours. */
export function reasonOf(error: unknown): string {
  if (isPenjingError(error) && ['E_PLAN', 'E_MEMORY', 'E_GRAPH', 'E_UNSUPPORTED', 'E_DTYPE'].includes(error.code)) return error.message;
  throw error;
}
