/** Looks for stop strings in text that arrives in pieces, however the pieces are cut. */

export interface StopMatcher {
  /** Text that is certain not to belong to a stop string, and whether one was found. */
  push(text: string): { readonly text: string; readonly stopped: boolean };
  /** What was held back because a stop string might have begun there. */
  end(): string;
}

export function createStopMatcher(stops: readonly string[]): StopMatcher {
  let held = '';
  return {
    push(text) {
      held += text;
      const at = firstStop(held, stops);
      if (at >= 0) {
        const before = held.slice(0, at);
        held = '';
        return { text: before, stopped: true };
      }
      const keep = longestBeginning(held, stops);
      const out = held.slice(0, held.length - keep);
      held = held.slice(held.length - keep);
      return { text: out, stopped: false };
    },
    end() {
      const rest = held;
      held = '';
      return rest;
    },
  };
}

/** Start of the stop string that is complete first (of those, the longest), so that the cuts do not matter; -1 for none. */
function firstStop(text: string, stops: readonly string[]): number {
  let start = -1;
  let end = Infinity;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at < 0 || at + stop.length > end || (at + stop.length === end && at > start)) continue;
    start = at;
    end = at + stop.length;
  }
  return start;
}

/** Length of the longest end of `text` that is the beginning of a stop string. */
function longestBeginning(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
