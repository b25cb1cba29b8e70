/** Models that are run on rows of JSON: a record for each row, also for one that is wrong. */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DenseTensor, denseOf, type DType, type Executor, isPenjingError, PenjingError, type ValueInfo } from '@penjing/core';
import { graphPath } from '../inputs/open-input.js';
import { loadRuntime } from '../load-runtime.js';
import type { BatchTask, RowOptions } from './batch-job.js';
import { nestedNumbers, nestedValues } from './nested-numbers.js';

/** A line of the result, without its number. */
export type RowRecord = Readonly<Record<string, unknown>>;

export interface RowRunner extends AsyncDisposable {
  /** `lines` are the rows, not blank; `first` is the number of the first one. */
  run(lines: readonly string[], first: number, signal: AbortSignal): Promise<RowRecord[]>;
}

export interface RunnerOptions {
  readonly options: RowOptions;
  readonly threads: number;
}

type Open = (path: string, options: RunnerOptions) => Promise<RowRunner>;

/** What ends the model, and not only a row. */
const FATAL: ReadonlySet<string> = new Set(['E_DISPOSED', 'E_WORKER', 'E_CANCELLED']);

export const openers: Readonly<Record<BatchTask, Open>> = {
  async raw(path, { threads }) {
    const { ortEngine } = await loadRuntime();
    const executor = await ortEngine({ threads }).loadFile(await graphPath(path));
    return overRows(executor, (row, signal) => runRaw(executor, row, signal));
  },

  async 'text-classification'(path, { options: { variant, topK, truncate }, threads }) {
    const { loadTextClassifier } = await loadRuntime();
    const model = await loadTextClassifier(path, { variant, threads });
    return overRows(model, async (row, signal) => {
      const [output] = await model.classify([textOf(row)], { topK, truncate, signal });
      return { output };
    });
  },

  async 'sentence-similarity'(path, { options: { variant, truncate }, threads }) {
    const { loadEmbedder } = await loadRuntime();
    const model = await loadEmbedder(path, { variant, threads });
    return overRows(model, async (row, signal) => {
      const [output] = await model.embed([textOf(row)], { truncate, signal });
      return { output: [...(output ?? [])] };
    });
  },

  async 'text-generation'(path, { options: { variant, maxNewTokens, temperature, seed }, threads }) {
    const { generateAll, loadGenerator, readPrompts } = await loadRuntime();
    const model = await loadGenerator(path, { variant, threads });
    return {
      async run(lines, first, signal) {
        // Prompts are read from files, line by line.
        const file = join(tmpdir(), `penjing-${randomUUID()}.jsonl`);
        await writeFile(file, lines.join('\n'));
        try {
          const records: RowRecord[] = [];
          const sampling = { ...(maxNewTokens !== undefined && { maxNewTokens }), ...(temperature !== undefined && { temperature }), ...(seed !== undefined && { seed }) };
          for await (const record of generateAll(model, readPrompts(file), { ...sampling, signal })) {
            const { index, ...rest } = record;
            records.push('error' in rest ? { ...rest, error: { ...rest.error, message: rest.error.message.replaceAll(`${file}:${index + 1}`, `row ${first + index}`) } } : rest);
          }
          return records;
        } finally {
          await rm(file, { force: true });
        }
      },
      [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
    };
  },
};

type Row = Readonly<Record<string, unknown>>;

/** One row at a time, so that a record does not depend on which rows were beside it. */
function overRows(model: AsyncDisposable, run: (row: Row, signal: AbortSignal) => Promise<RowRecord>): RowRunner {
  return {
    async run(lines, _, signal) {
      const records: RowRecord[] = [];
      for (const line of lines) {
        signal.throwIfAborted();
        let id: RowRecord = {};
        try {
          const row = readRow(line);
          if (typeof row['id'] === 'string' || typeof row['id'] === 'number') id = { id: row['id'] };
          records.push({ ...id, ...(await run(row, signal)) });
        } catch (error) {
          if (signal.aborted || !isPenjingError(error) || FATAL.has(error.code)) throw error;
          const { code, message, hint } = error;
          records.push({ ...id, error: { code, message, ...(hint !== undefined && { hint }) } });
        }
      }
      return records;
    },
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}

function readRow(line: string): Row {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new PenjingError('E_DATA', 'the line is not JSON', { cause });
  }
  if (typeof value === 'string') return { text: value };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new PenjingError('E_DATA', 'the line is no object', { hint: 'A line is {"<input>": [[…]]}, or {"text": "…"}.' });
  return value as Row;
}

function textOf({ text }: Row): string {
  if (typeof text !== 'string') throw new PenjingError('E_DATA', 'the line has no text', { hint: 'A line is {"text": "…"}.' });
  return text;
}

/** Inputs by their names; one without the first dimension of the model is a batch of one, and so are its outputs then. */
async function runRaw(executor: Executor, row: Row, signal: AbortSignal): Promise<RowRecord> {
  let single = false;
  const feeds: Record<string, DenseTensor> = {};
  for (const info of executor.inputs) {
    const given = row[info.name];
    if (given === undefined) throw new PenjingError('E_INPUT', `the line has no ${info.name}`, { hint: `The model takes ${executor.inputs.map(({ name }) => name).join(', ')}.` });
    const { shape, values } = nestedNumbers(given, info.name);
    const wanted = rankOf(info);
    const alone = wanted !== undefined && shape.length === wanted - 1;
    single ||= alone;
    feeds[info.name] = denseOf(dtypeOf(info), alone ? [1, ...shape] : shape, values);
  }
  const outputs: Record<string, unknown> = {};
  for (const [name, tensor] of Object.entries(await executor.run(feeds, { signal }))) {
    if (tensor.kind !== 'dense') throw new PenjingError('E_DTYPE', `the output ${name} is no tensor of numbers`);
    const shape = single && tensor.shape[0] === 1 ? tensor.shape.slice(1) : tensor.shape;
    outputs[name] = nestedValues(shape, Array.from(tensor.data as ArrayLike<number | bigint>, Number));
  }
  return { outputs };
}

const rankOf = ({ type }: ValueInfo): number | undefined => (type.kind === 'tensor' ? type.shape?.length : undefined);
const dtypeOf = ({ type }: ValueInfo): DType => (type.kind === 'tensor' ? type.dtype : undefined) ?? 'float32';
