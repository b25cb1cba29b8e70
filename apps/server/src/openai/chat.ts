/** POST /v1/chat/completions. */
import { randomUUID } from 'node:crypto';
import type { RouteModule } from '../context.js';
import type { TextEvent, WrittenText } from '../host/protocol.js';
import { readJson } from '../http/body.js';
import { failureOf, openAiError } from '../http/errors.js';
import { variantHeader } from '../http/variant-header.js';
import type { ServedModel } from '../models/served-model.js';
import { chatOptionsOf, chatPromptOf, type ChatRequest, chatRequestSchema, toolsOf } from './chat-request.js';
import { eventStream } from './event-stream.js';
import { usageOf } from './fields.js';
import { type ChatLogProbabilities, chatLogProbabilities } from './log-probabilities.js';
import { createToolCallReader, type ToolCall, type ToolCallReader, type ToolPieces } from './tool-calls.js';
import { leavable, timingHeader, write, type WriteRequest } from './write.js';

export const chat: RouteModule = (app, context) => {
  app.post('/v1/chat/completions', async (c) => {
    const body = await readJson(c.req.raw, chatRequestSchema, context.config.limits);
    const { signal, leave } = leavable(c.get('signal')());
    let served: ServedModel | undefined;
    const request: WriteRequest = { model: body.model, prompts: [chatPromptOf(body)], choices: body.n ?? 1, options: chatOptionsOf(body), signal, onModel: (model) => void (served = model) };
    const head = { id: `chatcmpl-${randomUUID().replaceAll('-', '')}`, created: Math.floor(Date.now() / 1000), model: body.model };
    if (body.stream) return eventStream((stream) => streamChat(body, head, (onEvent) => write(context, { ...request, onEvent }), stream.send), { failed: (error) => openAiError(failureOf(error)), leave, headers: () => variantHeader(served) });
    const events: TextEvent[] = [];
    const { written, timings } = await write(context, { ...request, onEvent: (event) => void (event.token && events.push(event)) });
    const [{ texts, promptTokens }] = written as [(typeof written)[number]];
    const choices = texts.map((text, index) => {
      const { content, calls } = wholeText(body, text.text);
      const logprobs = body.logprobs ? chatLogProbabilities(events.filter(({ choice }) => choice === index)) : null;
      return { index, message: { role: 'assistant', content: calls.length > 0 && content === '' ? null : content, refusal: null, ...(calls.length > 0 && { tool_calls: calls.map(toolCallOf) }) }, logprobs, finish_reason: finishOf(text, calls.length > 0) };
    });
    const usage = usageOf(promptTokens, texts.reduce((sum, { tokens }) => sum + tokens, 0));
    return c.json({ ...head, object: 'chat.completion', choices, usage }, 200, { ...timingHeader({ ...timings }), ...variantHeader(served) });
  });
};

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

interface Delta {
  readonly role?: 'assistant';
  readonly content?: string;
  readonly tool_calls?: readonly object[];
}

async function streamChat(body: ChatRequest, head: Head, run: (onEvent: (event: TextEvent) => void) => ReturnType<typeof write>, send: (data: object | '[DONE]') => void): Promise<void> {
  const usage = body.stream_options?.include_usage === true;
  const chunk = (index: number, delta: Delta, { logprobs = null, finish = null }: { readonly logprobs?: ChatLogProbabilities | null; readonly finish?: string | null } = {}): void =>
    send({ ...head, object: 'chat.completion.chunk', choices: [{ index, delta, logprobs, finish_reason: finish }], ...(usage && { usage: null }) });
  const texts = Array.from({ length: body.n ?? 1 }, () => ({ begun: false, called: 0, reader: readerOf(body) }));
  const begin = (index: number): void => {
    const text = texts[index]!;
    if (!text.begun) chunk(index, { role: 'assistant', content: '' });
    text.begun = true;
  };
  const tell = (index: number, { content, calls }: ToolPieces, logprobs: ChatLogProbabilities | null = null): void => {
    begin(index);
    if (content !== '' || logprobs) chunk(index, { content }, { logprobs });
    for (const call of calls) chunk(index, { tool_calls: [{ index: texts[index]!.called++, ...toolCallOf(call) }] });
  };
  const { written } = await run((event) => tell(event.choice, texts[event.choice]!.reader.push(event.text), event.token ? chatLogProbabilities([event]) : null));
  const [{ texts: done, promptTokens }] = written as [(typeof written)[number]];
  for (const [index, text] of done.entries()) {
    tell(index, texts[index]!.reader.end());
    chunk(index, {}, { finish: finishOf(text, texts[index]!.called > 0) });
  }
  if (usage) send({ ...head, object: 'chat.completion.chunk', choices: [], usage: usageOf(promptTokens, done.reduce((sum, { tokens }) => sum + tokens, 0)) });
  send('[DONE]');
}

/** Without tools nothing in a text is a call. */
function readerOf(body: ChatRequest): ToolCallReader {
  if (toolsOf(body).length > 0) return createToolCallReader();
  return { push: (text) => ({ content: text, calls: [] }), end: () => ({ content: '', calls: [] }) };
}

function wholeText(body: ChatRequest, text: string): ToolPieces {
  const reader = readerOf(body);
  const [first, last] = [reader.push(text), reader.end()];
  return { content: first.content + last.content, calls: [...first.calls, ...last.calls] };
}

function toolCallOf({ name, arguments: given }: ToolCall): object {
  return { id: `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`, type: 'function', function: { name, arguments: given } };
}

function finishOf({ finishReason }: WrittenText, called: boolean): string {
  if (finishReason === 'length') return 'length';
  return called ? 'tool_calls' : 'stop';
}
