/** POST /v1/completions. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { RouteModule } from '../context.js';
import type { TextEvent, TextPrompt } from '../host/protocol.js';
import { readJson } from '../http/body.js';
import { failureOf, openAiError } from '../http/errors.js';
import { variantHeader } from '../http/variant-header.js';
import type { ServedModel } from '../models/served-model.js';
import { eventStream } from './event-stream.js';
import { MOST_CHOICES, optional, refused, samplingFields, usageOf, writingOptions } from './fields.js';
import { textLogProbabilities } from './log-probabilities.js';
import { leavable, timingHeader, write, type WriteRequest, type WriteResult } from './write.js';

const tokens = z.array(z.int().min(0).max(2 ** 31)).min(1).max(2 ** 20);

export const completionRequestSchema = z.object({
  ...samplingFields,
  prompt: z.union([z.string(), tokens, z.array(z.string()).min(1).max(MOST_CHOICES), z.array(tokens).min(1).max(MOST_CHOICES)]).default(''),
  max_tokens: optional(z.int().min(1).max(2 ** 31 - 1)),
  logprobs: optional(z.int().min(0).max(5)),
  echo: optional(z.boolean()),
  best_of: optional(z.int().min(1).max(20)),
  suffix: optional(z.string()),
});

type CompletionRequest = z.output<typeof completionRequestSchema>;

/** OpenAI's. */
const DEFAULT_TOKENS = 16;

export const completions: RouteModule = (app, context) => {
  app.post('/v1/completions', async (c) => {
    const body = await readJson(c.req.raw, completionRequestSchema, context.config.limits);
    const prompts = promptsOf(body);
    const { signal, leave } = leavable(c.get('signal')());
    const options = { ...writingOptions(body), maxNewTokens: body.max_tokens ?? DEFAULT_TOKENS, logProbabilities: body.logprobs };
    let served: ServedModel | undefined;
    const request: WriteRequest = { model: body.model, prompts, choices: body.n ?? 1, options, signal, onModel: (model) => void (served = model) };
    const head = { id: `cmpl-${randomUUID().replaceAll('-', '')}`, object: 'text_completion', created: Math.floor(Date.now() / 1000), model: body.model };
    if (body.stream) return eventStream((stream) => streamText(body, head, prompts, (onEvent) => write(context, { ...request, onEvent }), stream.send), { failed: (error) => openAiError(failureOf(error)), leave, headers: () => variantHeader(served) });
    const events: TextEvent[] = [];
    const result = await write(context, { ...request, onEvent: (event) => void (event.token && events.push(event)) });
    const choices = textsOf(result).map(({ text, finishReason }, index) => {
      const echo = echoOf(body, prompts, index);
      return { index, text: echo + text, logprobs: body.logprobs === undefined ? null : textLogProbabilities(events.filter(({ choice }) => choice === index), echo.length), finish_reason: finishReason === 'length' ? 'length' : 'stop' };
    });
    return c.json({ ...head, choices, usage: usage(result) }, 200, { ...timingHeader({ ...result.timings }), ...variantHeader(served) });
  });
};

async function streamText(body: CompletionRequest, head: object, prompts: readonly TextPrompt[], run: (onEvent: (event: TextEvent) => void) => Promise<WriteResult>, send: (data: object | '[DONE]') => void): Promise<void> {
  const wanted = body.stream_options?.include_usage === true;
  const lengths = new Map<number, number>();
  const chunk = (index: number, text: string, logprobs: object | null = null, finish: string | null = null): void => {
    lengths.set(index, (lengths.get(index) ?? 0) + text.length);
    send({ ...head, choices: [{ index, text, logprobs, finish_reason: finish }], ...(wanted && { usage: null }) });
  };
  const result = await run((event) => {
    const { choice, text, token } = event;
    const echo = lengths.has(choice) ? '' : echoOf(body, prompts, choice);
    if (echo + text !== '' || token) chunk(choice, echo + text, token ? textLogProbabilities([event], (lengths.get(choice) ?? 0) + echo.length) : null);
  });
  for (const [index, { finishReason }] of textsOf(result).entries()) chunk(index, lengths.has(index) ? '' : echoOf(body, prompts, index), null, finishReason === 'length' ? 'length' : 'stop');
  if (wanted) send({ ...head, choices: [], usage: usage(result) });
  send('[DONE]');
}

function promptsOf(body: CompletionRequest): readonly TextPrompt[] {
  const { prompt, suffix, best_of: best, n = 1, echo } = body;
  if (suffix) throw refused('suffix', 'texts before a suffix are not written');
  if (best !== undefined && best !== n) throw refused('best_of', `it must be n, which is ${n}`);
  const prompts = typeof prompt === 'string' ? [prompt] : typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as readonly (string | number[])[]);
  if (echo && prompts.some((one) => typeof one !== 'string')) throw refused('echo', 'prompts of tokens are not repeated');
  if (prompts.length * n > MOST_CHOICES) throw refused('n', `prompts times n are at most ${MOST_CHOICES} texts`);
  return prompts.map((one) => (typeof one === 'string' ? { kind: 'text', text: one } : { kind: 'tokens', tokens: one }));
}

function echoOf({ echo, n = 1 }: CompletionRequest, prompts: readonly TextPrompt[], index: number): string {
  const prompt = prompts[Math.floor(index / n)];
  return echo && prompt?.kind === 'text' ? prompt.text : '';
}

function textsOf({ written }: WriteResult): WriteResult['written'][number]['texts'] {
  return written.flatMap(({ texts }) => texts);
}

function usage(result: WriteResult): object {
  return usageOf(result.written.reduce((sum, { promptTokens }) => sum + promptTokens, 0), textsOf(result).reduce((sum, text) => sum + text.tokens, 0));
}
