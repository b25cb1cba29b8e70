/** Typed failures: every error a user can cause carries a stable code and says what to do next. */

export interface PenjingErrorOptions {
  /** What the user can do about it, as one imperative sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Structured facts (names, sizes, offsets) for programs. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** An expected failure. `code` is stable and starts with `E_`; the message names the offending thing. */
export class PenjingError extends Error {
  readonly code: `E_${string}`;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: `E_${string}`, message: string, options: PenjingErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PenjingError';
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }
}

/** A failure as plain data, on its way to another thread or process. */
export interface PlainError {
  readonly code: `E_${string}`;
  readonly message: string;
  readonly hint?: string | undefined;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** `code` is for errors that have none. */
export function toPlainError(error: unknown, code: `E_${string}`): PlainError {
  if (!isPenjingError(error)) return { code, message: error instanceof Error ? error.message : String(error) };
  return { code: error.code, message: error.message, details: error.details, ...(error.hint !== undefined && { hint: error.hint }) };
}

export function fromPlainError({ code, message, hint, details }: PlainError): PenjingError {
  return new PenjingError(code, message, { ...(hint !== undefined && { hint }), ...(details && { details }) });
}

/** True for a failure raised by any copy of any Penjing package; structural, so duplicates do not matter. */
export function isPenjingError(error: unknown): error is PenjingError {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('E_')
  );
}
