/** `--data` of a calibrated step: text as windows of tokens, each the feeds of one run of the model. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { denseOf, type Feeds, inferShapes, type Model, PenjingError } from '@penjing/core';
import { readText } from './data-text.js';
import type { Input } from './inputs/input.js';
import { loadRuntime } from './load-runtime.js';

/** Samples and tokens of each, as the papers of GPTQ and SparseGPT have them, but for the shorter windows. */
const SAMPLES = 128;
const WINDOW_TOKENS = 512;

export interface CalibrationData {
  /** Of the content: a run cut off may go on only with the same data. */
  readonly hash: string;
  /** The feeds for a graph. Throws `E_DATA` for graphs that read no tokens. */
  readonly samples: (model: Model) => Promise<Feeds[]>;
}

export interface CalibrationDataOptions {
  readonly input: Input;
  /** A .txt or .jsonl file. */
  readonly data: string;
  /** At most so many windows, spread over the text; 128 when absent. */
  readonly samples?: number | undefined;
}

/** Reads the text and, when samples are asked for, the tokenizer beside the input. */
export async function openCalibrationData({ input, data, samples = SAMPLES }: CalibrationDataOptions): Promise<CalibrationData> {
  const text = await readText(data);
  return {
    hash: createHash('sha256').update(text).update(`\0${samples}`).digest('hex'),
    async samples(model) {
      const runtime = await loadRuntime();
      inferShapes(model);
      const inputs = model.graph.inputs.filter(({ name }) => !model.graph.initializers.has(name)).map(({ name, type }) => ({ name, type: type ?? ({ kind: 'tensor' } as const) }));
      if (!inputs.some(({ name }) => name === 'input_ids')) {
        throw new PenjingError('E_DATA', `${input.path} does not read tokens (input_ids) but ${inputs.map(({ name }) => name).join(', ')}: text cannot calibrate it`, { hint: 'Use --method rtn, which needs no data.' });
      }
      const folder = (await stat(input.path)).isDirectory() ? input.path : dirname(input.path);
      const tokens = (await runtime.loadTokenizer(folder)).encode(text);
      return spread(tokens, samples).map((window) => {
        const length = window.length;
        const dims = { batch_size: 1, sequence_length: length, total_sequence_length: length, past_sequence_length: 0 };
        return { ...runtime.randomFeeds(inputs, { dims }), input_ids: denseOf('int64', [1, length], window) };
      });
    },
  };
}

/** Windows over the whole of the text: all of them, or as many as wanted at even distances. */
function spread(tokens: readonly number[], samples: number): number[][] {
  const whole = Math.floor(tokens.length / WINDOW_TOKENS);
  if (whole === 0) {
    if (tokens.length < 2) throw new PenjingError('E_DATA', `the data has ${tokens.length} tokens: at least two are needed`, { hint: 'Give a longer text.' });
    return [[...tokens]];
  }
  const count = Math.min(samples, whole);
  return Array.from({ length: count }, (_, i) => {
    const start = Math.floor((i * whole) / count) * WINDOW_TOKENS;
    return tokens.slice(start, start + WINDOW_TOKENS);
  });
}
