/** What was written of a window, cut at its times, and how far the window was understood. */

export interface TimeSegment {
  /** Seconds from the beginning of the window. */
  readonly start: number;
  readonly end: number;
  /** With the times at either end. */
  readonly tokens: readonly number[];
}

export interface WindowTimes {
  /** The token of 0.00 s. */
  readonly begin: number;
  /** Frames of the spectrogram in the window, per time, and per second. */
  readonly frames: number;
  readonly framesPerTime: number;
  readonly framesPerSecond: number;
}

/**
 * Two times beside each other end one segment and begin the next. What follows the last pair is cut off in the middle, so the next window begins there; a single time at the end
 * says that nothing more is said.
 */
export function timeSegments(tokens: readonly number[], { begin, frames, framesPerTime, framesPerSecond }: WindowTimes): { readonly segments: readonly TimeSegment[]; readonly heard: number } {
  const seconds = (token: number): number => ((token - begin) * framesPerTime) / framesPerSecond;
  const isTime = tokens.map((token) => token >= begin);
  const endsOnce = isTime.at(-1) === true && isTime.length > 1 && isTime.at(-2) === false;
  const cuts = tokens.flatMap((_, i) => (i > 0 && isTime[i - 1] && isTime[i] ? [i] : []));
  if (cuts.length === 0) {
    const last = tokens.findLast((token) => token >= begin);
    const end = last === undefined || last === begin ? Math.trunc(frames / framesPerTime) : last - begin;
    return { segments: [{ start: 0, end: (end * framesPerTime) / framesPerSecond, tokens }], heard: frames };
  }
  if (endsOnce) cuts.push(tokens.length);
  // the time that opens what is cut off stays with the last, to show that more is to come
  else cuts[cuts.length - 1]!++;
  const segments = cuts.map((cut, i) => {
    const inside = tokens.slice(i === 0 ? 0 : cuts[i - 1]!, cut);
    const closing = i === cuts.length - 1 && !endsOnce ? inside.at(-2)! : inside.at(-1)!;
    return { start: seconds(inside[0]!), end: seconds(closing), tokens: inside };
  });
  return { segments, heard: endsOnce ? frames : (tokens[cuts.at(-1)! - 2]! - begin) * framesPerTime };
}
