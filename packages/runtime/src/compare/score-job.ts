/** Scores windows of text by the last blocks of one language model or two: what reaches them is on a shelf. */
import { DenseTensor, type Executor, type Feeds, type Job, type JobContext, jobModule, PenjingError, type PreparedModel, type ShelfReference } from '@penjing/core';
import { shelfName } from '@penjing/core/calibrate';
import { type LogitRows, logitRows } from '../worker/logits.js';
import { positionsPerRun } from '../worker/positions.js';
import { checkVocabularies } from '../worker/score.js';
import { addPosition, openWindow, type ScoreSums, scoreSums } from './score-sums.js';
import type { TokenWindow } from './text-windows.js';

export interface ScoredBlock {
  readonly model: PreparedModel;
  readonly shelf: ShelfReference;
  readonly inputs: readonly string[];
  /** It computes each position of its input by itself. */
  readonly rowwise: boolean;
}

export interface ScoreJobInput {
  /** The reference. */
  readonly a: ScoredBlock;
  readonly b: ScoredBlock | undefined;
  /** Sample i is window i without its last token. */
  readonly windows: readonly TokenWindow[];
  readonly vocabSize: number | undefined;
}

export const scoreJob: Job<ScoreJobInput, ScoreSums> = { module: jobModule(import.meta.url, './score-job'), name: 'scoreJob', run: runScore };

async function runScore({ a, b, windows, vocabSize }: ScoreJobInput, context: JobContext): Promise<ScoreSums> {
  await using left = await context.load(a.model);
  await using right = b && (await context.load(b.model));
  const sums = scoreSums();
  const step = positionsPerRun(vocabSize);
  for (const [i, { tokens, from }] of windows.entries()) {
    const length = tokens.length - 1;
    openWindow(sums);
    const logitsA = await logitsOf(left, a, i, length, context);
    const logitsB = b && right && (await logitsOf(right, b, i, length, context));
    for (let at = from - 1; at < length; at += step) {
      context.signal?.throwIfAborted();
      const end = Math.min(length, at + step);
      const rowsA = await logitsA(at, end);
      const rowsB = await logitsB?.(at, end);
      checkVocabularies(rowsA, rowsB);
      for (let row = 0; row < end - at; row++) addPosition(sums, rowsA.row(row), rowsB?.row(row), { target: tokens[at + row + 1]!, before: at + row + 1 });
      context.onProgress?.({ phase: 'score', done: sums.tokens, total: sums.tokens, unit: 'tokens' });
    }
  }
  return sums;
}

/** Logits of the positions from `at` to `end` of a window: computed for these alone where that is possible, else all at once. */
async function logitsOf(executor: Executor, { shelf: reference, inputs, rowwise }: ScoredBlock, sample: number, length: number, { shelf: open }: JobContext): Promise<(at: number, end: number) => Promise<LogitRows>> {
  const shelf = open(reference);
  const feeds: Record<string, DenseTensor> = {};
  for (const name of inputs) feeds[name] = await shelf.get(shelfName(sample, name));
  const run = async (given: Feeds, count: number): Promise<LogitRows> => {
    const { logits } = await executor.run(given, { outputs: ['logits'] });
    const { dtype, shape, data } = logits as DenseTensor;
    const rows = logitRows({ type: dtype, dims: shape, data });
    if (rows.count === count) return rows;
    throw new PenjingError('E_UNSUPPORTED', `the model gives logits for ${rows.count} of ${count} positions`, { hint: 'Measure a variant of the model that was exported with the logits of every position.' });
  };
  const hidden = feeds[inputs[0]!];
  if (rowwise && hidden?.shape.length === 3 && hidden.shape[0] === 1 && hidden.shape[1] === length) {
    const [, , width = 0] = hidden.shape;
    const rowBytes = hidden.byteLength / length;
    return (at, end) => run({ [inputs[0]!]: new DenseTensor(hidden.dtype, [1, end - at, width], hidden.bytes.slice(at * rowBytes, end * rowBytes)) }, end - at);
  }
  const all = await run(feeds, length);
  return async (at, end) => ({ ...all, count: end - at, row: (index) => all.row(at + index) });
}
