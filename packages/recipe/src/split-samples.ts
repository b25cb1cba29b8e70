/** Samples to learn from and samples to judge by, from one source: every so-manieth is held out. */

export interface SplitSamples<Sample> {
  readonly used: readonly Sample[];
  readonly heldOut: readonly Sample[];
}

/** Without `leaveOut` nothing is held out. At even distances, so that both parts are like the whole. */
export function splitSamples<Sample>(samples: readonly Sample[], leaveOut: number | undefined): SplitSamples<Sample> {
  const isOut = (index: number): boolean => leaveOut !== undefined && index % leaveOut === leaveOut - 1;
  return { used: samples.filter((_, i) => !isOut(i)), heldOut: samples.filter((_, i) => isOut(i)) };
}
