/** The samples that a squeeze learns from and those that it is judged by, in the forms that the pieces take. */
import { type DenseTensor, type Feeds, type JobHost, type Model, PenjingError } from '@penjing/core';
import { keepSamples, type KeptSamples } from '@penjing/core/calibrate';
import type { CompareOptions, LabelledFeeds } from '@penjing/runtime';
import { type CalibrationDataOptions, openCalibrationData } from '../calibration-data.js';
import { evenlySpread, splitSamples } from '../split-samples.js';

/** Samples lie on disk and come back one at a time; of text the tokens stay. */
export interface SqueezeData extends AsyncDisposable {
  /** To calibrate with. */
  readonly calibration: AsyncIterable<Feeds>;
  /** Of those, a few to measure single weights on; enough to choose among models; and the held-out ones. */
  readonly probes: () => CompareOptions;
  readonly probed: AsyncIterable<Feeds>;
  readonly tuning: () => CompareOptions;
  readonly heldOut: () => CompareOptions;
  /** Random numbers: the result means little. */
  readonly synthetic: boolean;
  /** Samples are windows of text that a language model predicts. */
  readonly language: boolean;
}

/** Every so-manieth sample judges. */
export const LEAVE_OUT = 4;
/** Predictions on which single weights, and whole models, are measured: a window of text has 511, a picture one. */
const PROBED = 256;
const TUNED = 4096;
const FEWEST = 8;

/** What is known of a sample without its tensors. */
interface Known {
  readonly index: number;
  readonly labels: readonly number[] | undefined;
  /** Of a window of text. */
  readonly tokens: readonly number[] | undefined;
  readonly width: number | undefined;
}

/** Throws `E_DATA` when there are too few samples to hold any out. */
export async function openSqueezeData(model: Model, jobs: Pick<JobHost, 'openShelf'>, options: CalibrationDataOptions): Promise<SqueezeData> {
  const opened = await openCalibrationData(options);
  const known: Known[] = [];
  const kept = await keepSamples(jobs, (async function* () {
    for await (const { feeds, labels } of opened.stream(model)) {
      const width = windowOf(feeds);
      known.push({ index: known.length, labels, width, tokens: width === undefined ? undefined : Array.from((feeds['input_ids'] as DenseTensor).data as BigInt64Array, Number) });
      yield feeds;
    }
  })());
  try {
    const { used, heldOut } = splitSamples(known, LEAVE_OUT);
    if (heldOut.length === 0) throw new PenjingError('E_DATA', `${options.data} gives ${used.length} samples: at least ${LEAVE_OUT} are needed, since every fourth is held out`, { hint: 'Give more data.' });
    const language = isLanguage(model, used);
    const few = (predictions: number): Known[] => evenlySpread(used, Math.ceil(predictions / predictionsOf(used[0]!)));
    const measured = (samples: readonly Known[]): (() => CompareOptions) => measureOn(samples, language, kept);
    return {
      calibration: feedsOf(used, kept), probes: measured(few(PROBED)), probed: feedsOf(few(PROBED), kept), tuning: measured(few(TUNED)), heldOut: measured(heldOut), synthetic: opened.synthetic, language,
      [Symbol.asyncDispose]: () => kept[Symbol.asyncDispose](),
    };
  } catch (error) {
    await kept[Symbol.asyncDispose]();
    throw error;
  }
}

function feedsOf(samples: readonly Known[], kept: KeptSamples): AsyncIterable<Feeds> {
  return {
    async *[Symbol.asyncIterator]() {
      for (const { index } of samples) yield await kept.at(index);
    },
  };
}

function predictionsOf({ width, labels }: Known): number {
  return labels?.length ?? Math.max(1, Math.min(TUNED / FEWEST, width ?? 1));
}

/** Whether the model is compared by how well it predicts, as `measureOn` and `openComparison` decide. */
function isLanguage({ graph: { inputs, outputs } }: Model, samples: readonly Known[]): boolean {
  const decodes = outputs.some(({ name }) => name === 'logits') && inputs.some(({ name }) => name.startsWith('past_key_values.'));
  return decodes && samples[0]!.width !== undefined && samples.every(({ labels }) => labels === undefined);
}

/** Language models are scored on the tokens of their samples, window by window; others run the feeds. */
function measureOn(samples: readonly Known[], language: boolean, kept: KeptSamples): () => CompareOptions {
  const { width } = samples[0]!;
  if (!language || width === undefined) {
    const labelled: AsyncIterable<LabelledFeeds> = {
      async *[Symbol.asyncIterator]() {
        for (const { index, labels } of samples) yield { feeds: await kept.at(index), ...(labels && { labels }) };
      },
    };
    return () => ({ labelled, total: samples.length });
  }
  const tokens = samples.flatMap((sample) => [...(sample.tokens ?? [])]);
  return () => ({ tokens, windowTokens: width });
}

/** Tokens of a sample of text. */
function windowOf(feeds: Feeds): number | undefined {
  const ids = feeds['input_ids'];
  const width = ids?.kind === 'dense' ? ids.shape.at(-1) : undefined;
  return width !== undefined && width >= 2 ? width : undefined;
}
