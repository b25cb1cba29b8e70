/** The body of POST /v1/chat/completions, and what the model is asked for with it. */
import { z } from 'zod';
import type { ChatTurn, TextPrompt, WritingOptions } from '../host/protocol.js';
import { optional, refused, samplingFields, writingOptions } from './fields.js';

const parts = z.array(z.looseObject({ type: z.string(), text: z.string().optional() })).max(10_000);
const content = z.union([z.string(), parts]).nullish();

const toolCall = z.object({ id: z.string(), type: z.literal('function').default('function'), function: z.object({ name: z.string(), arguments: z.string() }) });

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content,
  name: optional(z.string()),
  tool_calls: optional(z.array(toolCall).max(128)),
  tool_call_id: optional(z.string()),
});

/** What OpenAI allows for the name of a function. */
const toolName = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/);

const tool = z.object({
  type: z.literal('function'),
  function: z.object({ name: toolName, description: optional(z.string()), parameters: optional(z.record(z.string(), z.json())), strict: optional(z.boolean()) }),
});

const responseFormat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({ type: z.literal('json_schema'), json_schema: z.object({ name: optional(z.string()), description: optional(z.string()), schema: z.record(z.string(), z.json()), strict: optional(z.boolean()) }) }),
]);

export const chatRequestSchema = z.object({
  ...samplingFields,
  messages: z.array(message).min(1).max(10_000),
  max_tokens: optional(z.int().min(1).max(2 ** 31 - 1)),
  max_completion_tokens: optional(z.int().min(1).max(2 ** 31 - 1)),
  logprobs: optional(z.boolean()),
  top_logprobs: optional(z.int().min(0).max(20)),
  response_format: optional(responseFormat),
  tools: optional(z.array(tool).max(128)),
  tool_choice: optional(z.union([z.enum(['none', 'auto', 'required']), z.object({ type: z.literal('function'), function: z.object({ name: toolName }) })])),
  parallel_tool_calls: optional(z.boolean()),
  /** Further variables of the chat template, as vLLM names them. */
  chat_template_kwargs: optional(z.record(z.string(), z.json())),
});

export type ChatRequest = z.output<typeof chatRequestSchema>;
type Tool = NonNullable<ChatRequest['tools']>[number];

/** Throws `E_REQUEST` for what a text model cannot read. */
export function chatPromptOf(body: ChatRequest): TextPrompt {
  const tools = toolsOf(body);
  return { kind: 'chat', messages: body.messages.map(turnOf), ...(tools.length > 0 && { tools }), ...(body.chat_template_kwargs && { variables: body.chat_template_kwargs }) };
}

/** Functions that may be called in this reply. Throws `E_REQUEST` for a choice that there is not. */
export function toolsOf({ tools = [], tool_choice: choice }: ChatRequest): readonly Tool[] {
  if (choice === 'none') return [];
  if (choice !== undefined && choice !== 'auto' && tools.length === 0) throw refused('tool_choice', 'there are no tools');
  if (typeof choice !== 'object') return tools;
  const chosen = tools.filter((other) => other.function.name === choice.function.name);
  if (chosen.length === 0) throw refused('tool_choice', `there is no tool ${choice.function.name}`);
  return chosen;
}

/** Whether the reply has to be a call of a function. */
export function mustCall({ tool_choice: choice }: ChatRequest): boolean {
  return choice === 'required' || typeof choice === 'object';
}

export function chatOptionsOf(body: ChatRequest): WritingOptions {
  return {
    ...writingOptions(body),
    maxNewTokens: body.max_completion_tokens ?? body.max_tokens,
    logProbabilities: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
    constrain: constraintOf(body),
  };
}

function constraintOf(body: ChatRequest): WritingOptions['constrain'] {
  const { response_format: format } = body;
  if (mustCall(body)) {
    if (format && format.type !== 'text') throw refused('response_format', 'a call of a function has the form of that function');
    return { schema: callSchema(toolsOf(body)) };
  }
  if (format?.type === 'json_object') return { schema: { type: 'object' } };
  if (format?.type === 'json_schema') return { schema: format.json_schema.schema };
  return undefined;
}

/** `{"name": …, "arguments": …}` of one of the functions. */
function callSchema(tools: readonly Tool[]): object {
  const calls = tools.map(({ function: { name, parameters } }) => ({
    type: 'object',
    properties: { name: { const: name }, arguments: parameters ?? { type: 'object' } },
    required: ['name', 'arguments'],
  }));
  return calls.length === 1 ? calls[0]! : { anyOf: calls };
}

function turnOf({ role, content, name, tool_calls: calls, tool_call_id: callId }: ChatRequest['messages'][number], index: number): ChatTurn {
  return {
    // Templates know no developers.
    role: role === 'developer' ? 'system' : role,
    content: textOf(content, index),
    ...(name !== undefined && { name }),
    ...(callId !== undefined && { tool_call_id: callId }),
    ...(calls && { tool_calls: calls.map(({ id, function: { name: called, arguments: given } }) => ({ id, type: 'function', function: { name: called, arguments: parsedOr(given) } })) }),
  };
}

function textOf(content: ChatRequest['messages'][number]['content'], index: number): string {
  if (typeof content === 'string') return content;
  return (content ?? [])
    .map(({ type, text }, i) => {
      if (type === 'text' && text !== undefined) return text;
      throw refused(`messages.${index}.content.${i}`, `this model reads text, not ${type}`);
    })
    .join('');
}

/** Templates write arguments as JSON themselves. */
function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
