/** Many prompts through one generator: those that are written at a time share its runs, results come in the order of the prompts. */
import { isPenjingError } from '@penjing/core';
import type { BatchPrompt, WrongPrompt } from './batch-prompts.js';
import type { Generation, Generator } from './generator.js';
import { inOrder } from './in-order.js';
import type { GenerateOptions } from './options.js';
import { inRange } from './range.js';

export interface GenerateAllOptions extends Omit<GenerateOptions, 'onText'> {
  /** Prompts that are worked on at a time; 16 when absent, 1 to 1,024. Eight are written in one run, others are read meanwhile or wait. */
  readonly maxConcurrent?: number | undefined;
}

/** What became of a prompt; the same prompt, options and model give the same record. */
export type BatchRecord = { readonly index: number; readonly id?: string | number } & (BatchedText | { readonly error: { readonly code: string; readonly message: string; readonly hint?: string } });

export interface BatchedText extends Pick<Generation, 'text' | 'tokens' | 'finishReason' | 'logProbabilities'> {
  readonly usage: { readonly promptTokens: number; readonly newTokens: number };
}

/** Results that wait for an earlier one, for each prompt that is worked on. */
const AHEAD = 8;
/** After these nothing works any more. */
const FATAL: ReadonlySet<string> = new Set(['E_DISPOSED', 'E_WORKER']);

/**
 * Writes a text for each prompt, the one that `generate` writes. What is wrong with a prompt, or goes wrong with it, is its record; what ends the generator is thrown, as is the reason of the signal.
 * Throws `E_OPTION` for `maxConcurrent` out of range.
 */
export async function* generateAll(generator: Generator, prompts: AsyncIterable<BatchPrompt | WrongPrompt>, { maxConcurrent, signal, ...shared }: GenerateAllOptions = {}): AsyncGenerator<BatchRecord, void, undefined> {
  const most = inRange('maxConcurrent', maxConcurrent, { min: 1, max: 1024, integer: true, fallback: 16 });
  // One that ends it, and a caller who leaves, end the others.
  const left = new AbortController();
  const either = signal ? AbortSignal.any([signal, left.signal]) : left.signal;
  const write = async (item: BatchPrompt | WrongPrompt, index: number): Promise<BatchRecord> => {
    const named = { index, ...(item.id !== undefined && { id: item.id }) };
    try {
      if ('error' in item) throw item.error;
      const prompt = typeof item.prompt === 'object' && 'messages' in item.prompt ? generator.chatPrompt(item.prompt.messages) : item.prompt;
      const { text, tokens, finishReason, logProbabilities, promptTokens } = await generator.generate(prompt, { ...shared, ...item.options, signal: either });
      return { ...named, text, tokens, finishReason, ...(logProbabilities && { logProbabilities }), usage: { promptTokens, newTokens: tokens.length } };
    } catch (error) {
      if (either.aborted || !isPenjingError(error) || FATAL.has(error.code)) throw error;
      const { code, message, hint } = error;
      return { ...named, error: { code, message, ...(hint !== undefined && { hint }) } };
    }
  };
  yield* inOrder(prompts, { most, ahead: AHEAD * most, stop: () => left.abort(), signal }, write);
}
