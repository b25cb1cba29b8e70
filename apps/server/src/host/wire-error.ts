/** Errors on their way between processes. */
import { isPenjingError, PenjingError } from '@penjing/core';
import type { WireError } from './protocol.js';

export function toWireError(error: unknown): WireError {
  if (isPenjingError(error)) return { code: error.code, message: error.message, details: error.details, ...(error.hint !== undefined && { hint: error.hint }) };
  // Not one of ours: its text may name what only this process should know.
  return { code: 'E_INTERNAL', message: 'the model failed for a reason that it does not know', details: { cause: error instanceof Error ? (error.stack ?? error.message) : String(error) } };
}

export function fromWireError({ code, message, hint, details }: WireError): PenjingError {
  return new PenjingError(code, message, { ...(hint !== undefined && { hint }), ...(details && { details }) });
}
