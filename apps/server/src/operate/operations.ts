/** Probes, metrics and administration for the OpenAPI document. */
import { z } from 'zod';
import type { Operation } from './openapi.js';

const tag = 'Operation';
const version = z.object({ name: z.string(), version: z.string(), state: z.enum(['LOADING', 'READY', 'UNAVAILABLE']) });

export const probeOperations: readonly Operation[] = [
  { method: 'get', path: '/healthz', summary: 'The server runs.', tag, reply: z.object({ live: z.literal(true), ready: z.boolean() }) },
  { method: 'get', path: '/v2/health/live', summary: 'The server runs.', tag, reply: z.object({ live: z.literal(true) }) },
  { method: 'get', path: '/v2/health/ready', summary: 'Every model that shall be ready is; else 503.', tag, reply: z.object({ ready: z.boolean() }) },
];

/** On the listener for administration. */
export const adminOperations: readonly Operation[] = [
  { method: 'get', path: '/metrics', summary: 'Metrics for Prometheus.', tag, scope: 'metrics', reply: z.string(), replyType: 'text/plain' },
  { method: 'get', path: '/admin/models', summary: 'All models, loaded or not.', tag, scope: 'admin', reply: z.looseObject({ models: z.array(z.looseObject({ ...version.shape })) }) },
  { method: 'post', path: '/admin/models/{name}/load', summary: 'Loads a model, or loads it anew; the one before answers until then.', tag, scope: 'admin', reply: z.object({ models: z.array(version) }) },
  { method: 'post', path: '/admin/models/{name}/unload', summary: 'Unloads a model when nothing of it is in flight any more.', tag, scope: 'admin', reply: z.object({}) },
];
