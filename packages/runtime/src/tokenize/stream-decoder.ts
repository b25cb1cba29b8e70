/** Decodes a growing sequence of tokens piece by piece, never cutting a character in two. */

export interface StreamDecoder {
  /** The text that this token completes; empty while a character is incomplete. */
  push(id: number): string;
  /** What is still held back, with replacement characters where it never became text. */
  end(): string;
}

/** Tokens before the text that decoders look at (leading spaces, merges of spaces). */
const CONTEXT = 4;

/**
 * `decode` turns ids to text. Each piece is the difference of two decodings with the same few tokens before, because
 * what a token adds depends on its neighbours (spaces, bytes of one character).
 */
export function createStreamDecoder(decode: (ids: readonly number[]) => string, context: readonly number[]): StreamDecoder {
  let before: number[] = context.slice(-CONTEXT);
  let held: number[] = [];

  const flush = (): string => {
    const text = pending();
    before = [...before, ...held].slice(-CONTEXT);
    held = [];
    return text;
  };
  const pending = (): string => {
    const known = decode(before);
    return decode([...before, ...held]).slice(known.length);
  };
  return {
    push(id) {
      held.push(id);
      // A decoder shows the bytes of an incomplete character as U+FFFD; so do models that mean it.
      return pending().endsWith('\ufffd') ? '' : flush();
    },
    end: () => (held.length === 0 ? '' : flush()),
  };
}
