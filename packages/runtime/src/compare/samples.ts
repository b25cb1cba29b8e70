/** Measures models on samples, one run each: errors of outputs, and classes where the samples have labels. */
import { type Feeds, PenjingError, type TaskOptions, type ValueInfo } from '@penjing/core';
import { checkFeeds } from '../engine/feeds.js';
import { buffersOf, toWire } from '../engine/wire.js';
import type { OpenedReference } from '../open-reference.js';
import type { SessionHost } from '../session-host.js';
import { type ClassCounts, classCounts, mergeClasses } from './classes.js';
import { cosineSums, type CosineSums, embeddingAmong, mergeCosines } from './cosines.js';
import { type ErrorSums, errorSums, mergeErrors } from './difference.js';

/** Feeds of one run, and the class of each row of its result where it is known. */
export interface LabelledFeeds {
  readonly feeds: Feeds;
  readonly labels?: readonly number[];
}

export type Samples = Iterable<LabelledFeeds> | AsyncIterable<LabelledFeeds>;

export interface SampleOptions extends TaskOptions {
  /** The output that classifies; the first with floats when absent. */
  readonly classes?: string;
  /** Names of the classes, by label. */
  readonly classNames?: readonly string[] | undefined;
  /** How many samples there are, for the progress. */
  readonly total?: number;
}

export interface MeasuredSamples {
  /** Of b against a, by output; empty without b. */
  readonly outputs: ReadonlyMap<string, ErrorSums>;
  readonly counts: ClassCounts;
  /** The output of both that embeds, where there is one, and how alike the rows are. */
  readonly embedding: { readonly output: string; readonly cosines: CosineSums } | undefined;
  /** Samples. */
  readonly count: number;
}

/** Throws `E_INPUT` for feeds that a model does not take, `E_DATA` without samples, or for one without labels when there is no b. */
export async function measureSamples(host: SessionHost, a: OpenedReference, b: OpenedReference | undefined, samples: Samples, options: SampleOptions): Promise<MeasuredSamples> {
  const { signal, onProgress } = options;
  const shared = b ? a.outputs.map(({ name }) => name).filter((name) => b.outputs.some((output) => output.name === name)) : [];
  const outputs = new Map(shared.map((name) => [name, errorSums()]));
  const counts = classCounts();
  const embedding = embeddingAmong(shared);
  const sums = cosineSums();
  const mask = a.inputs.some(({ name }) => name === 'attention_mask') ? { mask: 'attention_mask' } : {};
  let count = 0;
  for await (const { feeds, labels } of samples) {
    signal?.throwIfAborted();
    if (!b && !labels) throw new PenjingError('E_DATA', `sample ${count} has no labels, and there is no other model: nothing can be measured`, { hint: 'Give labelled data, or a reference.' });
    checkFeeds(a.inputs, feeds);
    if (b) checkFeeds(b.inputs, feeds);
    const tensors = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toWire(name, tensor)]));
    const classes = labels && { output: classOutput(a.outputs, options.classes), labels };
    const measured = await host.call(
      'measure',
      { a: a.handle, ...(b && { b: b.handle }), feeds: tensors, outputs: shared, ...(classes && { classes }), ...(embedding !== undefined && { embedding: { output: embedding, ...mask } }) },
      { transfer: buffersOf(tensors), ...(signal && { signal }) },
    );
    for (const difference of measured.differences) mergeErrors(outputs.get(difference.name)!, difference);
    if (measured.classes) mergeClasses(counts, measured.classes);
    if (measured.cosines) mergeCosines(sums, measured.cosines);
    count++;
    onProgress?.({ phase: b ? 'compare' : 'evaluate', done: count, total: Math.max(count, options.total ?? 0), unit: 'samples' });
  }
  if (count === 0) throw new PenjingError('E_DATA', 'there are no samples to measure on');
  return { outputs, counts, count, embedding: embedding === undefined ? undefined : { output: embedding, cosines: sums } };
}

function classOutput(outputs: readonly ValueInfo[], wanted: string | undefined): string {
  if (wanted !== undefined) return wanted;
  const found = outputs.find(({ type }) => type.kind === 'tensor' && type.dtype?.startsWith('float')) ?? outputs[0];
  if (!found) throw new PenjingError('E_SHAPE', 'the model has no outputs');
  return found.name;
}
