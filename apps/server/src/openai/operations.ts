/** The routes of OpenAI's API for the OpenAPI document. */
import { z } from 'zod';
import type { Operation } from '../operate/openapi.js';
import { chatRequestSchema } from './chat-request.js';
import { completionRequestSchema } from './completions.js';
import { embeddingRequestSchema } from './embeddings.js';

const tag = 'OpenAI';
const usage = z.object({ prompt_tokens: z.int(), completion_tokens: z.int().optional(), total_tokens: z.int() });
const model = z.looseObject({ id: z.string(), object: z.literal('model'), created: z.int(), owned_by: z.string() });
const finish = z.enum(['stop', 'length', 'tool_calls']);
const toolCall = z.object({ id: z.string(), type: z.literal('function'), function: z.object({ name: z.string(), arguments: z.string() }) });
const head = { id: z.string(), created: z.int(), model: z.string() };
const logprobs = z.looseObject({}).nullable();

const chatReply = z.object({
  ...head,
  object: z.literal('chat.completion'),
  choices: z.array(z.object({ index: z.int(), message: z.object({ role: z.literal('assistant'), content: z.string().nullable(), refusal: z.null(), tool_calls: z.array(toolCall).optional() }), logprobs, finish_reason: finish })),
  usage,
});
const completionReply = z.object({ ...head, object: z.literal('text_completion'), choices: z.array(z.object({ index: z.int(), text: z.string(), logprobs, finish_reason: finish })), usage });
const embeddingReply = z.object({ object: z.literal('list'), data: z.array(z.object({ object: z.literal('embedding'), index: z.int(), embedding: z.union([z.array(z.number()), z.string()]) })), model: z.string(), usage });

export const openAiOperations: readonly Operation[] = [
  { method: 'post', path: '/v1/chat/completions', summary: 'The next turn of a conversation; with stream: true as server-sent events.', tag, scope: 'infer', body: chatRequestSchema, reply: chatReply },
  { method: 'post', path: '/v1/completions', summary: 'What follows a text; with stream: true as server-sent events.', tag, scope: 'infer', body: completionRequestSchema, reply: completionReply },
  { method: 'post', path: '/v1/embeddings', summary: 'Embeddings of texts.', tag, scope: 'infer', body: embeddingRequestSchema, reply: embeddingReply },
  { method: 'get', path: '/v1/models', summary: 'The models that are ready.', tag, scope: 'infer', reply: z.object({ object: z.literal('list'), data: z.array(model) }) },
  { method: 'get', path: '/v1/models/{model}', summary: 'One model.', tag, scope: 'infer', reply: model },
];
