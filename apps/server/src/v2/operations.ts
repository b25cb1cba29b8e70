/** The routes of the Open Inference Protocol for the OpenAPI document. */
import { z } from 'zod';
import type { Operation } from '../operate/openapi.js';
import { indexSchema, loadSchema } from './repository.js';

const tag = 'Open Inference Protocol V2';
const parameters = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional();
const signature = z.looseObject({ name: z.string(), datatype: z.string(), shape: z.array(z.int()) });
const tensor = z.object({ name: z.string(), shape: z.array(z.int().min(0)), datatype: z.string(), parameters, data: z.json().optional() });
const inferRequest = z.object({
  id: z.string().optional(),
  parameters,
  inputs: z.array(tensor),
  outputs: z.array(z.object({ name: z.string().min(1), parameters })).optional(),
});
const inferReply = z.looseObject({ model_name: z.string(), model_version: z.string().optional(), id: z.string().optional(), outputs: z.array(tensor) });
const statistics = z.looseObject({ model_stats: z.array(z.looseObject({})) });
const entry = z.object({ name: z.string(), version: z.string(), state: z.enum(['LOADING', 'READY', 'UNAVAILABLE']), reason: z.string() });

const ofModel = ['/v2/models/{model}', '/v2/models/{model}/versions/{version}'].flatMap((path): readonly Operation[] => [
  { method: 'get', path, summary: 'Inputs and outputs of a model.', tag, scope: 'infer', reply: z.looseObject({ name: z.string(), versions: z.array(z.string()), platform: z.string(), inputs: z.array(signature), outputs: z.array(signature) }) },
  { method: 'get', path: `${path}/ready`, summary: 'Whether the model is ready; else 503.', tag, scope: 'infer', reply: z.object({ ready: z.boolean() }) },
  { method: 'get', path: `${path}/config`, summary: 'How the model is served, as Triton says it.', tag, scope: 'infer', reply: z.looseObject({}) },
  { method: 'get', path: `${path}/stats`, summary: 'What the model has done.', tag, scope: 'infer', reply: statistics },
  { method: 'post', path: `${path}/infer`, summary: 'Runs the model on tensors; also with the binary tensor extension (Inference-Header-Content-Length).', tag, scope: 'infer', body: inferRequest, reply: inferReply },
]);

export const v2Operations: readonly Operation[] = [
  { method: 'get', path: '/v2', summary: 'The server and its extensions.', tag, scope: 'infer', reply: z.looseObject({ name: z.string(), version: z.string(), extensions: z.array(z.string()) }) },
  { method: 'get', path: '/v2/models/stats', summary: 'What all models have done.', tag, scope: 'infer', reply: statistics },
  ...ofModel,
  { method: 'post', path: '/v2/repository/index', summary: 'All models, loaded or not.', tag, scope: 'infer', body: indexSchema, bodyOptional: true, reply: z.array(entry) },
];

/** On the listener for administration. */
export const v2AdminOperations: readonly Operation[] = (['load', 'unload'] as const).map((verb) => ({
  method: 'post',
  path: `/v2/repository/models/{model}/${verb}`,
  summary: verb === 'load' ? 'Loads a model, or loads it anew.' : 'Unloads a model.',
  tag,
  scope: 'admin',
  body: loadSchema,
  bodyOptional: true,
  reply: z.object({}),
}));
