/** Keys and values of texts that were read before: a text that begins alike goes on from there. */
import type { CacheRows } from './cache-rows.js';

/** What they may take where nothing else is said. */
export const PREFIX_BYTES = 256 * 2 ** 20;

interface Entry {
  readonly tokens: readonly number[];
  /** One row with at least these tokens. */
  readonly rows: CacheRows;
}

/** The most recently used stay, as far as they fit into `bytes`. */
export class PrefixCache {
  readonly #bytes: number;
  /** The oldest first. */
  #entries: Entry[] = [];

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** What is known of the beginning of a text; its last token is never part of it, since somebody must say what follows. */
  find(tokens: readonly number[]): { readonly rows: CacheRows; readonly length: number } | undefined {
    let best: { entry: Entry; length: number } | undefined;
    for (const entry of this.#entries) {
      const length = Math.min(commonLength(entry.tokens, tokens), tokens.length - 1);
      if (length > (best?.length ?? 0)) best = { entry, length };
    }
    if (!best) return undefined;
    const { entry } = best;
    this.#entries = [...this.#entries.filter((other) => other !== entry), entry];
    return { rows: entry.rows, length: best.length };
  }

  /** Owns the rows. Texts that are the beginning of this one need not be kept. */
  put(tokens: readonly number[], rows: CacheRows): void {
    if (rows.bytes > this.#bytes) return;
    this.#entries = this.#entries.filter((entry) => commonLength(entry.tokens, tokens) < entry.tokens.length);
    this.#entries.push({ tokens, rows });
    let total = this.#entries.reduce((sum, entry) => sum + entry.rows.bytes, 0);
    while (total > this.#bytes) total -= this.#entries.shift()!.rows.bytes;
  }
}

function commonLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}
