/** What the page asks for beyond the APIs, for the OpenAPI document. */
import { z } from 'zod';
import type { Operation } from '../operate/openapi.js';

const tag = 'Page';

export const pageOperations: readonly Operation[] = [
  { method: 'get', path: '/penjing/models', summary: 'The models, and what each can do.', tag, scope: 'infer', reply: z.json() },
  { method: 'get', path: '/penjing/models/{model}/graphs', summary: 'The graphs of a model.', tag, scope: 'infer', reply: z.json() },
  { method: 'get', path: '/penjing/models/{model}/graph', summary: 'A graph, layer by layer.', tag, scope: 'infer', reply: z.json() },
  { method: 'get', path: '/penjing/models/{model}/reports/{variant}', summary: 'The page that compares a variant with the original.', tag, scope: 'infer', reply: z.string(), replyType: 'text/html' },
];
