/** What went wrong and what to do about it, read out when it appears. */
import type { JSX } from 'preact';
import { ApiError } from '../api/api-error.js';
import { say, type TextKey } from '../text/text.js';

interface Words {
  readonly message: string;
  readonly hint: string | undefined;
  readonly code: string | undefined;
}

/** The page has words of its own for what it can know; the rest is said as the server said it. */
const known: Readonly<Record<number, readonly [message: TextKey, hint: TextKey]>> = {
  0: ['error.unreachable', 'error.unreachable.hint'],
  401: ['error.unauthorized', 'error.unauthorized.hint'],
  403: ['error.forbidden', 'error.forbidden.hint'],
};

export function wordsOf(error: unknown): Words {
  if (!(error instanceof ApiError)) return { message: error instanceof Error && error.message !== '' ? error.message : say('error.here'), hint: undefined, code: undefined };
  const own = known[error.status];
  const wait = error.retryAfter !== undefined ? say('error.busy.hint', { n: Math.ceil(error.retryAfter) }) : undefined;
  if (own) return { message: say(own[0]), hint: say(own[1]), code: error.code };
  return { message: error.message, hint: error.hint ?? wait, code: error.code };
}

export function Notice({ error, onRetry }: { readonly error: unknown; readonly onRetry?: () => void }): JSX.Element {
  const { message, hint, code } = wordsOf(error);
  return (
    <div class="notice" role="alert">
      <strong>{message}</strong>
      {hint !== undefined && <span>{hint}</span>}
      {code !== undefined && <code class="small">{code}</code>}
      {onRetry && (
        <button type="button" class="button small" onClick={onRetry}>
          {say('common.retry')}
        </button>
      )}
    </div>
  );
}
