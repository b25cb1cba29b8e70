/** Errors on their way between threads. */
import { isPenjingError, PenjingError } from '@penjing/core';

export interface WireError {
  readonly code: `E_${string}`;
  readonly message: string;
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export function toWireError(error: unknown): WireError {
  if (isPenjingError(error)) {
    return {
      code: error.code,
      message: error.message,
      details: error.details,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    };
  }
  return { code: 'E_ENGINE', message: error instanceof Error ? error.message : String(error) };
}

export function fromWireError({ code, message, hint, details }: WireError): PenjingError {
  return new PenjingError(code, message, { ...(hint === undefined ? {} : { hint }), ...(details === undefined ? {} : { details }) });
}
