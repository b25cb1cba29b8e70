/** A refusal of the server in one shape, whichever of its APIs said it. */

export interface ApiErrorInit {
  readonly status: number;
  readonly code?: string | undefined;
  readonly hint?: string | undefined;
  /** Seconds after which the server expects to have room. */
  readonly retryAfter?: number | undefined;
}

export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  readonly code: string | undefined;
  readonly hint: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(message: string, { status, code, hint, retryAfter }: ApiErrorInit) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
    this.retryAfter = retryAfter;
  }
}

/** Reads `{error: {message, code, hint}}` of the OpenAI routes and `{error: "…"}` of V2; other bodies are shown as they are. */
export function apiErrorFrom(status: number, body: string, headers: Headers): ApiError {
  const retry = Number(headers.get('retry-after') ?? Number.NaN);
  const retryAfter = Number.isFinite(retry) ? retry : undefined;
  const { message, code, hint } = readBody(body);
  return new ApiError(message ?? (body.trim().slice(0, 300) || `HTTP ${status}`), { status, code, hint, retryAfter });
}

interface ErrorBody {
  readonly message?: string | undefined;
  readonly code?: string | undefined;
  readonly hint?: string | undefined;
}

/** The fields of an error object, also of one that arrives in the middle of a stream. */
export function readErrorObject(value: unknown): ErrorBody | undefined {
  if (typeof value !== 'object' || value === null || !('error' in value)) return undefined;
  const { error } = value;
  const outer = value as Readonly<Record<string, unknown>>;
  if (typeof error === 'string') return { message: error, code: text(outer['code']), hint: text(outer['hint']) };
  if (typeof error !== 'object' || error === null) return undefined;
  const inner = error as Readonly<Record<string, unknown>>;
  return { message: text(inner['message']), code: text(inner['code']), hint: text(inner['hint']) ?? text(outer['hint']) };
}

function readBody(body: string): ErrorBody {
  try {
    return readErrorObject(JSON.parse(body)) ?? {};
  } catch {
    return {};
  }
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
