/** Runs one model or two on the same feeds; only figures leave the worker. */
import { type ClassCounts, countClasses } from '../compare/classes.js';
import { cosines, type CosineSums } from '../compare/cosines.js';
import { difference, type OutputDifference } from '../compare/difference.js';
import type { SessionTable } from './session-table.js';
import { allToOrt, fromOrt } from './tensors.js';
import type { WireTensor, WireTensors } from './wire-types.js';

export interface MeasureParams {
  /** The reference. */
  readonly a: number;
  readonly b?: number;
  readonly feeds: WireTensors;
  /** Outputs to compare, of both. */
  readonly outputs: readonly string[];
  /** The output that classifies, and the class of each row where it is known. */
  readonly classes?: { readonly output: string; readonly labels: readonly number[] };
  /** The output of both that embeds, and the input that says which tokens count. */
  readonly embedding?: { readonly output: string; readonly mask?: string };
}

export interface Measured {
  /** Of b against a; empty without b. */
  readonly differences: readonly OutputDifference[];
  readonly classes?: ClassCounts;
  readonly cosines?: CosineSums;
}

export async function measure(sessions: SessionTable, { a, b, feeds, outputs, classes, embedding }: MeasureParams): Promise<Measured> {
  const wanted = classes && !outputs.includes(classes.output) ? [...outputs, classes.output] : outputs;
  const tensors = allToOrt(sessions.api, feeds);
  const run = async (handle: number): Promise<(name: string) => WireTensor> => {
    const fetched = await sessions.run(handle, tensors, wanted);
    return (name) => fromOrt(name, fetched[name]!, []);
  };
  const left = await run(a);
  const right = b === undefined ? undefined : await run(b);
  return {
    differences: right ? outputs.map((name) => difference(name, left(name), right(name))) : [],
    ...(classes && { classes: countClasses(classes.output, left(classes.output), right?.(classes.output), classes.labels) }),
    ...(embedding && right && { cosines: cosines(embedding.output, left(embedding.output), right(embedding.output), embedding.mask === undefined ? undefined : feeds[embedding.mask]) }),
  };
}
