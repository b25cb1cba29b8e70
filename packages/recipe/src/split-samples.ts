/** Samples to learn from and samples to judge by, from one source: every so-manieth is held out. */

export interface SplitSamples<Sample> {
  readonly used: readonly Sample[];
  readonly heldOut: readonly Sample[];
}

/** Without `leaveOut` nothing is held out. At even distances, so that both parts are like the whole. */
export function splitSamples<Sample>(samples: readonly Sample[], leaveOut: number | undefined): SplitSamples<Sample> {
  return { used: samples.filter((_, i) => !isLeftOut(i, leaveOut)), heldOut: samples.filter((_, i) => isLeftOut(i, leaveOut)) };
}

export function isLeftOut(index: number, leaveOut: number | undefined): boolean {
  return leaveOut !== undefined && index % leaveOut === leaveOut - 1;
}

/** At most so many, at even distances. */
export function evenlySpread<Sample>(samples: readonly Sample[], most: number): Sample[] {
  const taken = Math.min(most, samples.length);
  return Array.from({ length: taken }, (_, i) => samples[Math.floor((i * samples.length) / taken)]!);
}
