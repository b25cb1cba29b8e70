/** What Whisper may write where it tells times: pairs of them around each sentence, never going back. Logits are changed in place. */

export interface TimestampRules {
  /** The token of 0.00 s; all from it on are times. */
  readonly begin: number;
  readonly noTimestamps: number;
  readonly endToken: number;
  /** Of the first token: the latest time, counted from `begin`. */
  readonly maxInitial: number | undefined;
}

/** `written` is what stands after the prompt. */
export function applyTimestampRules(row: Float32Array, written: readonly number[], { begin, noTimestamps, endToken, maxInitial }: TimestampRules): void {
  row[noTimestamps] = -Infinity;
  const isTime = (token: number | undefined): boolean => token !== undefined && token >= begin;
  const after = isTime(written.at(-1));
  // a single time at the beginning opens a sentence, as the second of a pair does
  const opened = after && (written.length < 2 || isTime(written.at(-2)));
  if (opened) row.fill(-Infinity, begin);
  else if (after) row.fill(-Infinity, 0, endToken);
  const last = written.findLast(isTime);
  if (last !== undefined) row.fill(-Infinity, begin, after && !opened ? last : last + 1);
  if (written.length === 0) {
    row.fill(-Infinity, 0, begin);
    if (maxInitial !== undefined) row.fill(-Infinity, begin + maxInitial + 1);
  }
  if (timesAreLikelier(row, begin)) row.fill(-Infinity, 0, begin);
}

/** All times together, than any single word. */
function timesAreLikelier(row: Float32Array, begin: number): boolean {
  let [word, time] = [-Infinity, -Infinity];
  for (let i = 0; i < begin; i++) word = Math.max(word, row[i]!);
  for (let i = begin; i < row.length; i++) time = Math.max(time, row[i]!);
  if (time === -Infinity) return false;
  let sum = 0;
  for (let i = begin; i < row.length; i++) sum += Math.exp(row[i]! - time);
  return time + Math.log(sum) > word;
}
