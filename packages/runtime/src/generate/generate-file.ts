/** A file of prompts to lines of JSON. */
import { stat } from 'node:fs/promises';
import type { TaskOptions } from '@penjing/core';
import { TextOutput } from '@penjing/graph-io/node';
import { countPrompts, readPrompts } from './batch-prompts.js';
import { generateAll, type GenerateAllOptions } from './generate-all.js';
import type { Generator } from './generator.js';

export interface GenerateFileOptions extends GenerateAllOptions, Pick<TaskOptions, 'onProgress'> {
  /** The file of the results, which is there when it is whole; `onLine` is told of them otherwise. */
  readonly output?: string | undefined;
  /** Replace an existing output. */
  readonly force?: boolean | undefined;
  /** Told each line of the results, its end too, in the order of the prompts; where there is an `output`, never. */
  readonly onLine?: (line: string) => void;
}

export interface BatchSummary {
  readonly prompts: number;
  /** Prompts whose record is an error. */
  readonly failed: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly seconds: number;
}

/**
 * Writes a text for each prompt of a file (see `readPrompts`): a line of JSON each, in the order of the file. A prompt that fails has a record with its error and is counted in `failed`.
 * Throws `E_FORMAT` and `E_EXISTS` before anything is generated; a run that is ended leaves no output.
 */
export async function generateFile(generator: Generator, input: string, { output, force, onLine, onProgress, ...options }: GenerateFileOptions = {}): Promise<BatchSummary> {
  const started = performance.now();
  const { signal } = options;
  // What can be read only once is not counted before.
  const countable = (await stat(input).catch(() => undefined))?.isFile() ?? true;
  const total = countable ? await countPrompts(input, signal) : undefined;
  await using file = output === undefined ? undefined : await TextOutput.open(output, { force });
  let [prompts, failed, promptTokens, newTokens] = [0, 0, 0, 0];
  for await (const record of generateAll(generator, readPrompts(input, signal), options)) {
    prompts++;
    if ('error' in record) failed++;
    else {
      promptTokens += record.usage.promptTokens;
      newTokens += record.usage.newTokens;
    }
    const line = `${JSON.stringify(record)}\n`;
    if (file) await file.write(line);
    else onLine?.(line);
    onProgress?.({ phase: 'generate', done: prompts, total: Math.max(prompts, total ?? 0), unit: 'prompts' });
  }
  signal?.throwIfAborted();
  await file?.finish();
  return { prompts, failed, promptTokens, newTokens, seconds: (performance.now() - started) / 1000 };
}
