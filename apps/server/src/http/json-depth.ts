/** How deep JSON nests, told before it is parsed: what is parsed deeper than the stack ends whoever walks it. */

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const OPEN: ReadonlySet<number> = new Set([0x7b, 0x5b]);
const CLOSE: ReadonlySet<number> = new Set([0x7d, 0x5d]);

/** True when brackets nest at most `limit` deep; the text need not be right otherwise. */
export function withinDepth(json: Uint8Array, limit: number): boolean {
  let depth = 0;
  let inText = false;
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]!;
    if (inText) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) inText = false;
    } else if (byte === QUOTE) inText = true;
    else if (byte >= 0x5b && OPEN.has(byte)) {
      if (++depth > limit) return false;
    } else if (byte >= 0x5b && CLOSE.has(byte)) depth--;
  }
  return true;
}
