/** GET /openapi.json: what can be asked for, written from the schemas that requests are checked with. */
import packageJson from '../../package.json' with { type: 'json' };
import { z } from 'zod';
import type { Scope } from '../config/schema.js';
import type { RouteModule } from '../context.js';

/** One route, for the document. */
export interface Operation {
  readonly method: 'get' | 'post';
  /** With parameters as {name}. */
  readonly path: string;
  readonly summary: string;
  readonly tag: string;
  /** Absent where no key is needed. */
  readonly scope?: Scope;
  readonly body?: z.ZodType;
  /** Media type of the body; JSON when absent. */
  readonly bodyType?: string;
  /** Of the reply with status 200. */
  readonly reply: z.ZodType;
  readonly replyType?: string;
}

/** The document of these operations. */
export function openApiOf(operations: readonly Operation[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of operations) (paths[operation.path] ??= {})[operation.method] = pathItem(operation);
  return {
    openapi: '3.1.0',
    info: { title: 'Penjing', version: packageJson.version, description: 'Models behind the APIs of OpenAI and the Open Inference Protocol.', license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    paths,
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
  };
}

export function openApi(operations: readonly Operation[]): RouteModule {
  return (app) => {
    const text = JSON.stringify(openApiOf(operations));
    app.get('/openapi.json', (c) => c.body(text, 200, { 'Content-Type': 'application/json' }));
  };
}

function pathItem({ method, path, summary, tag, scope, body, bodyType, reply, replyType }: Operation): object {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
  return {
    operationId: `${method}${path.replace(/[^A-Za-z0-9]+(\w?)/g, (_, next: string) => next.toUpperCase())}`,
    summary,
    tags: [tag],
    ...(names.length > 0 && { parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,128}$' } })) }),
    ...(scope && { security: [{ key: [scope] }] }),
    ...(body && { requestBody: { required: true, content: { [bodyType ?? 'application/json']: { schema: schemaOf(body, 'input') } } } }),
    responses: {
      200: { description: 'As asked.', content: { [replyType ?? 'application/json']: { schema: schemaOf(reply, 'output') } } },
      default: { description: 'What is wrong. 429 and 503 say in Retry-After when to ask again.', content: { 'application/json': { schema: { type: 'object', required: ['error'] } } } },
    },
  };
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _dialect, id: _id, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}
