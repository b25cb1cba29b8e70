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
  /** A request may come without a body. */
  readonly bodyOptional?: true;
  /** Media type of the body; JSON when absent. */
  readonly bodyType?: string;
  /** Of the reply with status 200. */
  readonly reply: z.ZodType;
  readonly replyType?: string;
}

/** The document of these operations. Of a server without keys it does not ask for one. */
export function openApiOf(operations: readonly Operation[], { keys }: { readonly keys: boolean }): object {
  const paths: Record<string, Record<string, object>> = {};
  const schemas = new SharedSchemas();
  for (const operation of operations) (paths[operation.path] ??= {})[operation.method] = pathItem(keys ? operation : { ...operation, scope: undefined }, schemas);
  return {
    openapi: '3.1.0',
    info: { title: 'Penjing', version: packageJson.version, description: 'Models behind the APIs of OpenAI and the Open Inference Protocol.', license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    paths,
    components: { schemas: schemas.all, ...(keys && { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } }) },
  };
}

export function openApi(operations: readonly Operation[]): RouteModule {
  return (app, { config }) => {
    const text = JSON.stringify(openApiOf(operations, { keys: config.keys.length > 0 }));
    app.get('/openapi.json', (c) => c.body(text, 200, { 'Content-Type': 'application/json' }));
  };
}

type Described = Omit<Operation, 'scope'> & { readonly scope?: Scope | undefined };

function pathItem({ method, path, summary, tag, scope, body, bodyOptional, bodyType, reply, replyType }: Described, schemas: SharedSchemas): object {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
  return {
    operationId: `${method}${path.replace(/[^A-Za-z0-9]+(\w?)/g, (_, next: string) => next.toUpperCase())}`,
    summary,
    tags: [tag],
    ...(names.length > 0 && { parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,128}$' } })) }),
    ...(scope && { security: [{ key: [scope] }] }),
    ...(body && { requestBody: { required: !bodyOptional, content: { [bodyType ?? 'application/json']: { schema: schemas.of(body, 'input') } } } }),
    responses: {
      200: { description: 'As asked.', content: { [replyType ?? 'application/json']: { schema: schemas.of(reply, 'output') } } },
      default: { description: 'What is wrong. 429 and 503 say in Retry-After when to ask again.', content: { 'application/json': { schema: { type: 'object', required: ['error'] } } } },
    },
  };
}

/** References of a schema are relative to itself; in the document they have to be to what all share. */
class SharedSchemas {
  readonly all: Record<string, object> = {};
  readonly #names = new Map<string, string>();

  of(schema: z.ZodType, io: 'input' | 'output'): object {
    const { $schema: _dialect, id: _id, $defs = {}, ...root } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
    const parts: Readonly<Record<string, object>> = { ...($defs as Readonly<Record<string, object>>), '#': root };
    // By content: the same part has the same name in all of them.
    const names = new Map(Object.entries(parts).map(([key, part]) => [key === '#' ? '#' : `#/$defs/${key}`, this.#nameOf(JSON.stringify([part, $defs]))]));
    const used = new Set<string>();
    const resolved = <T>(part: T): T => JSON.parse(JSON.stringify(part), (key, value: unknown) => {
      if (key !== '$ref' || typeof value !== 'string') return value;
      used.add(value);
      return `#/components/schemas/${names.get(value)!}`;
    }) as T;
    const result = resolved(root);
    for (const reference of used) this.all[names.get(reference)!] = resolved(reference === '#' ? root : parts[reference.slice('#/$defs/'.length)]!);
    return result;
  }

  #nameOf(content: string): string {
    const known = this.#names.get(content) ?? `Part${this.#names.size + 1}`;
    this.#names.set(content, known);
    return known;
  }
}
