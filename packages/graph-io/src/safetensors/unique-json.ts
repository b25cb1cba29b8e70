/** JSON in which a key may stand only once per object: `JSON.parse` alone keeps the last one silently. */

/** Throws an `Error` for bad JSON, duplicate keys, or nesting beyond what any header has. */
export function parseUniqueJson(text: string, maxDepth = 8): unknown {
  const keys = countKeys(text, maxDepth);
  const value: unknown = JSON.parse(text);
  if (countEntries(value) !== keys) throw new Error('a key stands twice in one object');
  return value;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Colons outside strings: one per key, whether it is the first of its name or not. */
function countKeys(text: string, maxDepth: number): number {
  let keys = 0;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) i = endOfString(text, i);
    else if (code === 0x3a) keys++;
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > maxDepth) throw new Error(`nested deeper than ${maxDepth}`);
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
  return keys;
}

function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) return i;
    if (code === 0x5c) i++;
  }
  return text.length;
}

function countEntries(value: unknown): number {
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + countEntries(item), 0);
  if (!isObject(value)) return 0;
  return Object.values(value).reduce<number>((sum, item) => sum + 1 + countEntries(item), 0);
}
