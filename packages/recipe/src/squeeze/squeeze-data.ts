/** The samples that a squeeze learns from and those that it is judged by, in the forms that the pieces take. */
import { type DenseTensor, type Feeds, type Model, PenjingError } from '@penjing/core';
import type { CompareOptions, LabelledFeeds } from '@penjing/runtime';
import { type CalibrationDataOptions, openCalibrationData } from '../calibration-data.js';
import { splitSamples } from '../split-samples.js';

export interface SqueezeData {
  /** To calibrate with. */
  readonly calibration: readonly Feeds[];
  /** Of those, a few to measure single weights on; enough to choose among models; and the held-out ones. */
  readonly probes: () => CompareOptions;
  readonly probed: readonly Feeds[];
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

/** Throws `E_DATA` when there are too few samples to hold any out. */
export async function openSqueezeData(model: Model, options: CalibrationDataOptions): Promise<SqueezeData> {
  const opened = await openCalibrationData(options);
  const all: LabelledFeeds[] = [];
  for await (const sample of opened.stream(model)) all.push(sample);
  const { used, heldOut } = splitSamples(all, LEAVE_OUT);
  if (heldOut.length === 0) throw new PenjingError('E_DATA', `${options.data} gives ${used.length} samples: at least ${LEAVE_OUT} are needed, since every fourth is held out`, { hint: 'Give more data.' });
  const language = isLanguage(model, used);
  const few = (predictions: number): LabelledFeeds[] => spread(used, Math.ceil(predictions / predictionsOf(used[0]!)));
  return {
    calibration: used.map(({ feeds }) => feeds), probes: measureOn(few(PROBED), language), probed: few(PROBED).map(({ feeds }) => feeds), tuning: measureOn(few(TUNED), language), heldOut: measureOn(heldOut, language), synthetic: opened.synthetic, language,
  };
}

function predictionsOf({ feeds, labels }: LabelledFeeds): number {
  return labels?.length ?? Math.max(1, Math.min(TUNED / FEWEST, windowOf(feeds) ?? 1));
}

function spread<T>(list: readonly T[], count: number): T[] {
  const taken = Math.min(count, list.length);
  return Array.from({ length: taken }, (_, i) => list[Math.floor((i * list.length) / taken)]!);
}

/** Whether the model is compared by how well it predicts, as `measureOn` and `openComparison` decide. */
function isLanguage({ graph: { inputs, outputs } }: Model, samples: readonly LabelledFeeds[]): boolean {
  const decodes = outputs.some(({ name }) => name === 'logits') && inputs.some(({ name }) => name.startsWith('past_key_values.'));
  return decodes && windowOf(samples[0]!.feeds) !== undefined && samples.every(({ labels }) => labels === undefined);
}

/** Language models are scored on the tokens of their samples, window by window; others run the feeds. */
function measureOn(samples: readonly LabelledFeeds[], language: boolean): () => CompareOptions {
  const width = windowOf(samples[0]!.feeds);
  if (!language || width === undefined) return () => ({ labelled: samples, total: samples.length });
  const tokens = samples.flatMap(({ feeds }) => Array.from((feeds['input_ids'] as DenseTensor).data as BigInt64Array, Number));
  return () => ({ tokens, windowTokens: width });
}

/** Tokens of a sample of text. */
function windowOf(feeds: Feeds): number | undefined {
  const ids = feeds['input_ids'];
  const width = ids?.kind === 'dense' ? ids.shape.at(-1) : undefined;
  return width !== undefined && width >= 2 ? width : undefined;
}
