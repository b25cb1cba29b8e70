/** Finds calls of functions in what a model writes, as it writes. */

export interface ToolCall {
  readonly name: string;
  /** JSON. */
  readonly arguments: string;
}

export interface ToolPieces {
  readonly content: string;
  readonly calls: readonly ToolCall[];
}

export interface ToolCallReader {
  /** What has become certain with this piece of text. */
  push(text: string): ToolPieces;
  end(): ToolPieces;
}

/** As Hermes, Qwen and many after them mark calls. */
const [OPEN, CLOSE] = ['<tool_call>', '</tool_call>'];

/** Calls between marks, or a whole text that is JSON of one or several calls (Llama 3, Mistral, constrained texts). What only looks like one is content. */
export function createToolCallReader(): ToolCallReader {
  let held = '';
  let afterCall = false;
  let state: 'beginning' | 'content' | 'call' | 'json' = 'beginning';

  const read = (last: boolean): ToolPieces => {
    let content = '';
    const calls: ToolCall[] = [];
    for (;;) {
      if (state === 'beginning') {
        const text = held.trimStart();
        if (text === '' && !last) break;
        state = text.startsWith('{') || text.startsWith('[') ? 'json' : 'content';
      }
      if (state === 'json') {
        if (!last) break;
        const found = callsIn(held);
        if (found) calls.push(...found);
        else content += held;
        held = '';
        break;
      }
      if (state === 'content') {
        const at = held.indexOf(OPEN);
        const sure = at >= 0 ? at : last ? held.length : held.length - overlap(held, OPEN);
        const piece = held.slice(0, sure);
        const blank = piece.trim() === '';
        // Line breaks after a call, and between calls, are nobody's.
        if (blank && afterCall && at < 0 && !last) break;
        if (!blank || (!afterCall && at < 0)) content += piece;
        afterCall &&= blank;
        held = held.slice(sure);
        if (at < 0) break;
        held = held.slice(OPEN.length);
        state = 'call';
      }
      const end = held.indexOf(CLOSE);
      if (end < 0 && !last) break;
      const inside = end < 0 ? held : held.slice(0, end);
      const found = callsIn(inside);
      afterCall = found !== undefined;
      if (found) calls.push(...found);
      else content += `${OPEN}${inside}${end < 0 ? '' : CLOSE}`;
      held = end < 0 ? '' : held.slice(end + CLOSE.length);
      state = 'content';
      if (end < 0) break;
    }
    return { content, calls };
  };
  return {
    push(text) {
      held += text;
      return read(false);
    },
    end: () => read(true),
  };
}

/** How much of the end of `text` may be the beginning of `mark`. */
function overlap(text: string, mark: string): number {
  for (let length = Math.min(text.length, mark.length - 1); length > 0; length--) if (mark.startsWith(text.slice(text.length - length))) return length;
  return 0;
}

function callsIn(text: string): readonly ToolCall[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const calls = (Array.isArray(value) ? value : [value]).map(callOf);
  return calls.length > 0 && calls.every((call) => call !== undefined) ? calls : undefined;
}

function callOf(value: unknown): ToolCall | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { name, arguments: given, parameters } = value as { readonly name?: unknown; readonly arguments?: unknown; readonly parameters?: unknown };
  const inner = given ?? parameters;
  if (typeof name !== 'string' || inner === undefined) return undefined;
  return { name, arguments: typeof inner === 'string' ? inner : JSON.stringify(inner) };
}
