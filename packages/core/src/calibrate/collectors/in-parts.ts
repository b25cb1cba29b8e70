/** Collectors of small statistics, in parts of the samples. */
import { type CollectorFactory, type CollectorTools, type PartCollector, sameChannels } from './collector.js';

export interface Merging<Result> {
  /** The first one may be overwritten. */
  readonly merge: (a: Result, b: Result) => Result;
  readonly channels?: ((statistic: Result) => number) | undefined;
}

/** Each part has a collector of its own, whose result is merged with those before it. */
export function inParts<Result>(factory: CollectorFactory<Result>, { merge, channels }: Merging<Result>): (value: string, tools: CollectorTools) => PartCollector<Result> {
  return (value, tools) => {
    let merged: Result | undefined;
    let part: ReturnType<typeof factory> | undefined;

    async function resume(next: Result): Promise<void> {
      if (merged !== undefined && channels) sameChannels(value, channels(next), channels(merged));
      merged = merged === undefined ? next : merge(merged, next);
    }

    async function endPart(): Promise<void> {
      if (part) await resume(await part.result());
      part = undefined;
    }

    async function result(): Promise<Result> {
      await endPart();
      return merged ?? factory(value, tools).result();
    }

    return { add: (tensor) => (part ??= factory(value, tools)).add(tensor), endPart, resume, pause: result, result };
  };
}
